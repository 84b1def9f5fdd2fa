"""Conversion of networks that make images of images from TensorFlow.js layers models: Keras' own description of the
layers, and the weights one after another."""

from __future__ import annotations

from typing import Any

import numpy as np
from onnx import TensorProto

from deployments.weights.conversion.graph import GraphWriter
from deployments.weights.conversion.layers_model import Weights, read_model

_PLAIN = {"strides": [1, 1], "dilation_rate": [1, 1], "groups": 1, "activation": "linear", "use_bias": True}
_SHUFFLES = ("PixelShuffle2x", "PixelShuffle3x", "PixelShuffle4x", "PixelShuffle8x")


def image_network(model: bytes, weights: bytes) -> bytes:
    """Write the ONNX graph `x` `float32[n, 3, h, w]` -> `y` `float32[n, 3, h * scale, w * scale]`, levels as the
    layers have them.

    `model`: the file `model.json`; `weights`: its shards, joined. Raises `ValueError` for another kind of file or
    network, and where the weights are not as many as the model says.
    """
    network, tensors = read_model(model, weights)
    try:
        return _write(network, tensors)
    except (KeyError, TypeError, IndexError) as error:
        raise ValueError(f"not a TensorFlow.js layers model of images: {error!r}") from error


def _write(network: Any, tensors: Weights) -> bytes:
    graph = GraphWriter("layers_model")
    values: dict[str, str] = {}
    for layer in network["layers"]:
        kind, name, config = layer["class_name"], layer["name"], layer["config"]
        if kind == "InputLayer":
            values[name] = graph.add_input("x", TensorProto.FLOAT, ("n", 3, "h", "w"))
            continue
        inputs = [values[source[0]] for source in layer["inbound_nodes"][0]]
        values[name] = _layer(graph, kind, config, inputs, name, tensors)
    (output,) = network["output_layers"]
    graph.add_output(values[output[0]], "y", ("n", 3, "H", "W"))
    return graph.to_bytes()


def _layer(graph: GraphWriter, kind: str, config: Any, inputs: list[str], name: str, tensors: Weights) -> str:
    if kind == "Conv2D" and all(config[key] == value for key, value in _PLAIN.items()):
        kernel = tensors[f"{name}/kernel"]
        side = kernel.shape[0]
        if side == kernel.shape[1] and side % 2:
            padding = side // 2 if config["padding"] == "same" else 0
            return graph.conv(inputs[0], kernel.transpose(3, 2, 0, 1), tensors[f"{name}/bias"], padding=padding)
    if kind == "Activation" and config["activation"] == "relu":
        return graph.apply("Relu", *inputs)
    if kind == "Concatenate" and config["axis"] in (3, -1):
        return graph.apply("Concat", *inputs, axis=1)
    if kind == "Add":
        total = inputs[0]
        for value in inputs[1:]:
            total = graph.apply("Add", total, value)
        return total
    if kind == "MultiplyBeta":
        return graph.apply("Mul", inputs[0], graph.constant(np.float32(config["beta"])))
    if kind == "UpSampling2D" and config["interpolation"] == "nearest":
        return _repeat(graph, inputs[0], config["size"])
    if kind in _SHUFFLES:
        return graph.apply("DepthToSpace", inputs[0], blocksize=config["scale"], mode="DCR")
    raise ValueError(f"the layer {name} is a {kind} that is not known here")


def _repeat(graph: GraphWriter, value: str, size: list[int]) -> str:
    scales = graph.constant(np.array([1, 1, *size], np.float32))
    return graph.apply("Resize", value, "", scales, mode="nearest", coordinate_transformation_mode="asymmetric",
                       nearest_mode="floor")  # fmt: skip
