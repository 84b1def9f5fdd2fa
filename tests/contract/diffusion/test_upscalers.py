"""Upscaling networks from files as their authors made them, through spandrel."""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("diffusers")
pytest.importorskip("spandrel")

import torch
from safetensors.torch import save_file

from deployments.contracts.arrays import Image
from deployments.contracts.diffusion import Hires
from deployments.engines.diffusion.engine import DiffusionEngine
from deployments.engines.diffusion.upscalers import passes_for
from deployments.errors import InvalidRequest, NotSupported, WeightsMissing
from tests.support.builders import an_image
from tests.support.diffusing import SIZE, an_engine, difference, make_one
from tests.support.hostile import Boom


def a_network(scale: int = 4, seed: int = 0) -> Any:
    """Make a small ESRGAN with random weights."""
    from spandrel.architectures.ESRGAN import ESRGAN

    torch.manual_seed(seed)
    return ESRGAN(num_filters=8, num_blocks=1, scale=scale).eval()


def enlarged(network: Any, image: Image) -> Image:
    """Run the network over the whole image at once."""
    pixels = torch.from_numpy(image).permute(2, 0, 1)[None] / 255
    with torch.no_grad():
        made = network(pixels)[0].clamp(0, 1)
    return (made * 255).round().to(torch.uint8).permute(1, 2, 0).numpy()


@pytest.fixture
def models(tiny_models: Path, tmp_path: Path) -> Path:
    """A models folder of its own with a folder as A1111 has it."""
    folder = Path(shutil.copytree(tiny_models, tmp_path / "models"))
    (folder / "ESRGAN").mkdir()
    return folder


@pytest.fixture
def engine(models: Path) -> DiffusionEngine:
    return an_engine(models)


def forms(state: Mapping[str, Any]) -> dict[str, Any]:
    """The state dict as training frameworks save it."""
    other = {name: value + 1 for name, value in state.items()}
    return {
        "plain": dict(state),
        "ema": {"params": other, "params_ema": dict(state)},
        "params": {"params": dict(state)},
    }


@pytest.mark.parametrize("form", ["plain", "ema", "params", "safetensors"])
def test_a_network_enlarges_as_it_does_by_itself(models: Path, engine: DiffusionEngine, form: str) -> None:
    network, image = a_network(), an_image((40, 30))
    if form == "safetensors":
        save_file(network.state_dict(), str(models / "ESRGAN" / "x.safetensors"))
    else:
        torch.save(forms(network.state_dict())[form], models / "ESRGAN" / "x.pth")
    expected = enlarged(network, image)
    assert difference(engine.upscale(image, "x", (160, 120)), expected) == 0


def test_squares_leave_no_seam(models: Path, engine: DiffusionEngine) -> None:
    network, image = a_network(2), an_image((600, 300))
    torch.save(network.state_dict(), models / "ESRGAN" / "x.pth")
    assert difference(engine.upscale(image, "x", (1200, 600)), enlarged(network, image)) <= 1


def test_the_result_has_the_size_that_was_asked_for(models: Path, engine: DiffusionEngine) -> None:
    torch.save(a_network(2).state_dict(), models / "ESRGAN" / "x.pth")
    image = an_image((20, 10))
    for size in ((30, 20), (40, 20), (100, 50), (7, 3)):
        assert engine.upscale(image, "x", size).shape == (size[1], size[0], 3)


@pytest.mark.parametrize(
    ("size", "target", "scale", "passes"),
    [
        ((10, 10), (40, 40), 4, 1),
        ((10, 10), (20, 20), 4, 1),
        ((10, 10), (41, 40), 4, 2),
        ((10, 10), (1000, 1000), 2, 3),
        ((10, 10), (40, 40), 1, 1),
    ],
)
def test_a_network_runs_until_the_image_is_large_enough_but_three_times_at_most(
    size: tuple[int, int], target: tuple[int, int], scale: int, passes: int
) -> None:
    assert passes_for(size, target, scale) == passes


