"""Hashes of model files, computed in the background and kept beside the models."""

from __future__ import annotations

import hashlib
import json
import threading
from collections import deque
from collections.abc import Callable
from pathlib import Path

from deployments.engines.diffusion.headers import addnet_hash


def _sha256(path: Path) -> str:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


_WAYS: dict[str, Callable[[Path], str]] = {"": _sha256, "addnet": addnet_hash}
"""Ways to hash: the whole file, or its tensors without the header, as the original names LoRAs."""


class Hashes:
    """Cache of files' hashes, each file read once while its size and time stay; kept in `store` if that is writable.

    Thread-safe. `known` never reads a file: a thread does, one file after the other, and ends when none waits.
    """

    def __init__(self, store: Path) -> None:
        self._store = store
        self._lock = threading.Condition()
        self._waiting: deque[tuple[str, Path, str]] = deque()
        self._queued: set[str] = set()
        self.asked = 0
        """Number of files that were given to the background so far."""
        self._thread: threading.Thread | None = None
        self._known = _read(store)

    def of(self, path: Path, way: str = "") -> str:
        """Compute a file's hash, or return the known one. Raises `OSError` for a file that is not there."""
        key = _key(path, way)
        with self._lock:
            found = self._known.get(key)
        return self._compute(key, path, way) if found is None else found

    def known(
        self, path: Path, way: str = "", *, size: int = -1, mtime_ns: int = -1, soon: bool = False, wait_s: float = 0.0
    ) -> str:
        """Return a file's hash; "" where it is not known yet: then it is computed in the background, `soon` first.

        `size` and `mtime_ns` save asking the disk for them; `wait_s`: how long to wait for it.
        """
        try:
            key = _key(path, way, size, mtime_ns)
        except OSError:
            return ""
        with self._lock:
            if key in self._known:
                return self._known[key]
            if soon or key not in self._queued:
                self.asked += key not in self._queued
                self._queued.add(key)
                (self._waiting.appendleft if soon else self._waiting.append)((key, path, way))
                if self._thread is None:
                    self._thread = threading.Thread(target=self._work, name="model hashes", daemon=True)
                    self._thread.start()
            if wait_s:
                self._lock.wait_for(lambda: key in self._known or key not in self._queued, wait_s)
            return self._known.get(key, "")

    def wait(self, seconds: float) -> bool:
        """Wait until nothing waits to be hashed, at most so long. -> whether that is so"""
        with self._lock:
            return self._lock.wait_for(lambda: self._thread is None, seconds)

    def _work(self) -> None:
        while True:
            with self._lock:
                if not self._waiting:
                    self._thread = None
                    self._keep()
                    self._lock.notify_all()
                    return
                key, path, way = self._waiting.popleft()
                if key in self._known:
                    continue
            try:
                self._compute(key, path, way)
            except Exception:  # gone, or not to be read: asked for again with the next list; the others have their turn
                with self._lock:
                    self._queued.discard(key)
                    self._lock.notify_all()

    def _compute(self, key: str, path: Path, way: str) -> str:
        found = _WAYS[way](path)
        with self._lock:
            if _key(path, way) == key:  # a file that was written meanwhile has another hash
                self._known[key] = found
                if not self._waiting:
                    self._keep()
            self._queued.discard(key)
            self._lock.notify_all()
        return found

    def _keep(self) -> None:
        partial = self._store.with_suffix(".partial")
        try:
            partial.write_text(json.dumps(self._known))
            partial.replace(self._store)
        except OSError:
            return  # a read-only folder: hashed again after the next start


def _read(store: Path) -> dict[str, str]:
    """Read the hashes that were kept; none where the file is damaged."""
    try:
        found = json.loads(store.read_text())
    except (OSError, ValueError, RecursionError):
        return {}
    if not isinstance(found, dict):
        return {}
    return {key: value for key, value in found.items() if isinstance(value, str)}


def _key(path: Path, way: str, size: int = -1, mtime_ns: int = -1) -> str:
    if size < 0:
        found = path.stat()
        size, mtime_ns = found.st_size, found.st_mtime_ns
    return f"{path}:{size}:{mtime_ns}" + (f":{way}" if way else "")
