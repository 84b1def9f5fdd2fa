"""Conversion of MTCNN's last stage (Zhang et al. 2016), which verifies a 48 px face candidate, from its state dict."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from onnx import TensorProto

from deployments.weights.conversion.graph import GraphWriter
from deployments.weights.conversion.state_dict import read_state_dict

_POOLS = {"1": 3, "2": 3, "3": 2}
"""Side of the max pooling after each convolution; stride 2, rounded up."""


def output_network(checkpoint: bytes) -> bytes:
    """Write the ONNX graph `x` `float32[n, 3, 48, 48]`, RGB as (level - 127.5) / 128 -> the three outputs of the stage.

    `prob` `float32[n, 2]` (no face, face), `reg` `float32[n, 4]` (box corrections in box sides), `pts` `float32[n, 10]`
    (five x, then five y, in box sides: eyes, nose, mouth corners).
    """
    weights = read_state_dict(checkpoint)

    def parts(layer: str) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        try:
            return weights[f"{layer}.weight"], weights[f"{layer}.bias"]
        except KeyError as missing:
            raise ValueError(f"not MTCNN's output network: no {missing}") from missing

    graph = GraphWriter("mtcnn_onet")
    value = graph.add_input("x", TensorProto.FLOAT, ("n", 3, 48, 48))
    for stage in "1234":
        value = graph.conv(value, *parts(f"conv{stage}"))
        slope = weights[f"prelu{stage}.weight"].reshape(-1, 1, 1)
        value = graph.apply("PRelu", value, graph.constant(slope))
        if stage in _POOLS:
            side = _POOLS[stage]
            value = graph.apply("MaxPool", value, kernel_shape=[side, side], strides=[2, 2], ceil_mode=1)
    # The weights come from a framework that stores columns first: the dense layer reads width, height, channel.
    value = graph.apply("Flatten", graph.apply("Transpose", value, perm=[0, 3, 2, 1]))
    value = graph.dense(value, *parts("dense5"))
    value = graph.apply("PRelu", value, graph.constant(weights["prelu5.weight"]))
    graph.add_output(graph.apply("Softmax", graph.dense(value, *parts("dense6_1")), axis=1), "prob", ("n", 2))
    graph.add_output(graph.dense(value, *parts("dense6_2")), "reg", ("n", 4))
    graph.add_output(graph.dense(value, *parts("dense6_3")), "pts", ("n", 10))
    return graph.to_bytes()