def test_hires_fix_enlarges_by_a_network(models: Path, engine: DiffusionEngine) -> None:
    torch.save(a_network(2).state_dict(), models / "ESRGAN" / "RealESRGAN_x2plus.pth")
    by_network, by_lanczos = (
        make_one(engine, hires=Hires(2 * SIZE, 2 * SIZE, 2, 0.0, upscaler=name)) for name in ("R-ESRGAN 2x+", "Lanczos")
    )
    assert by_network.shape == (2 * SIZE, 2 * SIZE, 3)
    assert difference(by_network, by_lanczos) > 3


def test_upscalers_are_listed_with_the_names_of_the_original(models: Path, engine: DiffusionEngine) -> None:
    torch.save(a_network().state_dict(), models / "ESRGAN" / "RealESRGAN_x4plus.pth")
    (models / "upscalers").mkdir()
    torch.save(a_network().state_dict(), models / "upscalers" / "mine.pth")
    named = {one.name: one.alias for one in engine.list_models().upscalers}
    assert named == {"RealESRGAN_x4plus": "R-ESRGAN 4x+", "mine": "mine"}


def test_a_file_that_would_run_code_is_refused_by_name(models: Path, engine: DiffusionEngine, tmp_path: Path) -> None:
    mark = tmp_path / "ran"
    torch.save({"params": {"x": Boom(os.system, f"touch {mark}")}}, models / "ESRGAN" / "evil.pth")
    with pytest.raises(NotSupported, match="evil"):
        engine.upscale(an_image((8, 8)), "evil", (16, 16))
    assert not mark.exists()


def test_what_is_no_upscaler_is_refused_by_name(models: Path, engine: DiffusionEngine) -> None:
    torch.save({"lora_unet_x.lora_up.weight": torch.zeros(2, 2)}, models / "ESRGAN" / "lora.pth")
    with pytest.raises(NotSupported, match="lora"):
        engine.upscale(an_image((8, 8)), "lora", (16, 16))
    whole = models / "ESRGAN" / "x.pth"
    torch.save(a_network().state_dict(), whole)
    whole.write_bytes(whole.read_bytes()[:-4000])
    with pytest.raises(WeightsMissing, match="x"):
        engine.upscale(an_image((8, 8)), "x", (16, 16))


def test_a_file_that_counts_more_layers_than_it_has_is_refused(models: Path, engine: DiffusionEngine) -> None:
    tensors = a_network().state_dict()
    tensors["model.1.sub.300.RDB1.conv1.0.weight"] = torch.zeros(1)
    save_file(tensors, str(models / "ESRGAN" / "long.safetensors"))
    with pytest.raises(NotSupported, match="more layers than it has"):
        engine.upscale(an_image((16, 16), 1), "long", (64, 64))


def test_a_file_whose_network_would_be_larger_than_itself_is_refused(models: Path, engine: DiffusionEngine) -> None:
    tensors = a_network().state_dict()
    tensors["model.0.weight"] = torch.zeros(2048, 3, 1, 1)  # the filters of all layers
    save_file(tensors, str(models / "ESRGAN" / "wide.safetensors"))
    with pytest.raises(NotSupported, match="larger than the file"):
        engine.upscale(an_image((16, 16), 1), "wide", (64, 64))


def test_an_image_that_is_too_large_is_refused_and_the_next_one_is_not(models: Path, engine: DiffusionEngine) -> None:
    torch.save(a_network().state_dict(), models / "ESRGAN" / "x.pth")
    with pytest.raises(InvalidRequest, match="too large"):
        engine.upscale(np.zeros((4000, 4000, 3), np.uint8), "x", (8000, 8000))
    assert engine.upscale(an_image((8, 8)), "x", (32, 32)).shape == (32, 32, 3)


def test_an_unknown_upscaler_is_refused_with_what_there_is(engine: DiffusionEngine) -> None:
    with pytest.raises(InvalidRequest, match="Lanczos"):
        engine.upscale(an_image((8, 8)), "4x-Nothing", (16, 16))
