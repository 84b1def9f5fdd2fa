"""Rewriting of TensorFlow Lite models: the same numbers before and after."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import flatbuffers
import numpy as np
import pytest
from ai_edge_litert import schema_py_generated as schema

from deployments.engines.runtime import InterpreterPool
from deployments.weights.conversion import convert

SLOPES = np.array([0.1, -0.3, 0.0, 0.5], np.float32)
Operator = schema.BuiltinOperator


def a_model(steps: list[tuple[int, list[int], int]], version: bytes = b"TFL3") -> bytes:
    """Make a model of `steps` (operation, tensors read, tensor made) over `float32[2, 4]`: tensor 0 is the input, 1 the
    slopes, the last one made the output."""
    graph, model = schema.SubGraphT(), schema.ModelT()
    kinds = sorted({kind for kind, _, _ in steps})
    model.version = 3
    model.operatorCodes = []
    for kind in kinds:
        code = schema.OperatorCodeT()
        code.builtinCode = code.deprecatedBuiltinCode = kind
        code.version = 1
        model.operatorCodes.append(code)
    model.buffers = [schema.BufferT(), schema.BufferT()]
    model.buffers[1].data = np.frombuffer(SLOPES.tobytes(), np.uint8)
    graph.tensors = []
    for place in range(2 + len(steps)):
        tensor = schema.TensorT()
        tensor.name, tensor.type = f"t{place}", schema.TensorType.FLOAT32
        tensor.shape = np.array([4] if place == 1 else [2, 4], np.int32)
        tensor.buffer = int(place == 1)
        graph.tensors.append(tensor)
    graph.inputs, graph.outputs = np.array([0], np.int32), np.array([steps[-1][2]], np.int32)
    graph.operators = [_operator(kinds.index(kind), kind, read, made) for kind, read, made in steps]
    model.subgraphs = [graph]
    builder = flatbuffers.Builder()
    builder.Finish(model.Pack(builder), version)
    return bytes(builder.Output())


def _operator(place: int, kind: int, read: list[int], made: int) -> Any:
    step = schema.OperatorT()
    step.opcodeIndex = place
    step.inputs, step.outputs = np.array(read, np.int32), np.array([made], np.int32)
    options = {
        Operator.ADD: (schema.BuiltinOptions.AddOptions, schema.AddOptionsT),
        Operator.SUB: (schema.BuiltinOptions.SubOptions, schema.SubOptionsT),
        Operator.MUL: (schema.BuiltinOptions.MulOptions, schema.MulOptionsT),
    }
    if kind in options:
        step.builtinOptionsType, make = options[kind]
        step.builtinOptions = make()
    return step


PRELU = [
    (Operator.RELU, [0], 2),
    (Operator.ABS, [0], 3),
    (Operator.SUB, [0, 3], 4),
    (Operator.MUL, [1, 4], 5),
    (Operator.ADD, [2, 5], 6),
]


def test_a_prelu_of_five_operations_becomes_one_that_gives_the_same(tmp_path: Path) -> None:
    before = a_model([*PRELU, (Operator.ABS, [6], 7)])
    after = convert("fuse_prelu", before)
    (tmp_path / "before.tflite").write_bytes(before)
    (tmp_path / "after.tflite").write_bytes(after)
    values = np.array([[-1, -2, -3, -4], [1, 2, 3, 4]], np.float32)
    expected, found = (
        InterpreterPool(tmp_path / name, 1).run([values])[0] for name in ("before.tflite", "after.tflite")
    )
    np.testing.assert_allclose(expected, np.abs(np.where(values < 0, 2 * SLOPES * values, values)), rtol=1e-6)
    np.testing.assert_allclose(found, expected, rtol=1e-6)
    assert len(schema.ModelT.InitFromPackedBuf(after, 0).subgraphs[0].operators) == 2


def test_five_operations_that_are_no_prelu_are_left_alone() -> None:
    another = [*PRELU[:4], (Operator.ADD, [0, 5], 6)]
    with pytest.raises(ValueError, match="no PReLU"):
        convert("fuse_prelu", a_model(another))


@pytest.mark.parametrize("data", [b"", b"a text, not a model", a_model(PRELU, b"NONE")])
def test_what_is_no_model_is_refused(data: bytes) -> None:
    with pytest.raises(ValueError, match="not a TensorFlow Lite model"):
        convert("fuse_prelu", data)
