"""Servers for faults: as `make run` starts it, or on two nodes of this machine."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Literal, TypeAlias

from bench.faults import stored_head, two_nodes
from bench.server import Server

Topology: TypeAlias = Literal["compact", "split", "stored-head"]
"""compact: `make run`. split: a deployment for each capability, on two nodes, of which one can be missed. stored-head:
all replicas on a node, and a head that may lose GCS, since its state is in Valkey."""
_COMMANDS = {
    "split": ("bench.faults.two_nodes", two_nodes.READY),
    "stored-head": ("bench.faults.stored_head", stored_head.READY),
}


def make_server(topology: Topology, folder: Path, **environment: str) -> Server:
    """Make a server of a topology, not started yet."""
    if topology == "compact":
        return Server(folder, **environment)
    module, ready = _COMMANDS[topology]
    return Server(folder, (sys.executable, "-m", module), ready, **environment)
