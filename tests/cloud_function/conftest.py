"""Fixtures of the cloud function as deployed: functions-framework in a process of its own, its folder alone, over HTTP;
Google's three services are on this machine."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import pytest

from bench.server import free_port
from tests.support.builders import a_photo, base64_png, encoded
from tests.support.object_stores import BUCKET, gcs_client
from tests.support.vendor_server import VendorServer
from tests.support.vision_server import VisionServer, a_face

SOURCE = Path(__file__).parents[2] / "cloud_function"
PORTRAIT = encoded(a_photo("astronaut", 320))
MADE = a_photo("chelsea", 200)
_READY_S = 60.0


@dataclass
class Google:
    """Stand-ins for Vision, Vertex AI and Cloud Storage."""

    vision: VisionServer
    vertex: VendorServer
    gcs_endpoint: str
    environment: dict[str, str] = field(default_factory=dict)

    def well(self) -> None:
        """Reset the stand-ins: one face, an image, nothing on record."""
        self.vision.requests.clear()
        self.vertex.requests.clear()
        self.vision.faces(a_face())
        self.vertex.always(json=edited())

    def stored(self) -> dict[str, Any]:
        """List the objects of the bucket by name."""
        client = gcs_client(self.gcs_endpoint)
        try:
            return {blob.name: blob for blob in client.list_blobs(BUCKET)}
        finally:
            client.close()


def edited(**parts: Any) -> dict[str, Any]:
    """Make an answer of `generateContent` with an image, or with these parts."""
    picture = {"inlineData": {"mimeType": "image/png", "data": base64_png(MADE)}}
    content = {"role": "model", "parts": [parts or picture]}
    return {"candidates": [{"content": content, "finishReason": "STOP", "index": 0}]}


@dataclass
class Function:
    """A running function."""

    url: str
    process: subprocess.Popen[bytes]
    log: Path
    google: Google

    def post(self, file: bytes | None = PORTRAIT, *, url: str = "/", **fields: str) -> httpx.Response:
        files = {"file": ("portrait.jpg", file, "image/jpeg")} if file is not None else {}
        return self.send("POST", url, data=fields, files=files or {"other": ("x", b"x")})

    def send(self, method: str, url: str = "/", **request: Any) -> httpx.Response:
        with httpx.Client(base_url=self.url, timeout=30) as client:
            return client.request(method, url, **request)


@pytest.fixture(scope="session")
def google(gcs_endpoint: str) -> Iterator[Google]:
    with VisionServer().serving() as vision, VendorServer().serving() as vertex:
        yield Google(vision, vertex, gcs_endpoint)


@pytest.fixture(scope="session")
def start(google: Google, tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Any]:
    """Make a context manager: a function with these variables beside or, where None, without the usual ones."""

    @contextmanager
    def started(**changes: str | None) -> Iterator[Function]:
        folder = tmp_path_factory.mktemp("function")
        port = free_port()
        with running(folder, port, _environment(google, folder) | changes) as (process, log):
            function = Function(f"http://127.0.0.1:{port}", process, log, google)
            _wait_until_ready(function)
            yield function
        assert process.returncode in (0, -signal.SIGTERM), log.read_text()

    return started


@pytest.fixture(scope="session")
def shared(start: Callable[..., Any]) -> Iterator[Function]:
    with start() as function:
        yield function


@pytest.fixture
def function(shared: Function) -> Function:
    """A running function with Google's services well."""
    shared.google.well()
    return shared


@contextmanager
def running(
    folder: Path, port: int, environment: Mapping[str, str | None]
) -> Iterator[tuple[subprocess.Popen[bytes], Path]]:
    """Start `functions-framework` on a copy of the function's folder; -> the process, and the file with its output."""
    source = folder / "source"
    shutil.copytree(SOURCE, source, ignore=shutil.ignore_patterns("__pycache__"))
    log = folder / "log"
    command = [str(Path(sys.executable).with_name("functions-framework")), "--target=generate_animal_avatar"]
    command += [f"--source={source / 'main.py'}", "--host=127.0.0.1", f"--port={port}"]
    known = {name: value for name, value in environment.items() if value is not None}
    with log.open("wb") as output:
        process = subprocess.Popen(command, cwd=folder, env=known, stdout=output, stderr=subprocess.STDOUT)
    try:
        yield process, log
    finally:
        process.terminate()
        try:
            process.wait(40)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait(10)
            raise


def _environment(google: Google, folder: Path) -> dict[str, str | None]:
    """Make an environment without credentials of the person who runs the tests: no key, no file, no metadata server."""
    return {
        "PATH": os.environ["PATH"],
        "HOME": str(folder / "home"),
        "NO_GCE_CHECK": "true",
        "PYTHONDONTWRITEBYTECODE": "1",
        "THREADS": "8",
        "GOOGLE_CLOUD_PROJECT": "album",
        "AVATAR_BUCKET": BUCKET,
        "AVATAR_DEADLINE_S": "20",
        "VISION_ENDPOINT": google.vision.endpoint,
        "VERTEX_BASE_URL": google.vertex.url,
        "STORAGE_EMULATOR_HOST": google.gcs_endpoint,
    }


def _wait_until_ready(function: Function) -> None:
    deadline = time.monotonic() + _READY_S
    while time.monotonic() < deadline and function.process.poll() is None:
        try:
            function.send("GET")
        except httpx.TransportError:
            time.sleep(0.05)
        else:
            return
    raise AssertionError(f"the function did not start:\n{function.log.read_text()}")
