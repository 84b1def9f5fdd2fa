"""What one user waits while another does its worst, against what it waits alone: `python -m bench.speed.neighbour`.

B looks at its history, uploads a photograph of 2 megapixels and asks for its tags, again and again; A keeps the queue
full, holds half-sent requests open, posts pictures full of faces, or huge albums (`bench.speed.nuisances`), from
another address. Everything runs on one machine, so that A's work, and A itself, take cores from B: the ratio holds
both what that costs and what B stands in line for. With fewer than 100 rounds the 99th percentile is the longest wait.
"""

from __future__ import annotations

import argparse
import secrets
import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager

import httpx
import numpy as np

from bench.report import Report
from bench.server import Server, running_server
from bench.speed.album import photographs
from bench.speed.nuisances import ELSEWHERE, distinct, upload, wait_for, worst_of

_MOST = 3.0
"""Ratio of the 99th percentiles that is aimed at."""
_PATIENCE_S = 300.0


def main() -> None:
    parser = argparse.ArgumentParser(description="What user B waits while user A does its worst")
    parser.add_argument("--rounds", type=int, default=100, help="rounds of B's at most, alone and beside each")
    parser.add_argument("--seconds", type=float, default=180.0, help="seconds at most, alone and beside each")
    parser.add_argument("--album", type=int, default=500, help="pictures of a huge album")
    parser.add_argument("--connections", type=int, default=200, help="half-sent requests")
    options = parser.parse_args()
    report = Report("neighbour")
    with server_with_keys() as (server, admin):
        with a_user(server, admin, "bee") as bee:
            measure(bee, 2, options.seconds)  # a fresh server loads and tunes
            alone = measure(bee, options.rounds, options.seconds)
            _add(report, "alone", alone)
            for worst in worst_of(options.album, options.connections):
                with a_user(server, admin, "ay", ELSEWHERE) as ay:
                    nuisance = worst(ay)
                    with nuisance.going_on():
                        beside = measure(bee, options.rounds, options.seconds)
                _add(report, f"beside {nuisance.name}", beside, alone)
                report.add(f"A's refused calls, {nuisance.name}", nuisance.refused, "")
    report.finish()


@contextmanager
def server_with_keys(**environment: str) -> Iterator[tuple[Server, str]]:
    """Start a server that asks for keys. -> it and the administrator's key"""
    key = secrets.token_urlsafe(24)
    with running_server(DARKROOM_AUTH__MODE="api_key", DARKROOM_AUTH__ADMIN_KEY=key, **environment) as server:
        yield server, key


@contextmanager
def a_user(server: Server, admin_key: str, name: str, address: str | None = None) -> Iterator[httpx.Client]:
    """Create a user, and delete it with all that it has when the block ends. -> a client with its key, at `address`"""
    base = f"{server.url}/api/v1"
    transport = httpx.HTTPTransport(limits=httpx.Limits(max_connections=None), local_address=address)
    with httpx.Client(base_url=base, timeout=_PATIENCE_S, headers=_bearer(admin_key), trust_env=False) as admin:
        account = {"username": f"{name}-{secrets.token_hex(4)}", "email": f"{secrets.token_hex(8)}@example.org"}
        user = admin.post("/users", json=account).raise_for_status().json()
        with httpx.Client(
            base_url=base, timeout=_PATIENCE_S, headers=_bearer(user["api_key"]), transport=transport, trust_env=False
        ) as client:
            try:
                yield client
            finally:
                admin.delete(f"/users/{user['id']}").raise_for_status()


def measure(client: httpx.Client, rounds: int, seconds: float) -> dict[str, list[float]]:
    """Time B's steps, in seconds, for so many rounds or so long. A refused call raises `httpx.HTTPStatusError`."""
    files = photographs(4, seed=1)
    waits: dict[str, list[float]] = defaultdict(list)
    deadline = time.monotonic() + seconds
    for number in range(rounds):
        if number and time.monotonic() > deadline:
            break
        waited = round_of(client, distinct(files[number % len(files)]))
        for step, wait in waited.items():
            waits[step].append(wait)
    return waits


def round_of(client: httpx.Client, file: bytes) -> dict[str, float]:
    """Look, upload and ask for tags once. -> step: seconds. Raises `RuntimeError` when the analysis fails."""
    waited = {}
    started = time.monotonic()
    client.get("/history").raise_for_status()
    waited["look"] = time.monotonic() - started

    started = time.monotonic()
    [url] = upload(client, file)
    waited["upload"] = time.monotonic() - started

    started = time.monotonic()
    answer = client.post("/albums/tags", json={"images": [url]}).raise_for_status()
    if answer.status_code == 202:
        job = wait_for(client, answer.json()["id"])
        if job["status"] != "succeeded":
            raise RuntimeError(f"the tags were not computed: {job}")
    waited["tags"] = time.monotonic() - started
    waited["all three"] = sum(waited.values())
    return waited


def _add(report: Report, when: str, waits: dict[str, list[float]], alone: dict[str, list[float]] | None = None) -> None:
    for step, seconds in waits.items():
        for share in (50, 99):
            report.add(f"{step}, {when}, p{share} of {len(seconds)}", float(np.percentile(seconds, share)), "s")
        if alone is not None:
            ratio = float(np.percentile(seconds, 99) / np.percentile(alone[step], 99))
            target = _MOST if step == "all three" else None
            report.add(f"{step}, {when}, p99 to p99 alone", ratio, "", target=target, at_most=True)


def _bearer(key: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {key}"}


if __name__ == "__main__":
    main()
