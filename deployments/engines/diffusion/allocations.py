"""Limit on the memory of networks that are built by the sizes in a file, which may say anything."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any


@contextmanager
def allocating_at_most(limit: int) -> Iterator[None]:
    """Raise `MemoryError` before this thread makes new tensors of more than `limit` bytes while the block runs, those
    that are gone again included."""
    import torch
    from torch.utils._python_dispatch import TorchDispatchMode

    class Count(TorchDispatchMode):  # type: ignore[misc]  # torch says nothing of its types
        left = limit

        def __torch_dispatch__(
            self, func: Any, types: Any, args: Sequence[Any] = (), kwargs: dict[str, Any] | None = None
        ) -> Any:
            options = kwargs or {}
            if args and isinstance(args[0], list | tuple) and all(isinstance(side, int) for side in args[0]):
                dtype = options.get("dtype") or torch.get_default_dtype()
                self.left -= math.prod(args[0]) * dtype.itemsize
                if self.left < 0:
                    raise MemoryError(f"tensors of more than {limit} bytes")
            return func(*args, **options)

    with Count():
        yield
