"""The upscaler that an npm package ships: the engine against ONNX Runtime on the same layers model."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest

pytest.importorskip("diffusers")

import torch
from safetensors.torch import load_file, save_file

from bench.quality.layers_model import image_network
from deployments.contracts.arrays import Image
from deployments.contracts.diffusion import Hires
from deployments.engines.diffusion.engine import DiffusionEngine
from deployments.errors import InvalidRequest, WeightsMissing
from deployments.weights.upscaler import FILE, convert
from tests.support.builders import an_image
from tests.support.diffusing import SIZE, an_engine, difference, make_one
from tests.support.layers_models import a_residual_dense_model

NAME = FILE.removesuffix(".safetensors")


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """The file in a models folder of its own."""
    path = tmp_path / "upscalers" / FILE
    path.parent.mkdir()
    path.write_bytes(convert(*a_residual_dense_model()))
    return path


@pytest.fixture
def engine(file: Path) -> DiffusionEngine:
    return an_engine(file.parents[1])


def by_layers(image: Image) -> Image:
    session = onnxruntime.InferenceSession(image_network(*a_residual_dense_model()), providers=["CPUExecutionProvider"])
    made = session.run(None, {"x": image.astype(np.float32).transpose(2, 0, 1)[None] / 255})[0][0].transpose(1, 2, 0)
    return np.asarray((made.clip(0, 1) * 255).round(), np.uint8)


def test_it_enlarges_as_the_layers_of_the_package_do(engine: DiffusionEngine) -> None:
    image = an_image((40, 30))
    expected = by_layers(image)
    assert 10 < expected.std(), "the random network shows nothing"
    assert difference(engine.upscale(image, NAME, (160, 120)), expected) <= 1


def test_squares_leave_no_seam(engine: DiffusionEngine) -> None:
    image = an_image((300, 40))
    assert difference(engine.upscale(image, NAME, (1200, 160)), by_layers(image)) <= 1


def test_it_is_listed_beside_the_others(engine: DiffusionEngine) -> None:
    assert [one.name for one in engine.list_models().upscalers] == [NAME]


def test_hires_fix_takes_it(tiny_models: Path, file: Path) -> None:
    engine = an_engine(tiny_models)
    with pytest.raises(InvalidRequest, match="no upscaler"):
        engine.upscale(an_image((8, 8)), NAME, (16, 16))
    (file.parents[1] / "checkpoints").symlink_to(tiny_models / "checkpoints")
    hires = Hires(2 * SIZE, 2 * SIZE, 2, 0.0, upscaler=NAME)
    assert make_one(an_engine(file.parents[1]), hires=hires).shape == (2 * SIZE, 2 * SIZE, 3)


def _without_a_layer(tensors: dict[str, Any]) -> None:
    del tensors["LFF_2_1.weight"]


def _without_blocks(tensors: dict[str, Any]) -> None:
    for name in [name for name in tensors if name.startswith("F_")]:
        del tensors[name]


def _of_another_width(tensors: dict[str, Any]) -> None:
    tensors["F_1_1_2.weight"] = torch.zeros(4, 99, 3, 3)


def _of_an_endless_scale(tensors: dict[str, Any]) -> None:
    tensors["PreShuffle.weight"], tensors["PreShuffle.bias"] = torch.zeros(3 * 4096, 8, 1, 1), torch.zeros(3 * 4096)


def _that_gives_no_colours(tensors: dict[str, Any]) -> None:
    tensors["SR.weight"], tensors["SR.bias"] = torch.zeros(1, 3, 3, 3), torch.zeros(1)


def _that_is_no_convolution(tensors: dict[str, Any]) -> None:
    tensors["SR.weight"] = torch.zeros(3)


@pytest.mark.parametrize(
    "damage",
    [
        _without_a_layer,
        _without_blocks,
        _of_another_width,
        _of_an_endless_scale,
        _that_gives_no_colours,
        _that_is_no_convolution,
    ],
)
def test_a_network_that_does_not_fit_together_is_refused_by_name(file: Path, damage: Any) -> None:
    tensors = load_file(file)
    damage(tensors)
    save_file(tensors, file)
    with pytest.raises(WeightsMissing, match="thick 4x' is damaged"):
        an_engine(file.parents[1]).upscale(an_image((8, 8)), NAME, (32, 32))


def test_the_file_of_another_network_is_not_converted() -> None:
    model, weights = a_residual_dense_model()
    described = json.loads(model)
    for one in described["weightsManifest"][0]["weights"]:
        one["name"] = one["name"].replace("PreShuffle", "UPN3")
    with pytest.raises(ValueError, match="no layer PreShuffle"):
        convert(json.dumps(described).encode(), weights)
