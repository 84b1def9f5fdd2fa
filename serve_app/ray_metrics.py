"""Darkroom's metrics as Ray's own types, so that every replica counts, and the pages on which Ray shows them.

Each node has a page (`ray.nodes()` knows its port) with what all processes of that node count, told to it every ten
seconds. Ray puts `ray_` before each name; Serve adds the labels `application`, `deployment` and `replica`.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Iterable
from typing import Any

import httpx
import ray
import structlog
from ray.serve import metrics

from serve_app.telemetry import SECONDS, SIZES, Kind, Write

log = structlog.get_logger(__name__)

PREFIX = "ray_darkroom_"
_PAGE_S = 3.0
"""Seconds for the page of a node."""
_AT_ONCE = 16
"""Pages that are read at once."""
_NAMED = re.compile(r"(?:# (?:HELP|TYPE) )?(ray_darkroom_\w+)")

_WHERE = re.compile(r'(?<=[{,])(?:Component|NodeAddress|SessionName|Version|WorkerId|otel_scope_\w+)="[^"]*",?')
"""Labels by which Ray names machines and libraries: strangers may read `GET /metrics`, and `replica` suffices."""


def export(kind: Kind, name: str, text: str, labels: tuple[str, ...]) -> Write:
    """Open a metric of Ray's. Call it on a Serve replica: outside of one it lacks Serve's labels."""
    keys: Any = labels  # Serve's annotation says one label
    if kind == "counter":
        return metrics.Counter(name, text, keys).inc
    if kind == "gauge":
        return metrics.Gauge(name, text, keys).set
    return metrics.Histogram(name, text, list(SIZES if kind == "sizes" else SECONDS), keys).observe


async def read_all() -> bytes:
    """Read Darkroom's metrics from the pages of all nodes, as one page of Prometheus' text format.

    A node whose page cannot be read is left out, with a warning in the log.
    """
    nodes = await asyncio.to_thread(ray.nodes)
    addresses = [f"{node['NodeManagerAddress']}:{node['MetricsExportPort']}" for node in nodes if node["Alive"]]
    slots = asyncio.Semaphore(_AT_ONCE)
    async with httpx.AsyncClient(timeout=_PAGE_S, trust_env=False) as client:
        pages = await asyncio.gather(*(_read(client, slots, address) for address in addresses))
    return merged(pages)


async def _read(client: httpx.AsyncClient, slots: asyncio.Semaphore, address: str) -> str:
    try:
        async with slots:
            response = await client.get(f"http://{address}/metrics")
            response.raise_for_status()
            return response.text
    except httpx.HTTPError as error:
        log.warning("a node gives no metrics", node=address, error=type(error).__name__)
        return ""


def merged(pages: Iterable[str]) -> bytes:
    """Merge Darkroom's metrics of several pages into one, where the lines of a metric stand together.

    Labels that name a machine are left out.
    """
    heads: dict[str, dict[str, None]] = {}
    samples: dict[str, list[str]] = {}
    for page in pages:
        family = ""
        for line in page.splitlines():
            named = _NAMED.match(line)
            if named is None:
                continue
            if line.startswith("#"):
                family = named[1]
                heads.setdefault(family, {})[line] = None
            else:
                samples.setdefault(family, []).append(_WHERE.sub("", line).replace(",}", "}"))
    lines = (line for family, head in heads.items() for line in (*head, *samples.get(family, ())))
    return "".join(f"{line}\n" for line in lines).encode()
