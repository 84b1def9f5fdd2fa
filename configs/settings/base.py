"""The base of every group of settings."""

from __future__ import annotations

import os
from pathlib import Path

from pydantic import BaseModel, ConfigDict


class Options(BaseModel):
    """A group of settings: read once, unknown names refused."""

    model_config = ConfigDict(extra="forbid", frozen=True)


def xdg(variable: str, fallback: str) -> Path:
    """Find the application's folder below the one that `variable` of the XDG base directories names."""
    return Path(os.environ.get(variable) or Path.home() / fallback) / "darkroom"
