"""One data folder through the lives of three servers: killed outright, ended by Ctrl-C, run by Serve's own command."""

from __future__ import annotations

import signal
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx
import psutil
import pytest

from bench.server import ROOT, Server, free_port
from configs.settings import Settings
from tests.support.album_client import (
    album_when_analysed,
    assert_all_embedded,
    ended,
    half_way,
    many_pictures,
    open_client,
    start_album,
    upload,
)
from tests.support.listeners import assert_no_command_without_token, listeners

pytestmark = [pytest.mark.cluster, pytest.mark.weights]


@dataclass
class Past:
    """What the first server had acknowledged when it was killed, and the files behind it."""

    data_dir: Path
    files: dict[str, bytes]
    finished: list[str]
    job: str
    interrupted: list[str]


@pytest.fixture(scope="module")
def past(tmp_path_factory: pytest.TempPathFactory) -> Past:
    """An album that is done and one that is half done when kill -9 ends every process, PostgreSQL included."""
    server = Server(tmp_path_factory.mktemp("lives"), DARKROOM_JOBS__LEASE_S="4")
    try:
        server.start()
        with open_client(server) as client:
            files = many_pictures(3, salt=6)
            finished = list(upload(client, files).values())
            start_album(client, "finished", finished)
            album_when_analysed(client, "finished")
            interrupted = list(upload(client, many_pictures(80, salt=7)).values())
            job = start_album(client, "interrupted", interrupted)
            half_way(client, job)
    finally:
        server.kill()
    paths = [[url.removeprefix(server.url) for url in urls] for urls in (finished, interrupted)]
    return Past(server.data_dir, files, paths[0], job, paths[1])


@pytest.fixture(scope="module")
def second(past: Past) -> Iterator[Server]:
    server = Server(past.data_dir, DARKROOM_JOBS__LEASE_S="4")
    try:
        server.start()
        yield server
    finally:
        server.kill()


@pytest.fixture
def client(second: Server) -> Iterator[httpx.Client]:
    with open_client(second) as opened:
        yield opened


def test_after_a_kill_of_everything_the_job_is_finished_by_the_next_start(client: httpx.Client, past: Past) -> None:
    assert ended(client, past.job)["status"] == "succeeded"
    album = album_when_analysed(client, "interrupted")
    assert_all_embedded(album, [image["image"] for image in album["images"]])
    assert {httpx.URL(image["image"]).path for image in album["images"]} == set(past.interrupted)


def test_what_was_done_before_is_there_after_it(client: httpx.Client, past: Past) -> None:
    album = client.get("/albums/finished").json()
    assert_all_embedded(album, [image["image"] for image in album["images"]])
    assert {httpx.URL(image["image"]).path for image in album["images"]} == set(past.finished)


def test_uploads_are_there_byte_by_byte_after_it(second: Server, past: Past) -> None:
    stored = [httpx.get(second.url + path, trust_env=False).content for path in past.finished]
    assert stored == list(past.files.values())


def test_ctrl_c_ends_every_process_and_says_little(second: Server) -> None:
    left = second.stop(signal.SIGINT)
    assert left == []
    assert second.exit_status == 0
    assert not _postgres_of(second)
    lines = second.output().splitlines()
    assert lines[0].startswith("Starting Darkroom")
    assert lines[-1] == "Stopping ..."
    assert len(lines) <= 12, second.output()  # no logs, no warnings


def test_serve_run_finds_the_same_data_on_the_named_port_and_ends_everything_too(
    past: Past, tmp_path: Path, ray_folder: str
) -> None:
    local = (ROOT / "configs" / "local.yaml").read_text()
    assert local.count("port: 8001") == 2  # Serve's own and what the graph is told of it
    config = tmp_path / "local.yaml"
    config.write_text(local.replace("port: 8001", f"port: {free_port()}"))  # 8001 may be taken on this machine
    command = [str(Path(sys.executable).with_name("serve")), "run", str(config)]
    own = {"HOME": str(tmp_path), "DARKROOM_WEIGHTS_DIR": str(Settings().weights_dir), "RAY_TMPDIR": ray_folder}
    server = Server(past.data_dir, command, announcement="", **own)
    try:
        server.start()
        assert_no_command_without_token(listeners(server.processes()))
        assert (tmp_path / ".ray/auth_token").stat().st_mode & 0o077 == 0
        with open_client(server) as client:
            album = client.get("/albums/finished").json()
            assert_all_embedded(album, [image["image"] for image in album["images"]])
            url = next(iter(upload(client, many_pictures(1, salt=8)).values()))
            assert url.startswith(server.url)
            start_album(client, "by-serve", [url])
            assert_all_embedded(album_when_analysed(client, "by-serve"), [url])
        assert server.stop(signal.SIGINT) == []
        assert not _postgres_of(server)
    finally:
        server.kill()


def _postgres_of(server: Server) -> list[psutil.Process]:
    return [process for process in server.processes() if process.name() == "postgres"]
