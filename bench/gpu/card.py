"""The device of a run: how it is timed, how much memory it holds, and graphs of calls where it has them."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch

from bench.gpu.tables import median

_WARM_UP = 3
MB = 2**20


@dataclass(frozen=True)
class Card:
    """A device, and whether the run is a small one for a processor."""

    name: str
    tiny: bool

    @property
    def is_gpu(self) -> bool:
        """Whether it is a CUDA device."""
        return self.name.startswith("cuda")

    @property
    def half(self) -> Any:
        """Precision of weights: half on a GPU, float32 on a processor."""
        return torch.float16 if self.is_gpu else torch.float32

    def wait(self) -> None:
        """Wait until the device has nothing left to do."""
        if self.is_gpu:
            torch.cuda.synchronize()

    def milliseconds(self, call: Callable[[], Any], rounds: int = 20) -> float:
        """Time a call, median of `rounds` after a warm-up, ms. The device is waited for each time."""
        rounds, warm_up = (3, 1) if self.tiny else (rounds, _WARM_UP)
        taken = []
        for turn in range(warm_up + rounds):
            self.wait()
            started = time.perf_counter()
            call()
            self.wait()
            if turn >= warm_up:
                taken.append((time.perf_counter() - started) * 1000)
        return median(taken)

    def graph(self, call: Callable[[], Any]) -> Callable[[], Any] | None:
        """Capture a call over fixed buffers as a CUDA graph. -> its replay, None without CUDA"""
        if not self.is_gpu:
            return None
        side = torch.cuda.Stream()
        side.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(side):
            for _ in range(_WARM_UP):
                call()
        torch.cuda.current_stream().wait_stream(side)
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph):
            call()
        replay: Callable[[], Any] = graph.replay
        return replay

    def memory_mb(self) -> tuple[float, float] | None:
        """Measure memory of this process on the device, allocated and reserved, MB; None without CUDA."""
        if not self.is_gpu:
            return None
        return torch.cuda.memory_allocated() / MB, torch.cuda.memory_reserved() / MB

    def free(self) -> None:
        """Give unused memory back."""
        import gc

        gc.collect()
        if self.is_gpu:
            torch.cuda.empty_cache()

    def describe(self) -> list[tuple[str, str]]:
        """Describe the device and the libraries."""
        import diffusers
        import transformers

        rows = [("torch", torch.__version__), ("diffusers", diffusers.__version__)]
        rows += [("transformers", transformers.__version__), ("device", self.name)]
        if self.is_gpu:
            facts = torch.cuda.get_device_properties(0)
            rows += [("card", f"{facts.name}, {facts.total_memory / 2**30:.0f} GiB"), ("CUDA", str(torch.version.cuda))]
        return rows


@contextmanager
def counted_syncs() -> Iterator[list[str]]:
    """Collect the waits for the device that a block causes, as PyTorch warns of them; none without CUDA."""
    import warnings

    found: list[str] = []
    if not torch.cuda.is_available():
        yield found
        return
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        torch.cuda.set_sync_debug_mode("warn")
        try:
            yield found
        finally:
            torch.cuda.set_sync_debug_mode("default")
            found += [f"{one.filename}:{one.lineno}" for one in caught if "synchroniz" in str(one.message)]
