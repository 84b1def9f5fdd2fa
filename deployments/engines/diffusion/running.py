"""Latents of the pictures in progress: the newest ones of each stay on the device, and are copied for who looks.

Nobody looks at most steps, and a copy would hold up the loop: the host waits for the step, and then the device for the
host.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from contextlib import AbstractContextManager, nullcontext
from threading import Lock
from typing import Any, NamedTuple

from deployments.contracts.diffusion import GenerationStep, Latents, SeenLatents


class _Newest(NamedTuple):
    step: GenerationStep
    latents: Any
    """Latents of all rows that run together; nobody writes into them."""
    place: int
    made: Any | None
    """Event that is over once they are made; None: they are."""


class RunningPictures:
    """Newest latents of each running row, by its ticket. `peek` is for any thread, the rest for that of the batch."""

    def __init__(self) -> None:
        self._newest: dict[str, _Newest] = {}
        self._lock = Lock()
        """Held for a look-up only: neither waits for the other's work."""

    def __len__(self) -> int:
        return len(self._newest)

    def note(self, steps: Iterable[tuple[int, GenerationStep]], latents: Any, made: Any | None) -> None:
        """Note what a step made, in place of what the one before did. `steps`: place in `latents`, and its step;
        `made`: see `Device.mark`."""
        with self._lock:
            for place, step in steps:
                self._newest[step.ticket] = _Newest(step, latents, place, made)

    def forget(self, tickets: Iterable[str]) -> None:
        """Forget rows that have ended."""
        with self._lock:
            for ticket in tickets:
                self._newest.pop(ticket, None)

    def clear(self) -> None:
        """Forget all rows."""
        with self._lock:
            self._newest.clear()

    def peek(self, tickets: Sequence[str]) -> dict[str, SeenLatents]:
        """Copy what rows have now to the host; without those that are not here. Waits for their last step at most."""
        with self._lock:
            found = {ticket: self._newest[ticket] for ticket in tickets if ticket in self._newest}
        return {
            ticket: SeenLatents(one.step.step, one.step.steps, copy_to_host(one.latents[one.place], one.made))
            for ticket, one in found.items()
        }


def copy_to_host(latents: Any, made: Any | None) -> Latents:
    """Copy the latents of a row. `made`: event to wait for, None on a CPU."""
    import torch

    beside: AbstractContextManager[Any] = nullcontext()
    if made is not None:
        made.synchronize()
        # Not behind what the loop has asked of the device since. The memory is nobody else's while we hold `latents`.
        beside = torch.cuda.stream(torch.cuda.Stream(latents.device))
    with beside:
        copied: Latents = latents.cpu().to(torch.float16, copy=True).numpy()
    return copied
