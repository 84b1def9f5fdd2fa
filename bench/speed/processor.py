"""Processor time of a server by what its processes are for."""

from __future__ import annotations

import time
from collections import Counter

import psutil

from bench.report import Report
from bench.server import Server

RAY = "Ray"
_KINDS = {
    "HTTP (ingress)": "ServeReplica:darkroom:Ingress",
    "jobs (worker)": "ServeReplica:darkroom:Worker",
    "models (bundle)": "ServeReplica:darkroom:Bundle",
    "diffusion": "ServeReplica:darkroom:Diffusion",
    "proxy": "ProxyActor",
    "front door": "haproxy",
    "database": "postgres",
}
"""Process -> what its command line holds; the rest are Ray's own."""
KINDS = (*_KINDS, RAY)


def processor_s(server: Server) -> Counter[str]:
    """Add up the processor seconds of a server's processes by kind (`KINDS`)."""
    seconds: Counter[str] = Counter()
    for process in server.processes():
        try:
            command, times = " ".join(process.cmdline()), process.cpu_times()
        except psutil.Error:
            continue
        kind = next((kind for kind, mark in _KINDS.items() if mark in command), RAY)
        seconds[kind] += times.user + times.system + times.children_user + times.children_system
    return seconds


class Phases:
    """What a server takes in phases of its work, one after the other, a picture."""

    def __init__(self, server: Server, pictures: int) -> None:
        self._server = server
        self._pictures = pictures
        self._begun = (time.monotonic(), processor_s(server))
        self._found: dict[str, float] = {}

    def end(self, phase: str) -> None:
        """End a phase; the next one begins."""
        started, before = self._begun
        self._begun = (time.monotonic(), processor_s(self._server))
        self._found[f"{phase}: clock"] = self._begun[0] - started
        for kind in KINDS:
            if kind in before:
                self._found[f"{phase}: {kind}"] = self._begun[1][kind] - before[kind]

    def report(self, report: Report) -> None:
        """Add the phases to a report, milliseconds a picture."""
        for name, seconds in self._found.items():
            report.add(name, 1000 * seconds / self._pictures, "ms a picture")
