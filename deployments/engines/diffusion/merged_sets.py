"""Weights with sets of LoRAs merged, kept beside a checkpoint: requests that take turns with two sets copy them."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Hashable, Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from torch import Tensor

KEPT_BYTES = 2**31
"""Bytes that the sets of one checkpoint may take in the machine's memory: one of SD 1.5 has up to 1.9 GB in half
precision."""


@dataclass(frozen=True, slots=True)
class MergedSet:
    """The weights that a set changes, as they are with it."""

    weights: tuple[tuple[Any, Tensor], ...]
    """Parameters, and their weights with the set."""
    warnings: tuple[str, ...]
    """Warnings about networks of which layers did not fit."""

    @property
    def size(self) -> int:
        """Bytes of the weights."""
        return sum(tensor.nbytes for _, tensor in self.weights)


class MergedSets:
    """Sets of one checkpoint, of which the least recently used leave."""

    def __init__(self) -> None:
        self._sets: OrderedDict[Hashable, MergedSet] = OrderedDict()

    @property
    def size(self) -> int:
        """Bytes of all sets."""
        return sum(one.size for one in self._sets.values())

    def find(self, key: Hashable) -> MergedSet | None:
        """Find a set; None where it is not kept."""
        if key in self._sets:
            self._sets.move_to_end(key)
        return self._sets.get(key)

    def keep(self, key: Hashable, parameters: Iterable[Any], warnings: tuple[str, ...]) -> None:
        """Keep the weights that these parameters have now, unless there is no room for them."""
        changed = list(parameters)
        size = sum(parameter.data.nbytes for parameter in changed)
        if key in self._sets or size > KEPT_BYTES:
            return
        while self.size + size > KEPT_BYTES:
            self._sets.popitem(last=False)
        copies = tuple((parameter, parameter.data.to("cpu", copy=True)) for parameter in changed)
        self._sets[key] = MergedSet(copies, warnings)

    def clear(self) -> None:
        """Forget all sets."""
        self._sets.clear()
