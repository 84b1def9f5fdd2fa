"""Faults of a running server, each a block: it begins when the block does, and is over when it ends."""

from __future__ import annotations

import asyncio
import os
import random
import signal
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import asyncpg
import psutil

from bench.faults.parts import CONTROLLER, DOOR, GCS, POSTGRES, PROXY, parts
from bench.faults.topologies import Topology
from bench.faults.two_nodes import PID_FILE
from bench.server import Server

_SHORT_S = (4.0, 9.0)
"""Seconds that a process stands still, a disk is full or a table is locked: within every deadline and health check."""
_LONG_S = (15.0, 40.0)
"""Seconds that a node is missed: longer than its replicas' calls are tried again."""
_FILLING = bytes(16 * 2**20)
_TABLES = ("jobs", "images", "albums", "picture_vectors")
_DEATH_S = 10.0


@dataclass(frozen=True)
class Fault:
    """A fault, what begins and ends it, and how long it lasts in seconds."""

    name: str
    inflict: Callable[[Server], AbstractContextManager[Sequence[psutil.Process]]]
    """Gives the processes that must have been replaced before the server is what it was."""
    lasts_s: float = 0.0


def draw(rng: random.Random, found: Sequence[str], disk: Path | None, topology: Topology) -> list[Fault]:
    """List every fault once, in an order drawn by `rng`. `found`: the server's parts; `disk`: a small one to fill."""
    known = {CONTROLLER, DOOR, GCS, POSTGRES, PROXY}
    replicas = sorted(part for part in found if part not in known)
    returning = known if topology == "stored-head" else known - {GCS}  # without a store, its end is that of all
    faults = [Fault(f"{part} killed", _killing(part)) for part in [*replicas, *sorted(returning & set(found))]]
    frozen = rng.choice(replicas)
    faults += [Fault(f"{part} stopped", _stopping(part), rng.uniform(*_SHORT_S)) for part in (frozen, POSTGRES)]
    table = rng.choice(_TABLES)
    faults.append(Fault(f"database slow, {table} locked", _locking(table), rng.uniform(*_SHORT_S)))
    if topology == "split":
        faults.append(Fault("second node killed, its replacement withheld", _without_node, rng.uniform(*_LONG_S)))
    if disk:
        faults.append(Fault("disk full", lambda _: _filled(disk), rng.uniform(*_SHORT_S)))
    rng.shuffle(faults)
    return faults


def _killing(part: str) -> Callable[[Server], AbstractContextManager[Sequence[psutil.Process]]]:
    @contextmanager
    def killed(server: Server) -> Iterator[Sequence[psutil.Process]]:
        victims = parts(server)[part][:1]  # of several, one: each has its turn by the seed
        for victim in victims:
            victim.kill()
        psutil.wait_procs(victims, _DEATH_S)
        yield victims

    return killed


def _stopping(part: str) -> Callable[[Server], AbstractContextManager[Sequence[psutil.Process]]]:
    @contextmanager
    def stopped(server: Server) -> Iterator[Sequence[psutil.Process]]:
        processes = parts(server)[part]
        if part == POSTGRES:  # its backends, whose titles say what they do
            processes = [*processes, *(child for process in processes for child in process.children(recursive=True))]
        _signal(processes, signal.SIGSTOP)
        try:
            yield []
        finally:
            _signal(processes, signal.SIGCONT)

    return stopped


def _locking(table: str) -> Callable[[Server], AbstractContextManager[Sequence[psutil.Process]]]:
    @contextmanager
    def locked(server: Server) -> Iterator[Sequence[psutil.Process]]:
        with asyncio.Runner() as runner:
            connection = runner.run(connect(server.data_dir))
            try:
                runner.run(connection.execute(f"BEGIN; LOCK TABLE {table} IN ACCESS EXCLUSIVE MODE"))
                yield []
            finally:
                runner.run(connection.close())

    return locked


@contextmanager
def _without_node(server: Server) -> Iterator[Sequence[psutil.Process]]:
    raylet = int((server.data_dir / PID_FILE).read_text())
    [node] = [process for process in server.processes() if process.pid == raylet]
    victims = [*node.children(recursive=True), node]
    _signal(victims, signal.SIGKILL)
    psutil.wait_procs(victims, _DEATH_S)
    try:
        yield victims
    finally:
        os.kill(server.pid, signal.SIGUSR1)


async def connect(data_dir: Path) -> asyncpg.Connection:
    """Connect to the embedded database of a data folder."""
    socket_dir = (data_dir / "postgres" / "postmaster.pid").read_text().splitlines()[4]
    return await asyncpg.connect(host=socket_dir, user="postgres", database="postgres", timeout=_DEATH_S)


@contextmanager
def _filled(disk: Path) -> Iterator[Sequence[psutil.Process]]:
    filler = disk / "filler"
    try:
        with suppress(OSError), filler.open("wb", buffering=0) as file:
            while True:
                file.write(_FILLING)
        yield []
    finally:
        filler.unlink(missing_ok=True)


def _signal(processes: Sequence[psutil.Process], number: signal.Signals) -> None:
    for process in processes:
        with suppress(psutil.NoSuchProcess):
            process.send_signal(number)
