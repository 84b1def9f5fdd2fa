"""Small writer of ONNX graphs: each method appends one operation and returns the name of its result."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

_OPSET = 13
_IR_VERSION = 8


class GraphWriter:
    """Writer of one graph: inputs and outputs are declared by name, constants become initializers."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._nodes: list[Any] = []
        self._constants: list[Any] = []
        self._inputs: list[Any] = []
        self._outputs: list[Any] = []

    def add_input(self, name: str, dtype: int, shape: tuple[int | str, ...]) -> str:
        """Declare an input."""
        self._inputs.append(helper.make_tensor_value_info(name, dtype, shape))
        return name

    def add_output(self, value: str, name: str, shape: tuple[int | str, ...]) -> None:
        """Declare `value` as the `float32` output `name`."""
        self._nodes.append(helper.make_node("Identity", [value], [name]))
        self._outputs.append(helper.make_tensor_value_info(name, TensorProto.FLOAT, shape))

    def constant(self, array: NDArray[Any] | np.generic) -> str:
        """Add an initializer."""
        name = f"constant_{len(self._constants)}"
        self._constants.append(numpy_helper.from_array(np.asarray(array, order="C"), name))
        return name

    def apply(self, operator: str, *inputs: str, **attributes: Any) -> str:
        """Append a node of `operator`."""
        name = f"{operator.lower()}_{len(self._nodes)}"
        self._nodes.append(helper.make_node(operator, list(inputs), [name], **attributes))
        return name

    def conv(
        self,
        value: str,
        weight: NDArray[np.float32],
        bias: NDArray[np.float32],
        *,
        stride: int = 1,
        padding: int | None = 0,
        groups: int = 1,
    ) -> str:
        """Append a square convolution. `padding=None` is TensorFlow's SAME: the odd pixel goes to the bottom and
        right."""
        edges: dict[str, Any] = {"auto_pad": "SAME_UPPER"} if padding is None else {"pads": [padding] * 4}
        return self.apply(
            "Conv",
            value,
            self.constant(weight),
            self.constant(bias),
            kernel_shape=list(weight.shape[2:]),
            strides=[stride, stride],
            group=groups,
            **edges,
        )

    def dense(self, value: str, weight: NDArray[np.float32], bias: NDArray[np.float32]) -> str:
        """Append `value @ weight.T + bias`, the weight as PyTorch stores it."""
        return self.apply("Gemm", value, self.constant(weight), self.constant(bias), transB=1)

    def to_bytes(self) -> bytes:
        """Check and serialise the graph."""
        graph = helper.make_graph(self._nodes, self._name, self._inputs, self._outputs, self._constants)
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", _OPSET)], ir_version=_IR_VERSION)
        onnx.checker.check_model(model)
        return bytes(model.SerializeToString())
