"""Recovery time from kill -9 of a process to a healthy server: `python -m bench.speed.recovery`.

The album shows what a lost worker costs at most: the lease of its jobs (DARKROOM_JOBS__LEASE_S) runs out before another
worker goes on where it stopped. tests/cluster asserts that nothing is lost; this measures how long it takes.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import httpx

from bench.report import Report, no_arguments
from bench.server import Server, running_server
from bench.speed.album import photographs

_POLL_S = 0.05
_PICTURES = 48


def main() -> None:
    no_arguments(__doc__)
    report = Report("recovery")
    files = photographs(2 * _PICTURES)
    with running_server() as server, httpx.Client(base_url=f"{server.url}/api/v1", timeout=600) as client:
        for deployment in ("Bundle", "Worker", "Ingress"):
            report.add(f"{deployment} killed, to ready", _killed(server, deployment), "s")
        undisturbed = _album(client, files[:_PICTURES], "undisturbed", lambda: None)
        report.add(f"album of {_PICTURES}, undisturbed", undisturbed, "s")
        killed = _album(client, files[_PICTURES:], "killed", server.replica("Worker").kill)
        report.add(f"album of {_PICTURES}, Worker killed half way", killed, "s")
    report.finish()


def _killed(server: Server, deployment: str) -> float:
    victim = server.replica(deployment)
    victim.kill()
    started = time.monotonic()
    while True:
        try:
            if server.replica(deployment).pid != victim.pid and server.is_ready():
                return time.monotonic() - started
        except LookupError:
            pass
        time.sleep(_POLL_S)


def _album(client: httpx.Client, files: list[bytes], name: str, half_way: Callable[[], Any]) -> float:
    """Time embedding an album in seconds; `half_way` is called when some of its images are done."""
    parts = [("file", (f"{place}.jpg", data)) for place, data in enumerate(files)]
    images = client.post("/images", files=parts).raise_for_status().json()["images"]
    body = {"images": [image["url"] for image in images], "album_id": name}
    started = time.monotonic()
    answer = client.post("/albums/embeddings", json=body, headers={"Prefer": "respond-async"}).raise_for_status()
    called = False
    while True:
        job = client.get(answer.headers["location"].removeprefix("/api/v1")).json()
        if job["status"] not in {"queued", "running"}:
            break
        if not called and job["progress"] > 0.3:
            half_way()
            called = True
        time.sleep(_POLL_S)
    if job["status"] != "succeeded" or job["result"]["embedded"] != len(files):
        raise RuntimeError(f"the album was not embedded: {job}")
    return time.monotonic() - started


if __name__ == "__main__":
    main()
