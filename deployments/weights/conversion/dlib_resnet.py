"""Conversion of dlib's face recognition ResNet (29 convolutions, 128-d) from its serialised network.

The file holds each layer's settings and tensors, input layer first. The architecture is fixed (dlib's
`dnn_face_recognition_ex.cpp`), so only the tensors are read, in order, each found by its header.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from onnx import TensorProto

from deployments.weights.conversion.graph import GraphWriter

INPUT_PX = 150
_MEAN = np.array([122.782, 117.001, 104.298], np.float32)
"""Means of red, green and blue (dlib's `input_rgb_image_sized`), before the division by 256."""
_STEM = 32
_STAGES = ((32, 3), (64, 4), (128, 3), (256, 3), (256, 1))
"""Stages as (channels, residual blocks); the first block of each stage but the first halves the image."""
_EMBEDDING = 128
_MAX_GAP = 400
"""Bytes of settings between two tensors; a wider gap means that a header was missed."""


def face_network(serialised: bytes) -> bytes:
    """Write the ONNX graph `x` `uint8[n, 150, 150, 3]` RGB face crops -> `e` `float32[n, 128]`, not normalised.

    Raises `ValueError` when `serialised` is not dlib's face network.
    """
    tensors = _TensorReader(serialised)
    graph = GraphWriter("dlib_face_embedding")
    value = graph.add_input("x", TensorProto.UINT8, ("n", INPUT_PX, INPUT_PX, 3))
    value = graph.apply("Transpose", graph.apply("Cast", value, to=TensorProto.FLOAT), perm=[0, 3, 1, 2])
    value = graph.apply("Sub", value, graph.constant(_MEAN.reshape(1, 3, 1, 1)))
    value = graph.apply("Mul", value, graph.constant(np.float32(1 / 256)))

    def conv(value: str, channels_in: int, channels: int, side: int, stride: int) -> str:
        weight, bias = tensors.take_convolution(channels_in, channels, side)
        return graph.conv(value, weight, bias, stride=stride, padding=side // 2 if stride == 1 else 0)

    value = graph.apply("Relu", conv(value, 3, _STEM, 7, 2))
    value = graph.apply("MaxPool", value, kernel_shape=[3, 3], strides=[2, 2])
    size = _shrunk(_shrunk(INPUT_PX, 7), 3)
    channels = _STEM
    for stage, (wider, blocks) in enumerate(_STAGES):
        for block in range(blocks):
            halves = stage > 0 and block == 0
            inner = graph.apply("Relu", conv(value, channels, wider, 3, 2 if halves else 1))
            inner = conv(inner, wider, wider, 3, 1)
            if halves:
                inner, value, size = _aligned(graph, inner, value, size, wider - channels)
                channels = wider
            value = graph.apply("Relu", graph.apply("Add", inner, value))
    value = graph.apply("Flatten", graph.apply("GlobalAveragePool", value))
    value = graph.apply("MatMul", value, graph.constant(tensors.take(channels, _EMBEDDING)))
    graph.add_output(value, "e", ("n", _EMBEDDING))
    return graph.to_bytes()


def _shrunk(size: int, side: int) -> int:
    return (size - side) // 2 + 1


def _aligned(graph: GraphWriter, inner: str, skipped: str, size: int, channels: int) -> tuple[str, str, int]:
    """Bring both branches of a halving block to one size: dlib pads the smaller one with zeros, at the end of each
    axis."""
    skipped = graph.apply("AveragePool", skipped, kernel_shape=[2, 2], strides=[2, 2])
    inner_size, skipped_size = _shrunk(size, 3), _shrunk(size, 2)
    size = max(inner_size, skipped_size)
    return (
        _padded(graph, inner, 0, size - inner_size),
        _padded(graph, skipped, channels, size - skipped_size),
        size,
    )


def _padded(graph: GraphWriter, value: str, channels: int, pixels: int) -> str:
    if channels == pixels == 0:
        return value
    return graph.apply("Pad", value, graph.constant(np.array([0, 0, 0, 0, 0, channels, pixels, pixels], np.int64)))


class _TensorReader:
    """Reader of dlib's serialisation in file order: version 2, four dimensions, then `float32` values."""

    def __init__(self, serialised: bytes) -> None:
        self._data = serialised
        self._position = 0

    def take(self, samples: int, channels: int = 1) -> NDArray[np.float32]:
        """Take the next tensor, which must be `[samples, channels, 1, 1]`, as `float32[samples, channels]`.

        Raises `ValueError` where it is missing or not finite.
        """
        header = b"".join(_integer(value) for value in (2, samples, channels, 1, 1))
        found = self._data.find(header, self._position, self._position + _MAX_GAP + len(header))
        end = found + len(header) + 4 * samples * channels
        if found < 0 or end > len(self._data):
            raise ValueError(f"not dlib's face network: no tensor of {samples}x{channels} after byte {self._position}")
        values = np.frombuffer(self._data, "<f4", samples * channels, found + len(header))
        if not np.isfinite(values).all():
            raise ValueError(f"not dlib's face network: a tensor at byte {found} is not finite")
        self._position = end
        return values.reshape(samples, channels)

    def take_convolution(
        self, channels_in: int, channels: int, side: int
    ) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Take the next convolution with the affine layer after it folded in: `float32[out, in, side, side]` and
        bias."""
        count = channels * channels_in * side * side
        parameters = self.take(count + channels)[:, 0]
        gain, shift = self.take(2 * channels).reshape(2, channels)
        weight = parameters[:count].reshape(channels, channels_in, side, side) * gain[:, None, None, None]
        return weight, parameters[count:] * gain + shift


def _integer(value: int) -> bytes:
    """Encode dlib's portable integer: the number of bytes, then those bytes, lowest first."""
    body = value.to_bytes((value.bit_length() + 7) // 8, "little")
    return bytes([len(body)]) + body
