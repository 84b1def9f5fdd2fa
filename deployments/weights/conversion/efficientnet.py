"""Conversion of EfficientNet-Lite0 from its PyTorch state dict.

Architecture: Tan and Le 2019 with the changes of the Lite family (no squeeze-and-excitation, ReLU6, fixed stem and
head). The checkpoint comes from TensorFlow, hence SAME padding and a batch-norm epsilon of 1e-3.
"""

from __future__ import annotations

import io
from typing import Any

import numpy as np
from numpy.typing import NDArray
from onnx import TensorProto

from deployments.weights.conversion.graph import GraphWriter
from deployments.weights.conversion.state_dict import read_state_dict

_EPSILON = 1e-3
_MEAN, _STD = 127.0, 128.0
"""Mean and deviation in grey levels. The usual ImageNet statistics cost this checkpoint 11 points of top-1 accuracy."""
_STAGES = ((1, 1), (2, 2), (2, 2), (3, 2), (3, 1), (4, 2), (1, 1))
"""Stages as (blocks, stride of the first block)."""

Weights = dict[str, NDArray[Any]]


def feature_network(checkpoint: bytes) -> bytes:
    """Write the ONNX graph `views` `uint8[n, s, s, 3]` RGB -> `features` `float32[n, 1280]`, pooled, before the
    classifier."""
    weights = read_state_dict(checkpoint)
    graph = GraphWriter("efficientnet_lite0")
    clip = graph.constant(np.float32(0)), graph.constant(np.float32(6))

    def conv(value: str, name: str, norm: str, *, stride: int = 1, relu: bool = True) -> str:
        weight, bias = _folded(weights, name, norm)
        groups = weight.shape[0] if weight.shape[1] == 1 else 1
        value = graph.conv(value, weight, bias, stride=stride, padding=None, groups=groups)
        return graph.apply("Clip", value, *clip) if relu else value

    views = graph.add_input("views", TensorProto.UINT8, ("n", "s", "s", 3))
    value = graph.apply("Transpose", graph.apply("Cast", views, to=TensorProto.FLOAT), perm=[0, 3, 1, 2])
    value = graph.apply("Sub", value, graph.constant(np.float32(_MEAN)))
    value = graph.apply("Mul", value, graph.constant(np.float32(1 / _STD)))
    value = conv(value, "_conv_stem", "_bn0", stride=2)

    strides = [stride if i == 0 else 1 for blocks, stride in _STAGES for i in range(blocks)]
    firsts = [i == 0 for blocks, _ in _STAGES for i in range(blocks)]
    for index, (stride, first) in enumerate(zip(strides, firsts, strict=True)):
        block, skipped = f"_blocks.{index}", value
        if f"{block}._expand_conv.weight" in weights:
            value = conv(value, f"{block}._expand_conv", f"{block}._bn0")
        value = conv(value, f"{block}._depthwise_conv", f"{block}._bn1", stride=stride)
        value = conv(value, f"{block}._project_conv", f"{block}._bn2", relu=False)
        if not first:
            value = graph.apply("Add", value, skipped)

    value = conv(value, "_conv_head", "_bn1")
    value = graph.apply("Flatten", graph.apply("GlobalAveragePool", value))
    graph.add_output(value, "features", ("n", int(weights["_conv_head.weight"].shape[0])))
    return graph.to_bytes()


def classifier_head(checkpoint: bytes) -> bytes:
    """Write a NumPy archive with `weight` `float32[1000, 1280]` and `bias` `float32[1000]`: features -> ImageNet
    logits."""
    weights = read_state_dict(checkpoint)
    try:
        weight, bias = weights["_fc.weight"], weights["_fc.bias"]
    except KeyError as missing:
        raise ValueError(f"not an EfficientNet checkpoint: no {missing}") from missing
    archive = io.BytesIO()
    np.savez(archive, weight=weight.astype(np.float32), bias=bias.astype(np.float32))
    return archive.getvalue()


def _folded(weights: Weights, name: str, norm: str) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Fold a convolution without bias and the batch norm that follows it into one convolution; -> its weight and
    bias."""
    try:
        kernel = weights[f"{name}.weight"].astype(np.float64)
        gain, shift, mean, variance = (
            weights[f"{norm}.{part}"].astype(np.float64) for part in ("weight", "bias", "running_mean", "running_var")
        )
    except KeyError as missing:
        raise ValueError(f"not an EfficientNet-Lite0 checkpoint: no {missing}") from missing
    scale = gain / np.sqrt(variance + _EPSILON)
    return (kernel * scale[:, None, None, None]).astype(np.float32), (shift - mean * scale).astype(np.float32)
