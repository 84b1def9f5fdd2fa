"""Parts of a running server: its processes by the role that they play, found below its own process tree."""

from __future__ import annotations

import re
from collections import defaultdict
from pathlib import Path

import psutil

from bench.server import Server

POSTGRES = "PostgreSQL"
PROXY = "proxy"
CONTROLLER = "controller"
DOOR = "front door"
GCS = "GCS"
_REPLICA = re.compile(r"ray::ServeReplica:darkroom:(\w+)")


def parts(server: Server) -> dict[str, list[psutil.Process]]:
    """List the server's processes by part; a replica's part is its deployment."""
    found: dict[str, list[psutil.Process]] = defaultdict(list)
    for process in server.processes():
        try:
            words = process.cmdline()
            if words and process.status() != psutil.STATUS_ZOMBIE and (part := _part(words)):
                found[part].append(process)
        except psutil.Error:
            continue
    return dict(found)


def _part(words: list[str]) -> str | None:
    title = " ".join(words)
    if replica := _REPLICA.match(title):
        return replica[1]
    if title.startswith("ray::ProxyActor"):
        return PROXY
    if title.startswith("ray::ServeController"):
        return CONTROLLER
    program = Path(words[0]).name
    if program == "postgres":
        return POSTGRES
    if program == "gcs_server":
        return GCS
    return DOOR if program.startswith("haproxy") else None
