"""Small seeded networks shaped like `buffalo_l`'s two: their output is arbitrary but repeatable."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

STRIDES = (8, 16, 32)
ANCHORS = 2
FACE = np.array([[-0.35, -0.4], [0.35, -0.4], [0.0, 0.1], [-0.3, 0.5], [0.3, 0.5]])
"""Positions of eyes, nose and corners of the mouth around the centre of a face, in halves of its width."""


def write_models(root: Path, seed: int = 0) -> Path:
    """Write `root/models/buffalo_l` with a detector and a recogniser. -> root"""
    folder = root / "models" / "buffalo_l"
    folder.mkdir(parents=True)
    rng = np.random.default_rng(seed)
    onnx.save(_detector(rng), str(folder / "det_10g.onnx"))
    onnx.save(_recogniser(rng), str(folder / "w600k_r50.onnx"))
    return root


class _Graph:
    def __init__(self) -> None:
        self.nodes: list[onnx.NodeProto] = []
        self.constants: list[onnx.TensorProto] = []

    def constant(self, value: np.ndarray) -> str:
        name = f"constant_{len(self.constants)}"
        self.constants.append(numpy_helper.from_array(value, name))
        return name

    def add(self, kind: str, inputs: list[str], output: str | None = None, **attributes: object) -> str:
        output = output or f"node_{len(self.nodes)}"
        self.nodes.append(helper.make_node(kind, inputs, [output], name=f"{kind}_{len(self.nodes)}", **attributes))
        return output

    def model(self, inputs: list[onnx.ValueInfoProto], outputs: list[onnx.ValueInfoProto]) -> onnx.ModelProto:
        graph = helper.make_graph(self.nodes, "tiny", inputs, outputs, self.constants)
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)
        onnx.checker.check_model(model)
        return model


def _detector(rng: np.random.Generator) -> onnx.ModelProto:
    """Build a network with SCRFD's nine outputs: scores, distances to the sides, landmarks, each at three strides."""
    graph, outputs = _Graph(), []
    for values, kind in ((1, "score"), (4, "bbox"), (10, "kps")):
        for stride in STRIDES:
            name = f"{kind}_{stride}"
            weight = rng.normal(0, 0.02, (ANCHORS * values, 3, stride, stride)).astype(np.float32)
            if kind == "score":  # a contrast: flat grey stays under the threshold
                weight = (weight - weight.mean(axis=(1, 2, 3), keepdims=True)) * np.float32(60 / stride)
                bias = np.full(ANCHORS, -3)
            else:
                bias = np.tile([3.0] * 4 if kind == "bbox" else (FACE * 3).ravel(), ANCHORS)
            inputs = ["input.1", graph.constant(weight), graph.constant(bias.astype(np.float32))]
            convolved = graph.add("Conv", inputs, strides=[stride, stride], kernel_shape=[stride, stride])
            rows = graph.add("Transpose", [convolved], perm=[0, 2, 3, 1])
            shape = graph.constant(np.array([-1, values], np.int64))
            if kind == "score":
                graph.add("Sigmoid", [graph.add("Reshape", [rows, shape])], name)
            else:
                graph.add("Reshape", [rows, shape], name)
            outputs.append(helper.make_tensor_value_info(name, TensorProto.FLOAT, [f"n_{name}", values]))
    taken = helper.make_tensor_value_info("input.1", TensorProto.FLOAT, [1, 3, "height", "width"])
    return graph.model([taken], outputs)


def _recogniser(rng: np.random.Generator) -> onnx.ModelProto:
    """Build a network of ArcFace's shape: 112 pixels in, 512 numbers out."""
    graph = _Graph()
    weight = graph.constant(rng.normal(0, 0.05, (512, 3 * 7 * 7)).astype(np.float32))
    pooled = graph.add("AveragePool", ["input.1"], kernel_shape=[16, 16], strides=[16, 16])
    graph.add("Gemm", [graph.add("Flatten", [pooled]), weight], "683", transB=1)
    taken = helper.make_tensor_value_info("input.1", TensorProto.FLOAT, ["batch", 3, 112, 112])
    return graph.model([taken], [helper.make_tensor_value_info("683", TensorProto.FLOAT, ["batch", 512])])
