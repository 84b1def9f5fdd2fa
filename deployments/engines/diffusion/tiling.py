"""Convolutions that wrap around the edge, for images that tile."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from threading import Lock
from typing import Any


@contextmanager
def tiled(networks: Sequence[Any], lock: Lock) -> Iterator[None]:
    """Make convolutions wrap around the edge while the block runs, so that the edges of an image fit each other."""
    import torch

    convolutions = [part for net in networks for part in net.modules() if isinstance(part, torch.nn.Conv2d)]
    with lock:
        for convolution in convolutions:
            convolution.padding_mode = "circular"
        try:
            yield
        finally:
            for convolution in convolutions:
                convolution.padding_mode = "zeros"
