"""Closing the connections that the libraries of object stores leave open."""

from __future__ import annotations

from typing import Any


def close_connections(*managers: Any) -> None:
    """Close the idle connections of urllib3's pool managers.

    Managers only forget their pools when they are cleared: the connections then stay open for as long as anything, be
    it the traceback of an error, refers to a pool.
    """
    for manager in managers:
        for key in manager.pools.keys():  # it has no iterator
            manager.pools[key].close()
