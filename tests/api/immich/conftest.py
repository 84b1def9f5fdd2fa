"""A server that stands in for Immich's machine learning."""

from __future__ import annotations

import pytest

from configs.settings import FaceOptions, Immich, Settings
from tests.api.immich.asking import OPEN_CLIP


@pytest.fixture
def settings(settings: Settings) -> Settings:
    changes = {"immich": Immich(enabled=True), "embedding": OPEN_CLIP, "faces": FaceOptions(engine="insightface")}
    return settings.model_copy(update=changes)
