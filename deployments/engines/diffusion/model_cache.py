"""LRU cache of loaded models under a byte budget; entries in use are pinned."""

from __future__ import annotations

import threading
from collections import Counter, OrderedDict
from collections.abc import Callable, Hashable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

from deployments.errors import OutOfMemory

Key = tuple[Hashable, ...]
_TOO_LARGE = "The models of this request together are larger than the engine's memory budget."


@dataclass(frozen=True, slots=True)
class _Item:
    value: Any
    size: int
    close: Callable[[], None] | None


class ModelCache:
    """Model cache. Thread-safe; loads one thing at a time. A key that begins with another one belongs to it and leaves
    with it."""

    def __init__(self, budget_bytes: int, give_back: Callable[[], None] = lambda: None) -> None:
        """Start empty; `give_back` frees the memory of evicted entries for others and is called after each eviction."""
        self._budget = budget_bytes
        self._give_back = give_back
        self._items: OrderedDict[Key, _Item] = OrderedDict()
        self._in_use: Counter[Key] = Counter()
        self._lock = threading.Condition()  # over a lock that its thread may take again; notified when a lease ends

    @property
    def budget(self) -> int:
        """Bytes that all entries may have together."""
        return self._budget

    @property
    def used_bytes(self) -> int:
        """Bytes of all entries."""
        with self._lock:
            return sum(item.size for item in self._items.values())

    def keys(self) -> list[Key]:
        """List the keys, the least recently used first."""
        with self._lock:
            return list(self._items)

    @contextmanager
    def lease(self, timeout_s: float = 0) -> Iterator[Lease]:
        """Pin entries got through the lease until the block ends.

        An entry that does not fit beside other leases waits up to `timeout_s` seconds for their end. Only one lease at
        a time may wait, since two could wait for each other.
        """
        lease = Lease(self, timeout_s)
        try:
            yield lease
        finally:
            with self._lock:
                self._in_use.subtract(lease.keys)
                self._lock.notify_all()

    def drop(self, key: Key) -> None:
        """Evict `key` unless it is pinned. A missing key is ignored."""
        with self._lock:
            if key in self._items and not self._is_used(key):
                self._remove(key)

    def clear(self) -> None:
        """Evict every entry that is not pinned."""
        for key in self.keys():
            self.drop(key)

    def _get(
        self,
        key: Key,
        load: Callable[[], Any],
        size_of: Callable[[Any], int],
        expected: Callable[[], int],
        close: Any,
        lease: Lease,
    ) -> Any:
        with self._lock:
            if key not in self._items:
                self._make_room(expected())
                value = load()
                self._items[key] = _Item(value, size_of(value), close)
            owners = [known for known in self._items if key[: len(known)] == known]
            self._in_use.update(owners)
            lease.keys += owners
            for owner in sorted(owners, key=len):  # an owner is never newer than what belongs to it
                self._items.move_to_end(owner)
            self._lock.wait_for(lambda: self._make_room(0) or not self._is_pinned_elsewhere(lease), lease.timeout_s)
            if self.used_bytes > self._budget:
                self._in_use.subtract(owners)
                del lease.keys[-len(owners) :]
                self.drop(key)
                raise OutOfMemory(_TOO_LARGE)
            return self._items[key].value

    def _is_pinned_elsewhere(self, lease: Lease) -> bool:
        return (self._in_use - Counter(lease.keys)).total() > 0

    def _make_room(self, wanted: int) -> bool:
        """Evict unpinned entries until `wanted` more bytes fit; -> whether they do."""
        for key in list(self._items):
            if self.used_bytes + wanted <= self._budget:
                return True
            if key in self._items and not self._is_used(key):
                self._remove(key)
        return self.used_bytes + wanted <= self._budget

    def _is_used(self, key: Key) -> bool:
        return any(count > 0 and used[: len(key)] == key for used, count in self._in_use.items())

    def _remove(self, key: Key) -> None:
        for known in [known for known in self._items if known[: len(key)] == key]:
            item = self._items.pop(known)
            if item.close and known == key:  # entries that belong to an evicted one need no undoing
                item.close()
            del item
        self._in_use = +self._in_use
        self._give_back()

    def _resize(self, key: Key, size: int) -> None:
        with self._lock:
            if (item := self._items.get(key)) is None:
                return
            self._items[key] = replace(item, size=size)
            if not self._make_room(0):
                raise OutOfMemory(_TOO_LARGE)


class Lease:
    """Lease: a hold on entries of the cache for as long as they are used."""

    def __init__(self, cache: ModelCache, timeout_s: float) -> None:
        self._cache = cache
        self.timeout_s = timeout_s
        self.keys: list[Key] = []

    def get(
        self,
        key: Key,
        load: Callable[[], Any],
        size_of: Callable[[Any], int],
        *,
        expected_bytes: Callable[[], int] = lambda: 0,
        close: Callable[[], None] | None = None,
    ) -> Any:
        """Get the value that `load` makes, made once while it stays; `close` undoes what it did beyond making the
        value. `expected_bytes`: called before it is made, for which there is room then.

        Raises what `load` raises, and `OutOfMemory` when it does not fit beside the pinned entries.
        """
        return self._cache._get(key, load, size_of, expected_bytes, close, self)

    def resize(self, key: Key, size: int) -> None:
        """Set the bytes of an entry that has grown or shrunk. Raises `OutOfMemory` when it does not fit any more."""
        self._cache._resize(key, size)
