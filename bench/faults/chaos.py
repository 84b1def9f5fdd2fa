"""Faults in an order drawn by a seed, under traffic: `python -m bench.faults.chaos --seconds 150 --seed 1`.

Two users of a process of their own upload, analyse, edit, read and delete (`bench.faults.traffic`), while the server's
processes are killed or stopped, its disk is filled and its database held (`bench.faults.faults`). Then everything that
was acknowledged must be there, and every answer must be that of a server that nothing happened to. Exit status 1
otherwise. Only processes below the server's own tree are touched.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import secrets
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import get_args

import httpx
import psutil
from rich.console import Console

from bench.faults import checks, journal
from bench.faults.client import Client, NotAcknowledged
from bench.faults.disk import small_disk
from bench.faults.faults import Fault, draw
from bench.faults.parts import parts
from bench.faults.pictures import Pictures
from bench.faults.running import running, server_with_keys, users_of
from bench.faults.topologies import Topology
from bench.report import Report
from bench.server import ROOT, Server
from bench.speed.album import photographs

USERS = 2
KEY = "CHAOS_ADMIN_KEY"
"""Variable with the key of a server that runs already."""
_WARM_S = 8.0
_REST_S = (1.0, 4.0)
_STRENGTH_S = 180.0
"""Seconds after which a server that is not back counts as lost."""
_POLL_S = 0.25
_LAST_S = 150.0


@dataclass(frozen=True)
class Outcome:
    fault: Fault
    at_s: float
    back_s: float
    """Seconds from the end of the fault until the server was as strong as before."""


class Lost(Exception):
    """The server did not come back."""


def main() -> int:
    """Run the command. -> exit status"""
    parser = argparse.ArgumentParser(prog="python -m bench.faults.chaos", description=__doc__.partition("\n")[0])
    parser.add_argument("--seconds", type=float, default=150.0, help="time in which faults begin")
    parser.add_argument("--seed", type=int, default=None, help="of the order of faults, and of the traffic")
    parser.add_argument("--topology", choices=get_args(Topology), default="compact")
    parser.add_argument("--faults", type=int, default=None, help="faults at most")
    parser.add_argument("--only", default="", help="only faults whose names contain this")
    parser.add_argument(
        "--beside", default="", help=f"compare with the server at this URL, not a new one; {KEY} is its administrator's"
    )
    options = parser.parse_args()
    seed = secrets.randbelow(10**6) if options.seed is None else options.seed
    console = Console(log_path=False)
    console.log(f"seed {seed}")
    pictures = Pictures(seed)
    with tempfile.TemporaryDirectory(prefix="chaos-") as folder:
        path = Path(folder) / "journal.jsonl"
        outcomes, verdict, answers = _disturbed(options, seed, path, pictures, console)
        entries = journal.read(path)
    known = checks.acknowledged(entries)
    console.log(f"{len(known.pictures)} pictures; sending them to a server that nothing happens to ...")
    with _undisturbed(options.beside) as clients:
        try:
            verdict.wrong += checks.differences(answers, checks.undisturbed(clients, known, pictures))
        except NotAcknowledged as error:
            verdict.wrong.append(f"nothing was compared: {error}")
    report = Report(f"chaos_{options.topology}_{seed}")
    report_on(report, outcomes, entries, known, verdict, answers)
    for name, cases in (("lost", verdict.lost), ("failed for good", verdict.failed), ("wrong", verdict.wrong)):
        for case in cases:
            console.print(f"{name}: {case}", markup=False)
    return 1 if verdict.lost or verdict.failed or verdict.wrong else 0


@contextmanager
def _undisturbed(url: str) -> Iterator[list[Client]]:
    """Have a server that nothing happens to, the one at `url` or a new one. -> a client for each of its users"""
    if url:
        with users_of(url, os.environ[KEY], USERS) as clients:
            yield clients
        return
    with tempfile.TemporaryDirectory(prefix="darkroom-") as folder:
        server, key = server_with_keys("compact", Path(folder))
        with running(server, key, USERS) as clients:
            yield clients


def _disturbed(
    options: argparse.Namespace, seed: int, path: Path, pictures: Pictures, console: Console
) -> tuple[list[Outcome], checks.Verdict, checks.Answers]:
    """Start a server, harm it under traffic, let it rest, and ask for what it acknowledged."""
    with small_disk() as (folder, is_small):
        if not is_small:
            console.print("no full disk: only root can mount a small one")
        server, key = server_with_keys(options.topology, folder / "data")
        with running(server, key, USERS) as clients:
            keys = [client.key for client in clients]
            strength = Strength(server, keys[0])
            rng = random.Random(seed)
            outcomes: list[Outcome] = []
            try:
                with _traffic(server.url, keys, seed, path):
                    for outcome in _harm(server, strength, rng, options, folder if is_small else None):
                        console.log(f"{outcome.at_s:6.1f} s  {outcome.fault.name}: back in {outcome.back_s:.1f} s")
                        outcomes.append(outcome)
                console.log("asking for all that was acknowledged ...")
                return outcomes, *checks.check(clients, journal.read(path), pictures)
            except Exception:
                _show_end(server, console)
                raise


def _harm(
    server: Server, strength: Strength, rng: random.Random, options: argparse.Namespace, disk: Path | None
) -> Iterator[Outcome]:
    """Inflict fault after fault, each when the server is back from the one before."""
    began = time.monotonic()
    time.sleep(_WARM_S)
    waiting: list[Fault] = []
    left = options.faults
    while time.monotonic() - began < options.seconds and left != 0:
        if not waiting:
            drawn = draw(rng, list(strength.parts), disk, options.topology)
            waiting = [fault for fault in drawn if options.only in fault.name]
        if not waiting:
            raise ValueError(f"no fault of this server is named '{options.only}'")
        fault = waiting.pop()
        at_s = time.monotonic() - began
        with fault.inflict(server) as victims:
            time.sleep(fault.lasts_s)
        yield Outcome(fault, at_s, strength.regained_s(fault, {victim.pid for victim in victims}))
        left = None if left is None else left - 1
        time.sleep(rng.uniform(*_REST_S))


class Strength:
    """What a server is at its best: all its parts run, it says that it is ready, and it takes a picture."""

    def __init__(self, server: Server, key: str) -> None:
        self._server = server
        self._key = key
        self._picture = photographs(1)[0]
        self.parts: Mapping[str, list[psutil.Process]] = parts(server)

    def regained_s(self, fault: Fault, gone: set[int]) -> float:
        """Wait until the server is what it was, without the processes `gone`. -> seconds. Raises `Lost`."""
        began = time.monotonic()
        while time.monotonic() - began < _STRENGTH_S:
            if self._server.exit_status is not None:
                raise Lost(f"the server ended after '{fault.name}', with exit status {self._server.exit_status}")
            if self._is_whole(gone) and self._server.is_ready() and self._takes_a_picture():
                return time.monotonic() - began
            time.sleep(_POLL_S)
        raise Lost(f"the server was not back {_STRENGTH_S:g} s after '{fault.name}'")

    def _is_whole(self, gone: set[int]) -> bool:
        found = parts(self._server)
        running = {process.pid for processes in found.values() for process in processes}
        return set(found) >= set(self.parts) and not gone & running

    def _takes_a_picture(self) -> bool:
        try:
            answer = httpx.post(
                f"{self._server.url}/api/v1/images",
                files=[("file", ("probe.jpg", self._picture))],
                headers={"Authorization": f"Bearer {self._key}"},
                timeout=30,
                trust_env=False,
            )
        except httpx.HTTPError:
            return False
        return answer.status_code == 201


@contextmanager
def _traffic(url: str, keys: list[str], seed: int, path: Path) -> Iterator[None]:
    """Run the traffic in a process of its own until the block ends, and for as long as its last calls take."""
    command = [sys.executable, "-m", "bench.faults.traffic"]
    with subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, text=True) as process:
        assert process.stdin
        process.stdin.write(json.dumps({"url": url, "keys": keys, "seed": seed, "journal": str(path)}) + "\n")
        process.stdin.flush()
        try:
            yield
        finally:
            process.stdin.close()
            try:
                process.wait(_LAST_S)
            except subprocess.TimeoutExpired:
                process.kill()


def report_on(
    report: Report,
    outcomes: list[Outcome],
    entries: list[journal.Entry],
    known: checks.Acknowledged,
    verdict: checks.Verdict,
    answers: checks.Answers,
) -> None:
    """Print the table and write it to `out`."""
    report.add("acknowledged pictures", len(known.pictures), "")
    report.add("acknowledged albums", len({(post.user, post.album) for post in known.posts}), "")
    report.add("acknowledged jobs", len(known.posts) + len(known.edits), "")
    report.add("acknowledged deletions", len(known.deleted), "")
    report.add("answers compared with an undisturbed server's", len(answers), "")
    report.add("lost", len(verdict.lost), "", target=0, at_most=True)
    report.add("failed for good", len(verdict.failed), "", target=0, at_most=True)
    report.add("wrong answers", len(verdict.wrong), "", target=0, at_most=True)
    report.add("longest stall of all users", journal.longest_stall_s(entries), "s")
    calls = [entry.seconds for entry in entries if isinstance(entry, journal.Call)]
    report.add("longest call that ended well", max(calls, default=0.0), "s")
    seen = Counter(
        (entry.status, entry.says_when) for entry in entries if isinstance(entry, journal.Answer) and entry.user >= 0
    )
    for (status, retried), count in sorted(seen.items()):
        report.add(f"clients saw {status}{', and asked again' if retried else ''}", count, "answers")
    for outcome in outcomes:
        lasted = f", {outcome.fault.lasts_s:.0f} s" if outcome.fault.lasts_s else ""
        report.add(f"{outcome.fault.name}{lasted}: back to strength", outcome.back_s, "s")
    report.finish()


def _show_end(server: Server, console: Console) -> None:
    """Print the last lines of the server and its database."""
    log = server.data_dir / "postgres.log"
    console.print(server.output()[-2000:], markup=False)
    console.print(log.read_text(errors="replace")[-2000:] if log.exists() else "", markup=False)


if __name__ == "__main__":
    sys.exit(main())
