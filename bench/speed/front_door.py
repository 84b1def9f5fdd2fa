"""Throughput of Serve's proxy alone and through HAProxy in front: `python -m bench.speed.front_door`."""

from __future__ import annotations

import asyncio
import tempfile
import time
from pathlib import Path

import httpx
import psutil

from bench.report import Report, no_arguments
from bench.server import Server

_PATH = "/healthz"
_REQUESTS = 600
_ROUNDS = 3


def main() -> None:
    no_arguments(__doc__)
    report = Report("front_door")
    with tempfile.TemporaryDirectory(prefix="darkroom-") as folder:
        server = Server(Path(folder))
        try:
            server.start()
            straight = proxy_url(server)
            for clients in (1, 16):
                rates: dict[str, list[float]] = {straight: [], server.url: []}
                for _ in range(_ROUNDS):  # in turn, so that both meet the same machine
                    for url, seen in rates.items():
                        seen.append(asyncio.run(requests_per_s(url, clients)))
                proxy, door = (max(rates[url]) for url in (straight, server.url))
                report.add(f"Serve's proxy alone, {clients} clients", proxy, "/s")
                report.add(f"through the front door, {clients} clients", door, "/s")
                report.add("  ratio", door / proxy, "", target=0.8)
        finally:
            server.kill()
    report.finish()


def proxy_url(server: Server) -> str:
    """Find the address at which Serve's proxy listens behind the door."""
    for process in server.processes():
        if "ProxyActor" in " ".join(process.cmdline()):
            for each in process.net_connections():
                if each.status == psutil.CONN_LISTEN and _answers(f"http://127.0.0.1:{each.laddr.port}"):
                    return f"http://127.0.0.1:{each.laddr.port}"
    raise RuntimeError("Serve's proxy was not found")


async def requests_per_s(url: str, clients: int) -> float:
    async with httpx.AsyncClient(base_url=url, timeout=60, trust_env=False) as client:
        left = iter(range(_REQUESTS))

        async def work() -> None:
            for _ in left:
                (await client.get(_PATH)).raise_for_status()

        started = time.monotonic()
        await asyncio.gather(*(work() for _ in range(clients)))
        return _REQUESTS / (time.monotonic() - started)


def _answers(url: str) -> bool:
    try:
        return httpx.get(url + _PATH, timeout=5, trust_env=False).status_code == 200
    except httpx.HTTPError:
        return False


if __name__ == "__main__":
    main()
