"""CUDA graphs: the hundreds of small launches of one call of the networks recorded once, and replayed as one.

A graph reads its inputs from, and writes its result to, memory of its own, so inputs are copied in and the result out.
It holds for networks that lie where they lay: whoever moves or changes them by other means than in place gets another.
"""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from weakref import WeakSet, ref

import structlog

log = structlog.get_logger(__name__)

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
    replay: Replay | None
    """None where it could not be recorded: it is computed anew each time."""
    output: Any = None


class Graphs:
    """Graphs of one device, the least recently used leave first. For one thread at a time, but for `forget`."""

    def __init__(self, record: Record | None) -> None:
        """Start empty; without `record` everything is computed anew each time."""
        self._record = record
        self._graphs: OrderedDict[Hashable, _Graph] = OrderedDict()
        self._forgotten: deque[Any] = deque()
        """Weak references to networks that have moved; None: all have."""

    @property
    def count(self) -> int:
        """Number of the graphs."""
        return len(self._graphs)

    def run(self, compute: Compute, inputs: Inputs, networks: Sequence[Any], how: Hashable) -> Any:
        """Compute, by a graph where there may be one. `how`: whatever besides shapes and networks decides what
        `compute` does."""
        if self._record is None:
            return compute(inputs)
        shapes = tuple((name, tuple(tensor.shape), tensor.dtype) for name, tensor in inputs.items())
        key = (how, shapes, tuple(map(_place_of, networks)))
        self._drop_forgotten()
        found = self._graphs.pop(key, None)
        if found is None or any(weak() is not network for weak, network in zip(found.networks, networks, strict=True)):
            found = self._record_or_not(self._record, compute, inputs, networks)
        self._graphs[key] = found
        while len(self._graphs) > MOST_GRAPHS:
            self._graphs.popitem(last=False)
        if found.replay is None:
            return compute(inputs)
        for name, tensor in inputs.items():
            found.inputs[name].copy_(tensor)
        found.replay()
        return found.output.clone()

    def _record_or_not(self, record: Record, compute: Compute, inputs: Inputs, networks: Sequence[Any]) -> _Graph:
        weak = tuple(map(ref, networks))
        try:
            own = {name: tensor.clone() for name, tensor in inputs.items()}
            return _Graph(weak, own, *record(compute, own))
        except RuntimeError as error:  # out of memory too
            log.warning("a call of the networks could not be recorded", error=type(error).__name__, reason=str(error))
        self.clear()  # their memory may be what is missing
        return _Graph(weak, {}, None)

    def forget(self, network: Any = None) -> None:
        """Note that a network leaves its place, or that memory is wanted of all graphs. From any thread: they are freed
        in their own, with the next call, for none may be freed while another is recorded."""
        self._forgotten.append(None if network is None else ref(network))

    def clear(self) -> None:
        """Free all graphs and their memory."""
        self._graphs.clear()

    def _drop_forgotten(self) -> None:
        while self._forgotten:
            gone = self._forgotten.popleft()
            for key, graph in list(self._graphs.items()):
                if gone is None or gone in graph.networks:
                    del self._graphs[key]


def _place_of(network: Any) -> tuple[int, int, str]:
    """Where a network lies: itself, its first weights, and how its first convolution treats edges (tiling)."""
    weights = next(network.parameters(), None)
    edges = getattr(getattr(network, "conv_in", None), "padding_mode", "")
    return id(network), 0 if weights is None else weights.data_ptr(), edges


class GpuRecorder:
    """Recorder of CUDA graphs, whose working memory is one pool: they run one after the other, and what comes out of
    one is copied before the next."""

    def __init__(self) -> None:
        self._graphs: WeakSet[Any] = WeakSet()

    def __call__(self, compute: Compute, inputs: Inputs) -> tuple[Replay, Any]:
        """Record a computation as a CUDA graph. Raises `RuntimeError`, `torch.OutOfMemoryError` among them."""
        import torch

        stream = torch.cuda.Stream()
        stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(stream):  # libraries choose their kernels and allocate what they keep
            for _ in range(2):
                compute(inputs)
        torch.cuda.current_stream().wait_stream(stream)
        living = next(iter(self._graphs), None)  # a pool ends with its last graph
        pool = torch.cuda.graph_pool_handle() if living is None else living.pool()
        graph = torch.cuda.CUDAGraph()
        # Other threads decode previews and draw hints on the card in this time, which would end a "global" recording.
        with torch.cuda.graph(graph, pool=pool, capture_error_mode="thread_local"):
            output = compute(inputs)
        self._graphs.add(graph)
        return graph.replay, output
