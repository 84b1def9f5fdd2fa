"""Checkpoints in the machine's memory, between the disk and the GPU: to use one again is a copy, not a loading."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable
from dataclasses import dataclass
from typing import Any

from deployments.engines.diffusion.device import Device
from deployments.engines.diffusion.loading import Checkpoint, module_bytes


@dataclass(frozen=True, slots=True)
class _Parked:
    checkpoint: Checkpoint
    size: int


class RamStage:
    """Stage of checkpoints that left the GPU, the least recently used leave first. Thread-safe."""

    def __init__(self, budget_bytes: int, device: Device, others: Callable[[], int] = lambda: 0) -> None:
        """Start empty; a budget of 0 keeps nothing. `others`: bytes of what else lies in the budget."""
        self._budget, self._device, self._others = budget_bytes, device, others
        self._parked: OrderedDict[Hashable, _Parked] = OrderedDict()
        self._lock = threading.Lock()

    def has_room_for(self, checkpoint: Checkpoint) -> bool:
        """Say whether a checkpoint would fit the budget if the others left."""
        return module_bytes(*networks_of(checkpoint)) <= self._budget

    def put(self, key: Hashable, checkpoint: Checkpoint) -> None:
        """Move a checkpoint off the device, where it fits the budget. Nobody may be using it."""
        size = module_bytes(*networks_of(checkpoint))
        with self._lock:
            most = self._budget - self._others()
            if size > most:
                return
            while sum(parked.size for parked in self._parked.values()) + size > most:
                self._parked.popitem(last=False)
            for network in networks_of(checkpoint):
                network.to("cpu")
                if self._device.is_gpu:
                    _pin(network)
            self._parked[key] = _Parked(checkpoint, size)

    def take(self, key: Hashable) -> Checkpoint | None:
        """Move a checkpoint back onto the device; None where it is not here."""
        with self._lock:
            parked = self._parked.pop(key, None)
        if parked is None:
            return None
        for network in networks_of(parked.checkpoint):
            self._device.place(network)
        return parked.checkpoint

    def close(self) -> None:
        """Free everything, and keep nothing from now on."""
        with self._lock:
            self._budget = 0
            self._parked.clear()


def networks_of(checkpoint: Checkpoint) -> list[Any]:
    """List the networks of a checkpoint."""
    return [network for network in (checkpoint.unet, checkpoint.vae, *checkpoint.text_encoders) if network is not None]


def _pin(network: Any) -> None:
    """Lock the pages of a network's weights, from which copies to a GPU are twice as fast."""
    for tensor in (*network.parameters(), *network.buffers()):
        tensor.data = tensor.data.pin_memory()
