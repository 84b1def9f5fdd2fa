"""Schemathesis against a running server: some processes side by side, each of one thread.

Not one process of some threads: there CPython 3.11 dies in `ast.parse` now and then ("SystemError: AST constructor
recursion depth mismatch"). What the tool breaks of itself says nothing about the server, so it is tried again in a new
process, and is never taken for a finding.
"""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum, auto
from pathlib import Path
from typing import Any

import httpx

from tests.support.openapi import ENDLESS

PROCESSES = 2
TRIES = 2
_ERRORS_OF_THE_TOOL = {"Runtime Error", "Test Execution Error"}
"""Titles of what it did not expect; other errors, of the network or of the schema, are the server's doing."""
_TAIL = 6000


class FuzzerBroken(Exception):
    """The tool failed, not the server."""


class Verdict(Enum):
    CLEAN = auto()
    FINDING = auto()
    BROKEN = auto()


@dataclass(frozen=True, slots=True)
class Run:
    exit_code: int
    report: dict[str, Any] | None
    """What `--report-json-path` names, see `schemathesis.cli.json_report`; None: the process ended before it wrote."""
    output: str

    @property
    def verdict(self) -> Verdict:
        if self.report is None:
            return Verdict.BROKEN
        errors = {error["title"] for error in self.report["errors"]}
        if self.report["failures"] or errors - _ERRORS_OF_THE_TOOL:
            return Verdict.FINDING
        return Verdict.CLEAN if self.exit_code == 0 and not errors else Verdict.BROKEN


async def fuzz(document_url: str, folder: Path, *options: str) -> None:
    """Fuzz the operations of an OpenAPI document.

    Raises `AssertionError` with what was found, `FuzzerBroken` when the tool broke `TRIES` times.
    """
    async with httpx.AsyncClient(trust_env=False, timeout=30) as client:
        document = (await client.get(document_url)).raise_for_status().json()
    names = [name for name in document["paths"] if name not in ENDLESS]
    shares = [names[place::PROCESSES] for place in range(PROCESSES)]
    command = _command(document_url, options)
    async with asyncio.TaskGroup() as group:
        tasks = [
            group.create_task(_fuzz_share(command, folder / str(place), share)) for place, share in enumerate(shares)
        ]
    runs = [task.result() for task in tasks]
    found = [run.output[-_TAIL:] for run in runs if run.verdict is Verdict.FINDING]
    assert not found, "\n".join(found)
    operations = sum(len(document["paths"][name]) for name in names)
    assert sum(run.report["operations"]["selected"] for run in runs if run.report) == operations


async def _fuzz_share(command: Sequence[str], folder: Path, paths: Sequence[str]) -> Run:
    selection = [word for path in paths for word in ("--include-path", path)]
    return await run_until_judged([*command, *selection], folder)


async def run_until_judged(command: Sequence[str], folder: Path) -> Run:
    """Run the command until it does not break. Raises `FuzzerBroken` after `TRIES` times."""
    for attempt in range(TRIES):
        run = await _run(command, folder / str(attempt))
        if run.verdict is not Verdict.BROKEN:
            return run
    raise FuzzerBroken(
        f"The fuzzer itself broke in each of {TRIES} processes, the server may be well:\n{run.output[-_TAIL:]}"
    )


async def _run(command: Sequence[str], folder: Path) -> Run:
    report = folder / "report.json"
    await asyncio.to_thread(folder.mkdir, parents=True)
    process = await asyncio.create_subprocess_exec(
        *(*command, "--report-json-path", str(report)),
        cwd=folder,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    output, _ = await process.communicate()
    assert process.returncode is not None
    return Run(process.returncode, _read(report), output.decode(errors="replace"))


def _read(report: Path) -> dict[str, Any] | None:
    try:
        return dict(json.loads(report.read_text()))
    except (FileNotFoundError, json.JSONDecodeError):
        return None


def _command(document_url: str, options: Sequence[str]) -> list[str]:
    tool = str(Path(sys.executable).with_name("st"))
    fixed = ("--seed", "7", "--no-color", "--workers", "1", "--continue-on-failure", "--request-timeout", "30")
    return [tool, "run", document_url, *fixed, "--suppress-health-check", "all", "--warnings", "off", *options]
