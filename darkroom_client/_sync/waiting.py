"""Waiting that blocks the caller: what the two clients do not share."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")
Sleep = Callable[[float], None]
"""A pause, seconds."""

sleep: Sleep = time.sleep


def in_thread(function: Callable[..., T], *arguments: object) -> T:
    """Call a function that reads or writes files."""
    return function(*arguments)
