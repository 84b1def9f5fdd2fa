"""Pictures of Ray's dashboard and of Prometheus over a server that is at work: `python -m bench.gallery.watching`.

It needs `chromium` and `prometheus` on the PATH, Debian's packages of these names, and takes about three minutes. Ray's
dashboard is opened without its token for the while, on the loopback interface.
"""

from __future__ import annotations

import io
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlencode

import httpx
from PIL import Image

from bench.report import no_arguments
from bench.server import ROOT, Server
from bench.tools.dashboard import queries
from serve_app.local_ray import free_port
from tests.support.album_client import album_when_analysed, many_pictures, open_client, upload

DOCS = ROOT / "docs"
_WORK_S = 75.0
"""Seconds of work before the pictures: enough for a rate over a minute."""
_SETTLE_MS = 12000
GRAPHS = (
    "sum by (deployment, verb) (rate(ray_darkroom_served_pictures_total[1m]))",
    "max by (lane, status) (ray_darkroom_queue_jobs)",
    "sum by (deployment) (ray_serve_replica_processing_queries)",
)


def main() -> int:
    """Write docs/ray-serve.png, docs/ray-cluster.png and docs/prometheus.png. -> exit status"""
    no_arguments(__doc__)
    if missing := [name for name in ("chromium", "prometheus") if shutil.which(name) is None]:
        sys.stderr.write(f"Not on the PATH: {', '.join(missing)}. They are packages of Debian's.\n")
        return 1
    with tempfile.TemporaryDirectory(prefix="watching-") as folder:
        port = free_port()
        server = Server(
            Path(folder),
            DARKROOM_METRICS_PORT=str(port),
            RAY_AUTH_MODE="disabled",
            DARKROOM_AUTH__ALLOW_OPEN_RAY="true",
        )
        try:
            server.start()
            with _prometheus(Path(folder), port) as prometheus, _at_work(server):
                time.sleep(_WORK_S)
                _try_queries(prometheus)
                dashboard = f"http://127.0.0.1:{server.dashboard_port}/#"
                _draw(f"{dashboard}/serve", "ray-serve.png", 900)
                _draw(f"{dashboard}/cluster", "ray-cluster.png", 700)
                asked = {
                    f"g{number}.{key}": value
                    for number, query in enumerate(GRAPHS)
                    for key, value in (("expr", query), ("tab", "0"), ("range_input", "2m"))
                }
                _draw(f"{prometheus}/graph?{urlencode(asked)}", "prometheus.png", 2300)
        finally:
            server.stop()
            server.kill()
    return 0


@contextmanager
def _prometheus(folder: Path, metrics_port: int) -> Iterator[str]:
    """Run Prometheus over the repository's own configuration, on another port."""
    text = (ROOT / "docker/watching/prometheus.yaml").read_text()
    text = text.replace("127.0.0.1:8090", f"127.0.0.1:{metrics_port}").replace("15s", "5s")
    (folder / "prometheus.yaml").write_text(text)
    shutil.copy(ROOT / "docker/watching/alerts.yaml", folder)
    port = free_port()
    command = [
        "prometheus",
        "--config.file=prometheus.yaml",
        f"--web.listen-address=127.0.0.1:{port}",
        "--storage.tsdb.path=data",
    ]
    with subprocess.Popen([*command, "--log.level=error"], cwd=folder) as process:
        try:
            yield f"http://127.0.0.1:{port}"
        finally:
            process.terminate()


def _try_queries(prometheus: str) -> None:
    """Print how many series each query of the Grafana dashboard finds. Raises `httpx.HTTPStatusError`."""
    for query in queries():
        asked = {"query": query.replace("$__rate_interval", "1m")}
        answer = httpx.get(f"{prometheus}/api/v1/query", params=asked, trust_env=False).raise_for_status().json()
        sys.stdout.write(f"{len(answer['data']['result']):4}  {query}\n")


@contextmanager
def _at_work(server: Server) -> Iterator[None]:
    """Let an album after the other be analysed meanwhile."""
    ended = threading.Event()

    def work() -> None:
        with open_client(server) as client:
            for number in range(10_000):
                urls = list(upload(client, many_pictures(12, salt=number)).values())
                client.post("/albums/embeddings", json={"images": urls, "album_id": f"album-{number}"})
                if ended.is_set():
                    return
                album_when_analysed(client, f"album-{number}")

    working = threading.Thread(target=work, daemon=True)
    working.start()
    try:
        yield
    finally:
        ended.set()
        working.join(60)


def _draw(url: str, name: str, height: int) -> None:
    """Write what a browser shows of the page to a file in docs."""
    with tempfile.TemporaryDirectory(prefix="browser-") as folder:
        shot = Path(folder) / "shot.png"
        options = [
            f"--screenshot={shot}",
            f"--window-size=1400,{height}",
            f"--virtual-time-budget={_SETTLE_MS}",
            "--hide-scrollbars",
        ]
        started = ["chromium", "--headless", "--no-sandbox", "--disable-gpu", f"--user-data-dir={folder}", *options]
        subprocess.run([*started, url], check=True, capture_output=True, timeout=90)
        image = Image.open(io.BytesIO(shot.read_bytes())).convert("RGB").quantize(64)
    image.save(DOCS / name, optimize=True)


if __name__ == "__main__":
    sys.exit(main())
