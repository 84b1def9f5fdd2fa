"""Engines over the small models."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from deployments.engines.diffusion.engine import DiffusionEngine


@pytest.fixture(scope="module")
def engine(tiny_models: Path) -> DiffusionEngine:
    from tests.support.diffusing import an_engine

    return an_engine(tiny_models)


@pytest.fixture
def fresh(tiny_models: Path) -> Iterator[DiffusionEngine]:
    """An engine with nothing loaded."""
    from tests.support.diffusing import an_engine

    made = an_engine(tiny_models)
    yield made
    made.close()
