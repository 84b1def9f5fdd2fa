"""Waiting without blocking others: what the two clients do not share."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

T = TypeVar("T")
Sleep = Callable[[float], Awaitable[None]]
"""A pause, seconds."""

sleep: Sleep = asyncio.sleep


async def in_thread(function: Callable[..., T], *arguments: object) -> T:
    """Call a function that reads or writes files."""
    return await asyncio.to_thread(function, *arguments)
