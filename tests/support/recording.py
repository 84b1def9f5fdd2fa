"""A recorder for `Graphs` on a processor: a replay computes again, over the same inputs into the same memory."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any


class Recorder:
    """Recorder that counts."""

    def __init__(self) -> None:
        self.count = 0

    def __call__(
        self, compute: Callable[[Mapping[str, Any]], Any], inputs: Mapping[str, Any]
    ) -> tuple[Callable[[], None], Any]:
        self.count += 1
        output = compute(inputs).clone()
        return lambda: output.copy_(compute(inputs)), output
