"""The faults of `make chaos` that concern PostgreSQL, on a real one."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Iterator
from pathlib import Path

import asyncpg
import psutil
import pytest

from bench.faults.faults import Fault, draw
from bench.faults.parts import POSTGRES, parts
from bench.server import Server
from serve_app.store.embedded.server import ensure_running


class OnlyPostgres(Server):
    """A server of which the database alone runs."""

    def processes(self) -> list[psutil.Process]:
        mark = f"{self.data_dir}/postgres"
        return [process for process in psutil.process_iter() if mark in " ".join(_words(process))]


def _words(process: psutil.Process) -> list[str]:
    try:
        return list(process.cmdline())
    except psutil.Error:
        return []


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[OnlyPostgres]:
    folder = tmp_path_factory.mktemp("faults")
    with ensure_running(folder):
        asyncio.run(_ask(folder, "CREATE TABLE IF NOT EXISTS jobs (); CREATE TABLE images (); CREATE TABLE albums ()"))
        asyncio.run(_ask(folder, "CREATE TABLE picture_vectors ()"))
        yield OnlyPostgres(folder)


async def _ask(folder: Path, statement: str, timeout_s: float = 10.0) -> None:
    host = (folder / "postgres" / "postmaster.pid").read_text().splitlines()[4]
    connection = await asyncpg.connect(host=host, user="postgres", database="postgres", timeout=timeout_s)
    try:
        await connection.execute(f"SET lock_timeout = '200ms'; {statement}", timeout=timeout_s)
    finally:
        await connection.close()


def _fault(word: str) -> Fault:
    [fault] = [fault for fault in draw(random.Random(1), ["Bundle", POSTGRES], None, "compact") if word in fault.name]
    return fault


def test_a_locked_table_makes_statements_wait_until_the_fault_is_over(server: OnlyPostgres) -> None:
    fault = _fault("database slow")
    table = fault.name.split()[2]
    with fault.inflict(server), pytest.raises(asyncpg.LockNotAvailableError):
        asyncio.run(_ask(server.data_dir, f"SELECT FROM {table}"))
    asyncio.run(_ask(server.data_dir, f"SELECT FROM {table}"))


def test_a_stopped_database_answers_nobody_until_it_goes_on(server: OnlyPostgres) -> None:
    with _fault("PostgreSQL stopped").inflict(server), pytest.raises(TimeoutError):
        asyncio.run(_ask(server.data_dir, "SELECT 1", timeout_s=0.5))
    asyncio.run(_ask(server.data_dir, "SELECT 1"))


def test_a_killed_database_is_another_process_when_it_is_back(server: OnlyPostgres) -> None:
    with _fault("PostgreSQL killed").inflict(server) as gone:
        with ensure_running(server.data_dir):  # waits for the supervisor to have started it again
            asyncio.run(_ask(server.data_dir, "SELECT 1"))
        assert gone
        assert parts(server)[POSTGRES] != gone
