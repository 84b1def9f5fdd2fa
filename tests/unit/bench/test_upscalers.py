"""Networks of TensorFlow.js against the same layers computed by hand, and the comparison of enlargements."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnxruntime
import pytest

from bench.quality.layers_model import image_network
from bench.quality.upscalers import mean_difference, middle, psnr, shrunk
from tests.support.layers_models import Array, a_conv, a_layer, a_model


def run(network: bytes, x: Array) -> Array:
    session = onnxruntime.InferenceSession(network, providers=["CPUExecutionProvider"])
    made: Array = session.run(None, {"x": x.transpose(2, 0, 1)[None]})[0][0].transpose(1, 2, 0)
    return made


def convolved(x: Array, kernel: Array, bias: Array) -> Array:
    """A convolution with zeros around, a pixel at a time."""
    side = kernel.shape[0]
    padded = np.pad(x, ((side // 2, side // 2), (side // 2, side // 2), (0, 0)))
    out = np.empty((*x.shape[:2], kernel.shape[3]), np.float32)
    for row, column in np.ndindex(x.shape[:2]):
        out[row, column] = np.tensordot(padded[row : row + side, column : column + side], kernel, 3) + bias
    return out


@pytest.fixture
def draw() -> np.random.Generator:
    return np.random.default_rng(3)


def drawn(draw: np.random.Generator, *shape: int) -> Array:
    return draw.normal(size=shape).astype(np.float32)


def test_a_layers_model_gives_what_its_layers_give_by_hand(draw: np.random.Generator) -> None:
    weights = {
        "wide/kernel": drawn(draw, 3, 3, 3, 4),
        "wide/bias": drawn(draw, 4),
        "last/kernel": drawn(draw, 1, 1, 11, 12),
        "last/bias": drawn(draw, 12),
    }
    layers = [
        a_layer("InputLayer", "in"),
        a_conv("wide", "in"),
        a_layer("Activation", "relu", "wide", activation="relu"),
        a_layer("MultiplyBeta", "beta", "relu", beta=0.2),
        a_layer("Add", "sum", "wide", "relu", "beta"),
        a_layer("Concatenate", "all", "in", "sum", "wide", axis=3),
        a_conv("last", "all", padding="valid"),
        a_layer("PixelShuffle2x", "shuffle", "last", scale=2),
        a_layer("UpSampling2D", "up", "shuffle", size=[2, 2], interpolation="nearest"),
    ]
    x = drawn(draw, 4, 5, 3)
    wide = convolved(x, weights["wide/kernel"], weights["wide/bias"])
    relu = np.maximum(wide, 0)
    every = np.concatenate([x, wide + relu + np.float32(0.2) * relu, wide], axis=2)
    last = convolved(every, weights["last/kernel"], weights["last/bias"])
    shuffled = last.reshape(4, 5, 2, 2, 3).transpose(0, 2, 1, 3, 4).reshape(8, 10, 3)
    expected = shuffled.repeat(2, axis=0).repeat(2, axis=1)
    np.testing.assert_allclose(run(image_network(*a_model(layers, weights)), x), expected, rtol=1e-4, atol=1e-4)


def test_weights_that_are_cut_off_or_too_many_are_refused(draw: np.random.Generator) -> None:
    weights = {"one/kernel": drawn(draw, 3, 3, 3, 3), "one/bias": drawn(draw, 3)}
    model, data = a_model([a_layer("InputLayer", "in"), a_conv("one", "in")], weights)
    for wrong in (data[:-4], data + bytes(4)):
        with pytest.raises(ValueError, match=r"cut off|bytes"):
            image_network(model, wrong)


@pytest.mark.parametrize(
    ("changed", "said"),
    [({"strides": [2, 2]}, "one is a Conv2D"), ({"activation": "relu"}, "one is a Conv2D"),
     ({"dilation_rate": [2, 2]}, "one is a Conv2D"), ({"groups": 3}, "one is a Conv2D")],
)  # fmt: skip
def test_a_layer_that_would_be_computed_otherwise_is_refused(
    changed: dict[str, Any], said: str, draw: np.random.Generator
) -> None:
    weights = {"one/kernel": drawn(draw, 3, 3, 3, 3), "one/bias": drawn(draw, 3)}
    layer = a_conv("one", "in")
    layer["config"] |= changed
    with pytest.raises(ValueError, match=said):
        image_network(*a_model([a_layer("InputLayer", "in"), layer], weights))


def test_a_file_that_is_no_layers_model_is_refused() -> None:
    for model in (b"", b"[]", b"{}", b"\xff"):
        with pytest.raises(ValueError, match=r"not a TensorFlow\.js layers model"):
            image_network(model, b"")


def test_the_part_that_is_compared_shrinks_evenly_by_each_scale() -> None:
    part = middle(np.zeros((403, 90, 3), np.uint8), 384)
    assert part.shape == (384, 88, 3)
    assert shrunk(part, 4).shape == (96, 22, 3)


def test_an_error_of_one_grey_level_is_48_decibels() -> None:
    black = np.zeros((8, 8, 3), np.uint8)
    assert psnr(black, black + np.uint8(1)) == pytest.approx(48.13, abs=0.01)


def test_a_difference_that_no_photograph_shows_has_an_interval_about_zero() -> None:
    figure = mean_difference([30.0, 20.0, 31.0, 19.0], [29.0, 21.0, 30.0, 20.0])
    assert figure.low < 0 < figure.high
    assert mean_difference([30.0, 20.0], [29.5, 19.5]).low == pytest.approx(0.5)
