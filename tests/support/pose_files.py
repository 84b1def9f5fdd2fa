"""Networks that find poses, as ONNX files of the real inputs and outputs: one knows its answer, the other looks."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from deployments.contracts.arrays import Image

CELLS = 80 * 80 + 40 * 40 + 20 * 20
DOT = (70, 180)
"""Where the bright dot of the image is, x and y."""


def save(
    path: Path,
    size: tuple[int, int],
    nodes: list[onnx.NodeProto],
    outputs: dict[str, list[int]],
    **values: NDArray[np.generic],
) -> None:
    graph = helper.make_graph(
        nodes,
        "tiny",
        [helper.make_tensor_value_info("images", TensorProto.FLOAT, [1, 3, size[1], size[0]])],
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name, shape in outputs.items()],
        [numpy_helper.from_array(value, name) for name, value in values.items()],
    )
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8), path)


def write_finder(path: Path, boxes: Sequence[tuple[tuple[float, ...], float, int]], cells: int = CELLS) -> None:
    """Write a finder that answers boxes (left, top, right, bottom in its own pixels), their scores and classes."""
    found = np.zeros((1, cells, 85), np.float32)
    for place, (box, score, kind) in enumerate(boxes):  # cells of the first row, eight pixels each
        middle, size = (np.array(box[:2]) + box[2:]) / 2, np.array(box[2:]) - box[:2]
        found[0, place, :2] = middle / 8 - (place, 0)
        found[0, place, 2:4] = np.log(size / 8)
        found[0, place, 4], found[0, place, 5 + kind] = score, 1.0
    nodes = [
        helper.make_node("ReduceMax", ["images"], ["most"], keepdims=0),
        helper.make_node("Mul", ["most", "zero"], ["nothing"]),
        helper.make_node("Add", ["found", "nothing"], ["output"]),
    ]
    save(path, (640, 640), nodes, {"output": [1, cells, 85]}, found=found, zero=np.zeros((), np.float32))


def write_pose(path: Path, count: int = 133, size: tuple[int, int] = (288, 384)) -> None:
    """Write a network that sees all of `count` points where its picture, of a width and height, is brightest."""
    nodes = []
    for name, axes in (("simcc_x", [1, 2]), ("simcc_y", [1, 3])):
        nodes += [
            helper.make_node("ReduceMax", ["images"], [f"{name} line"], axes=axes, keepdims=0),
            helper.make_node("Reshape", [f"{name} line", f"{name} apart"], [f"{name} column"]),
            helper.make_node("Expand", [f"{name} column", f"{name} twice"], [f"{name} fine"]),
            helper.make_node("Reshape", [f"{name} fine", f"{name} flat"], [f"{name} row"]),
            helper.make_node("Expand", [f"{name} row", f"{name} points"], [name]),
        ]
    values: dict[str, NDArray[np.generic]] = {}
    for name, side in zip(("simcc_x", "simcc_y"), size, strict=True):
        values |= {
            f"{name} apart": np.array([side, 1]),
            f"{name} twice": np.array([side, 2]),
            f"{name} flat": np.array([1, 1, 2 * side]),
            f"{name} points": np.array([1, count, 2 * side]),
        }
    outputs = {"simcc_x": [1, count, 2 * size[0]], "simcc_y": [1, count, 2 * size[1]]}
    save(path, size, nodes, outputs, **values)


def a_dark_image_with_a_dot() -> Image:
    image = np.zeros((320, 256, 3), np.uint8)
    image[DOT[1] - 2 : DOT[1] + 3, DOT[0] - 2 : DOT[0] + 3] = 255
    return image
