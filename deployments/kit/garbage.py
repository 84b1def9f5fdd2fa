"""A pause of Python's collector of cyclic garbage, for work that makes very many objects."""

from __future__ import annotations

import gc
import threading
from collections.abc import Iterator
from contextlib import contextmanager

_lock = threading.Lock()
_pauses = 0
_was_enabled = False


@contextmanager
def collector_paused() -> Iterator[None]:
    """Pause the collector of cycles in this process; pauses may overlap, and the last to end ends them all.

    While a million objects are made that all stay, the collector goes through them again and again, and stops every
    thread for it, the event loop's too. What has no cycles is freed as ever.
    """
    global _pauses, _was_enabled
    with _lock:
        if _pauses == 0:
            _was_enabled = gc.isenabled()
            gc.disable()
        _pauses += 1
    try:
        yield
    finally:
        with _lock:
            _pauses -= 1
            if _pauses == 0 and _was_enabled:
                gc.enable()
