"""How many calls run together: batchers tell, and what counts them in this process hears."""

from __future__ import annotations

from collections.abc import Callable

Hear = Callable[[str, int], None]
"""Hears the verb of calls, and how many of them were made together."""
_hearers: list[Hear] = []


def heard_by(hear: Hear) -> None:
    """Tell `hear` from now on, in place of whom was told before: a process has one."""
    _hearers[:] = [hear]


def tell(verb: str, calls: int) -> None:
    """Tell that so many calls begin together. Called from any thread."""
    for hear in _hearers:
        hear(verb, calls)
