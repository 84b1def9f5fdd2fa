"""CUDA graphs: the hundreds of small launches of one call of the networks recorded once, and replayed as one.

A graph reads its inputs from, and writes its result to, memory of its own, so inputs are copied in and the result out.
It holds for networks that lie where they lay: whoever moves or changes them by other means than in place gets another.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from weakref import ref

Inputs = Mapping[str, Any]
Compute = Callable[[Inputs], Any]
"""Function from tensors by name to a tensor, which does the same for inputs of the same shapes."""
Replay = Callable[[], None]
Record = Callable[[Compute, Inputs], tuple[Replay, Any]]
"""Function that records a computation over these very tensors; -> what runs it again, and where its result will be."""

MOST_GRAPHS = 8
"""Graphs that are kept, each with the memory that its call needs."""


@dataclass(frozen=True, slots=True)
class _Graph:
    networks: tuple[Any, ...]
    """Weak references: a graph keeps no network alive."""
    inputs: Inputs
    replay: Replay
    output: Any


class Graphs:
    """Graphs of one device, the least recently used leave first. For one thread at a time."""

    def __init__(self, record: Record | None) -> None:
        """Start empty; without `record` everything is computed anew each time."""
        self._record = record
        self._graphs: OrderedDict[Hashable, _Graph] = OrderedDict()

    def run(self, compute: Compute, inputs: Inputs, networks: Sequence[Any], how: Hashable) -> Any:
        """Compute, by a graph where there may be one. `how`: whatever besides shapes and networks decides what
        `compute` does."""
        if self._record is None:
            return compute(inputs)
        shapes = tuple((name, tuple(tensor.shape), tensor.dtype) for name, tensor in inputs.items())
        key = (how, shapes, tuple(map(_place_of, networks)))
        found = self._graphs.pop(key, None)
        if found is None or any(weak() is not network for weak, network in zip(found.networks, networks, strict=True)):
            own = {name: tensor.clone() for name, tensor in inputs.items()}
            found = _Graph(tuple(map(ref, networks)), own, *self._record(compute, own))
        self._graphs[key] = found
        while len(self._graphs) > MOST_GRAPHS:
            self._graphs.popitem(last=False)
        for name, tensor in inputs.items():
            found.inputs[name].copy_(tensor)
        found.replay()
        return found.output.clone()

    def clear(self) -> None:
        """Free all graphs and their memory."""
        self._graphs.clear()


def _place_of(network: Any) -> tuple[int, int, str]:
    """Where a network lies: itself, its first weights, and how its first convolution treats edges (tiling)."""
    weights = next(network.parameters(), None)
    edges = getattr(getattr(network, "conv_in", None), "padding_mode", "")
    return id(network), 0 if weights is None else weights.data_ptr(), edges


def record_on_gpu(compute: Compute, inputs: Inputs) -> tuple[Replay, Any]:
    """Record a computation as a CUDA graph."""
    import torch

    stream = torch.cuda.Stream()
    stream.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(stream):  # libraries choose their kernels and allocate what they keep
        for _ in range(2):
            compute(inputs)
    torch.cuda.current_stream().wait_stream(stream)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        output = compute(inputs)
    return graph.replay, output
