"""Servers for faults: as `make run` starts it, or a deployment for each capability on two nodes of this machine."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Literal, TypeAlias

from bench.faults import two_nodes
from bench.server import Server

Topology: TypeAlias = Literal["compact", "split"]


def make_server(topology: Topology, folder: Path, **environment: str) -> Server:
    """Make a server of a topology, not started yet."""
    if topology == "compact":
        return Server(folder, **environment)
    command = (sys.executable, "-m", "bench.faults.two_nodes")
    return Server(folder, command, two_nodes.READY, **environment)
