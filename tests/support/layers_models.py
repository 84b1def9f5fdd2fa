"""TensorFlow.js layers models made in code."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float32]
Layer = dict[str, Any]


def a_layer(kind: str, name: str, *sources: str, **config: Any) -> Layer:
    """Describe a layer."""
    inbound = [[[source, 0, 0, {}] for source in sources]] if sources else []
    return {"class_name": kind, "name": name, "config": config, "inbound_nodes": inbound}


def a_conv(name: str, source: str, padding: str = "same") -> Layer:
    """Describe a convolution that keeps the size."""
    return a_layer("Conv2D", name, source, strides=[1, 1], dilation_rate=[1, 1], groups=1, padding=padding,
                   activation="linear", use_bias=True)  # fmt: skip


def a_model(layers: list[Layer], weights: Mapping[str, Array]) -> tuple[bytes, bytes]:
    """Write `model.json` and the shard beside it; the last layer is the result."""
    network = {"layers": layers, "input_layers": [["in", 0, 0]], "output_layers": [[layers[-1]["name"], 0, 0]]}
    described = [{"name": name, "shape": list(of.shape), "dtype": "float32"} for name, of in weights.items()]
    model = {
        "modelTopology": {"model_config": {"config": network}},
        "weightsManifest": [{"paths": ["a.bin"], "weights": described}],
    }
    return json.dumps(model).encode(), b"".join(of.astype("<f4").tobytes() for of in weights.values())


def a_residual_dense_model(seed: int = 0) -> tuple[bytes, bytes]:
    """Write a small network of the kind that `@upscalerjs/esrgan-thick` holds, of 4x: two blocks of two parts of two
    convolutions, with random weights."""
    made = _Writer(np.random.default_rng(seed))
    first = value = made.conv("Pre_blocks_conv", "in", 3, 8)
    for block in (1, 2):
        inner = value
        for part in (1, 2):
            seen, channels = inner, 8
            for number in (1, 2):
                name = f"{block}_{part}_{number}"
                grown = made.layer("Activation", f"relu_{name}", made.conv(f"F_{name}", seen, channels, 4),
                                   activation="relu")  # fmt: skip
                seen, channels = made.layer("Concatenate", f"cat_{name}", seen, grown, axis=3), channels + 4
            local = made.conv(f"LFF_{block}_{part}", seen, channels, 8)
            inner = made.layer("Add", f"part_{block}_{part}", inner, made.share(local))
        value = made.layer("Add", f"block_{block}", value, made.share(inner))
    value = made.layer("Add", "GRL", made.conv("post_blocks_conv", value, 8, 8), first)
    value = made.layer("PixelShuffle4x", "shuffle", made.conv("PreShuffle", value, 8, 48), scale=4)
    made.conv("SR", value, 3, 3)
    return a_model(made.layers, made.weights)


class _Writer:
    def __init__(self, draw: np.random.Generator) -> None:
        self.layers = [a_layer("InputLayer", "in")]
        self.weights: dict[str, Array] = {}
        self._draw = draw

    def layer(self, kind: str, name: str, *sources: str, **config: Any) -> str:
        self.layers.append(a_layer(kind, name, *sources, **config))
        return name

    def share(self, source: str) -> str:
        return self.layer("MultiplyBeta", f"beta_{source}", source, beta=0.2)

    def conv(self, name: str, source: str, before: int, after: int) -> str:
        self.layers.append(a_conv(name, source))
        spread = (2 / (9 * before)) ** 0.5
        self.weights[f"{name}/kernel"] = self._draw.normal(0, spread, (3, 3, before, after)).astype(np.float32)
        self.weights[f"{name}/bias"] = self._draw.normal(0.1, 0.1, after).astype(np.float32)
        return name
