"""Model runtimes (ONNX Runtime, LiteRT), opened so that a call runs on one core and calls run side by side."""

from __future__ import annotations

import queue
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

_ERRORS_ONLY = 3


def open_session(path: Path, threads: int = 1, *, sizes_vary: bool = False) -> Any:
    """Open an `onnxruntime.InferenceSession` on the CPU; its `run` may be called from several threads at once.

    `threads` are those of one call. One is right where calls run side by side: threads that wait for each other inside
    a call make two parallel calls slower than one after the other. `sizes_vary`: inputs have a size of their own each
    time, so that memory is given back after each call: kept for the next, it grew to 700 MB for text, and goes on.
    """
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.enable_cpu_mem_arena = options.enable_mem_pattern = not sizes_vary
    options.log_severity_level = _ERRORS_ONLY
    return onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])


class InterpreterPool:
    """Pool of LiteRT interpreters of one model. An interpreter is not thread-safe: a call takes one out and returns it.

    More callers than interpreters wait for one to come back.
    """

    def __init__(self, path: Path, size: int) -> None:
        """Open `size` interpreters of the model at `path`."""
        from ai_edge_litert.interpreter import Interpreter

        self._idle: queue.SimpleQueue[Any] = queue.SimpleQueue()
        for _ in range(size):
            interpreter = Interpreter(model_path=str(path), num_threads=1)
            interpreter.allocate_tensors()
            self._idle.put(interpreter)

    def run(self, inputs: Sequence[NDArray[Any]]) -> list[NDArray[Any]]:
        """Run the model on one set of inputs; -> its outputs, both in the model's order and shapes. The arrays belong
        to the caller."""
        interpreter = self._idle.get()
        try:
            for detail, value in zip(interpreter.get_input_details(), inputs, strict=True):
                interpreter.set_tensor(detail["index"], np.ascontiguousarray(value, dtype=detail["dtype"]))
            interpreter.invoke()
            return [interpreter.get_tensor(detail["index"]) for detail in interpreter.get_output_details()]
        finally:
            self._idle.put(interpreter)
