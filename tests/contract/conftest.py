"""A small open_clip model with seeded random weights, made from a configuration; nothing is fetched."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

TINY_CLIP = {
    "embed_dim": 32,
    "vision_cfg": {"image_size": 32, "layers": 2, "width": 64, "head_width": 32, "patch_size": 8},
    "text_cfg": {"context_length": 77, "vocab_size": 49408, "width": 32, "heads": 2, "layers": 2},
}


@pytest.fixture(scope="session")
def tiny_clip(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, str]:
    """Name and checkpoint of the model."""
    open_clip = pytest.importorskip("open_clip")
    torch = pytest.importorskip("torch")
    folder: Path = tmp_path_factory.mktemp("open_clip")
    (folder / "darkroom-tiny.json").write_text(json.dumps(TINY_CLIP))
    open_clip.add_model_config(folder)
    torch.manual_seed(5)
    checkpoint = folder / "tiny.pt"
    torch.save(open_clip.create_model("darkroom-tiny").state_dict(), checkpoint)
    return "darkroom-tiny", str(checkpoint)


@pytest.fixture(scope="session")
def tiny_models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A models folder with small seeded diffusion models of the real classes, see `tests.contract.tiny_diffusion`."""
    pytest.importorskip("diffusers")
    from tests.contract.tiny_diffusion import write_models

    return write_models(tmp_path_factory.mktemp("diffusion"))
