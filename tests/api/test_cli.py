"""The command line against a real HTTP server."""

from __future__ import annotations

import asyncio
import io
import json
import threading
from collections.abc import Sequence
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Annotated

import numpy as np
import pytest
import typer
from fastapi import Query
from PIL import Image as PillowImage

from configs.settings import Settings
from darkroom_client import Darkroom
from darkroom_client._sync.picture_routes import File
from darkroom_client.cli.failures import NO_SERVER, STOPPED, USAGE
from darkroom_client.models import Uploads
from serve_app.api.app import build_app
from serve_app.api.schemas.common import Body
from serve_app.cli.main import main
from serve_app.services.container import Services
from serve_app.services.runner import JobRunner
from serve_app.telemetry import Metrics
from tests.api.conftest import serving
from tests.support.builders import a_flat_image, an_image, encoded
from tests.support.fake_generation import COLOURS
from tests.support.fake_portraits import AVATAR_COLOURS
from tests.support.fakes import FakeCapabilities, with_face, with_text
from tests.support.people import group_picture


@pytest.fixture(autouse=True)
def _no_files_of_the_user(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Journals and the config file are of this test."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Two equal pictures in different folders, another one, a broken one, and a file that is no picture."""
    root = tmp_path / "holiday"
    (root / "day 2").mkdir(parents=True)
    red = encoded(a_flat_image(colour=(220, 10, 10)), "PNG")
    (root / "red.png").write_bytes(red)
    (root / "day 2" / "red.png").write_bytes(red)
    (root / "noise.jpg").write_bytes(encoded(an_image(seed=3), "JPEG"))
    (root / "broken.jpg").write_bytes(b"not a picture")
    (root / "notes.txt").write_text("not for upload")
    return root


async def run(url: str, *arguments: str) -> int:
    return await asyncio.to_thread(main, ["--server", url, *arguments])


async def test_album_uploads_a_folder_and_prints_what_is_in_it(
    live_url: str, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert await run(live_url, "album", str(folder)) == 0
    printed = capsys.readouterr().out
    assert "holiday: 3 pictures" in printed
    assert "red" in printed
    assert "day 2/red.png" in printed
    assert "broken.jpg" in printed
    assert "unsupported_type" in printed
    assert "notes.txt" not in printed


async def test_album_as_json_names_files_and_answers(
    live_url: str, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert await run(live_url, "album", str(folder), "--name", "a/b c", "--json") == 0
    answer = json.loads(capsys.readouterr().out)
    files = answer["files"]
    [group] = answer["duplicates"]["duplicates"].values()
    assert {files[url] for url in group} == {"red.png", "day 2/red.png"}
    assert [Path(entry["filename"]).name for entry in answer["rejected"]] == ["broken.jpg"]
    assert await run(live_url, "show", "a/b c") == 0
    shown = capsys.readouterr().out
    assert "red.png" in shown
    assert "img_" not in shown
    assert await run(live_url, "search", "a/b c", "red") == 0
    assert await run(live_url, "albums") == 0
    assert "a/b c" in capsys.readouterr().out
    assert await run(live_url, "delete", "a/b c") == 0
    assert await run(live_url, "show", "a/b c") == 1


async def test_texts_prints_what_is_written_in_the_pictures_of_an_album(
    live_url: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "papers"
    folder.mkdir()
    note = with_text(with_text(a_flat_image((160, 90)), "B", at=(8, 60)), "A", at=(8, 10))
    (folder / "note.png").write_bytes(encoded(note, "PNG"))
    (folder / "blank.png").write_bytes(encoded(a_flat_image((90, 160)), "PNG"))
    assert await run(live_url, "album", str(folder), "--json") == 0
    capsys.readouterr()
    assert await run(live_url, "texts", "papers", "--json") == 0
    assert sorted(entry["text"] for entry in json.loads(capsys.readouterr().out)) == ["", "AAA\nBBB"]
    assert await run(live_url, "texts", "papers") == 0
    printed = capsys.readouterr().out
    assert "note.png" in printed
    assert "AAA" in printed
    assert "blank.png" not in printed
    assert await run(live_url, "texts", "papers", "--min-score", "0.95") == 0
    assert "no text" in capsys.readouterr().out
    assert await run(live_url, "texts", "nowhere") == 1


async def test_a_server_that_is_not_there_is_one_clear_line(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert await run("http://127.0.0.1:9", "album", str(folder)) == NO_SERVER
    error = capsys.readouterr().err
    assert "No Darkroom answers at http://127.0.0.1:9" in " ".join(error.split())
    assert "Traceback" not in error


async def test_a_folder_without_pictures_is_one_clear_line(
    live_url: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert await run(live_url, "album", str(tmp_path)) == 1
    assert "no pictures" in capsys.readouterr().err
    assert await run(live_url, "album", str(tmp_path / "nowhere")) == 1


def test_help_names_every_command(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["--help"])
    assert ended.value.code == 0
    printed = capsys.readouterr().out
    assert all(
        command in printed
        for command in ("album", "show", "albums", "search", "texts", "job", "delete", "style", "avatar", "segment")
    )


async def test_a_folder_of_more_pictures_than_a_request_takes_becomes_one_album(
    live_url: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("darkroom_client._sync.album.BATCH_IMAGES", 10)
    for place in range(24):  # the server of these tests takes twenty
        (tmp_path / f"{place}.png").write_bytes(encoded(an_image(size=(24, 24), seed=place), "PNG"))
    assert await run(live_url, "album", str(tmp_path), "--name", "large", "--json") == 0
    answer = json.loads(capsys.readouterr().out)
    assert len({image for images in answer["tags"]["tags"].values() for image in images}) <= 24
    assert len(answer["files"]) == 24
    assert await run(live_url, "show", "large", "--json") == 0
    assert [image["status"] for image in json.loads(capsys.readouterr().out)["images"]] == ["embedded"] * 24


async def test_style_uploads_a_picture_and_writes_the_one_that_was_made(
    live_url: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "cat.png").write_bytes(encoded(an_image((96, 64)), "PNG"))
    output = tmp_path / "made.jpg"
    assert await run(live_url, "style", str(tmp_path / "cat.png"), "ink", "-o", str(output)) == 0
    made = np.asarray(PillowImage.open(output))
    assert tuple(made.mean((0, 1)).round(-1)) == COLOURS["opencv"]
    assert capsys.readouterr().out == f"{output}\n"


async def test_style_writes_the_format_that_the_file_name_asks_for(
    live_url: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "cat.png").write_bytes(encoded(an_image((96, 64)), "PNG"))
    output = tmp_path / "made.png"
    arguments = ("style", str(tmp_path / "cat.png"), "ink", "-o", str(output), "--seed", "5", "--json")
    assert await run(live_url, *arguments) == 0
    with PillowImage.open(output) as made:
        assert made.format == "PNG"
    answer = json.loads(capsys.readouterr().out)
    assert (answer["seed"], answer["engine"], answer["file"]) == (5, "opencv", str(output))


async def test_a_style_that_cannot_be_made_is_one_clear_line(
    live_url: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "cat.png").write_bytes(encoded(an_image((96, 64)), "PNG"))
    (tmp_path / "notes.txt").write_text("no picture")
    tries = [
        (("nowhere.png", "ink"), "There is no file"),
        (("notes.txt", "ink"), "cannot be used"),
        (("cat.png", "nope"), "There is no style 'nope'"),
        (("cat.png", "ink", "-o", str(tmp_path / "made.exe")), "cannot be written"),
        (("cat.png", "ink", "-o", str(tmp_path / "no folder" / "made.jpg")), "cannot be written"),
    ]
    for (picture, *more), message in tries:
        assert await run(live_url, "style", str(tmp_path / picture), *more) == 1
        assert message in " ".join(capsys.readouterr().err.split())


async def test_styles_lists_them(live_url: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert await run(live_url, "styles") == 0
    assert "As if drawn with ink." in capsys.readouterr().out


@pytest.fixture
def portrait(tmp_path: Path) -> Path:
    file = tmp_path / "anna.png"
    file.write_bytes(encoded(with_face(a_flat_image(), person=56), "PNG"))
    return file


async def test_avatar_sends_a_picture_and_writes_the_one_that_was_made(
    live_url: str, portrait: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    output = tmp_path / "made.jpg"
    assert await run(live_url, "avatar", str(portrait), "--animal", "cat", "--seed", "5", "--out", str(output)) == 0
    made = np.asarray(PillowImage.open(output), np.int64)
    assert made[12, 12] == pytest.approx(AVATAR_COLOURS["local"], abs=6)
    printed = capsys.readouterr()
    assert printed.out == f"{output}\n"
    assert "1 face by local, seed 5:" in printed.err


async def test_avatar_as_json_is_the_answer(
    live_url: str, portrait: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ("--mode", "overlay", "-o", str(tmp_path / "made.png"), "--json")
    assert await run(live_url, "avatar", str(portrait), *arguments) == 0
    answer = json.loads(capsys.readouterr().out)
    assert (answer["animal"], answer["mode"], len(answer["faces"])) == ("fox", "overlay", 1)
    with PillowImage.open(answer["file"]) as made:
        assert made.format == "PNG"


async def test_segment_writes_the_cut_out_and_the_mask(
    live_url: str, portrait: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    cutout, mask = tmp_path / "cutout.png", tmp_path / "mask.png"
    assert await run(live_url, "segment", str(portrait), "-o", str(cutout), "--mask", str(mask)) == 0
    with PillowImage.open(cutout) as image, PillowImage.open(mask) as its_mask:
        assert (image.mode, its_mask.mode, image.size) == ("RGBA", "L", its_mask.size)
    printed = capsys.readouterr()
    assert printed.out == f"{cutout}\n{mask}\n"
    assert "0.99" in printed.err


async def test_segment_of_a_person_names_its_file_by_itself(
    live_url: str, portrait: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert await run(live_url, "segment", str(portrait), "--target", "person") == 0
    assert (tmp_path / "anna-person.png").is_file()


async def test_a_portrait_that_cannot_be_had_is_one_clear_line(
    live_url: str, portrait: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "alone.png").write_bytes(encoded(a_flat_image(), "PNG"))
    (tmp_path / "notes.txt").write_text("no picture")
    tries = [
        (("avatar", "nowhere.png"), "There is no file"),
        (("avatar", "notes.txt"), "Unsupported image type"),
        (("avatar", "anna.png", "--animal", "unicorn"), "There is no animal 'unicorn'"),
        (("avatar", "alone.png"), "No face found"),
        (("avatar", "anna.png", "--out", str(tmp_path / "made.exe")), "cannot be written"),
        (("segment", "alone.png"), "No face found"),
        (("segment", "anna.png", "--engine", "magic"), "is not configured here"),
    ]
    for (command, picture, *more), message in tries:
        assert await run(live_url, command, str(tmp_path / picture), *more) == 1
        assert message in " ".join(capsys.readouterr().err.split())


async def test_nothing_is_made_for_a_folder_that_is_not_there(
    live_url: str, portrait: Path, tmp_path: Path, capabilities: FakeCapabilities, capsys: pytest.CaptureFixture[str]
) -> None:
    nowhere = tmp_path / "no folder" / "made.png"
    assert await run(live_url, "avatar", str(portrait), "--out", str(nowhere)) == 1
    assert await run(live_url, "segment", str(portrait), "--mask", str(nowhere)) == 1
    assert " ".join(capsys.readouterr().err.split()).count("is not a folder") == 2
    assert capabilities.asked == []


async def test_animals_lists_them(live_url: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert await run(live_url, "animals") == 0
    assert "As if it were a fox." in capsys.readouterr().out


def test_the_key_of_the_environment_goes_with_every_request(monkeypatch: pytest.MonkeyPatch) -> None:
    heard: list[str | None] = []

    class ListeningServer(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            heard.append(self.headers["Authorization"])
            body = b'{"animals": []}'
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    with HTTPServer(("127.0.0.1", 0), ListeningServer) as server:
        serving = threading.Thread(target=server.serve_forever)
        serving.start()
        for key in ("dk_secret", None):
            monkeypatch.setenv("DARKROOM_API_KEY", key) if key else monkeypatch.delenv("DARKROOM_API_KEY")
            assert main(["--server", f"http://127.0.0.1:{server.server_port}", "animals", "--json"]) == 0
        server.shutdown()
        serving.join()
    assert heard == ["Bearer dk_secret", None]


async def test_an_interrupted_upload_goes_on_and_sends_no_file_twice(
    live_url: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    root = tmp_path / "many"
    root.mkdir()
    for place in range(24):
        (root / f"{place:02}.png").write_bytes(encoded(an_image(size=(24, 24), seed=place), "PNG"))
    sent: list[str] = []
    upload_images = Darkroom.upload_images

    def counting(client: Darkroom, files: Sequence[File]) -> Uploads:
        if len(sent) == 16 and "stop" in allowed:
            allowed.clear()
            raise KeyboardInterrupt
        sent.extend(name for name, _ in files)
        return upload_images(client, files)

    allowed = ["stop"]
    monkeypatch.setattr(Darkroom, "upload_images", counting)
    monkeypatch.setattr("darkroom_client._sync.album.BATCH_IMAGES", 10)  # the server of these tests takes twenty
    assert await run(live_url, "album", str(root)) == STOPPED
    assert await run(live_url, "album", str(root), "--json") == 0
    assert sorted(sent) == [f"{place:02}.png" for place in range(24)]
    assert len(json.loads(capsys.readouterr().out)["files"]) == 24
    (root / "03.png").write_bytes(encoded(an_image(size=(24, 24), seed=99), "PNG"))
    assert await run(live_url, "album", str(root), "--json") == 0
    assert sent[24:] == ["03.png"]


async def test_files_whose_answer_was_lost_are_not_sent_again(
    live_url: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    root = tmp_path / "many"
    root.mkdir()
    for place in range(18):  # of which every two are equal
        (root / f"{place:02}.png").write_bytes(encoded(an_image(size=(24, 24), seed=place // 2), "PNG"))
    sent: list[str] = []
    upload_images = Darkroom.upload_images

    def losing(client: Darkroom, files: Sequence[File]) -> Uploads:
        sent.extend(name for name, _ in files)
        answer = upload_images(client, files)
        if len(sent) == 16:
            raise KeyboardInterrupt
        return answer

    monkeypatch.setattr(Darkroom, "upload_images", losing)
    monkeypatch.setattr("darkroom_client._sync.album.BATCH_IMAGES", 10)  # the server of these tests takes twenty
    assert await run(live_url, "album", str(root)) == STOPPED
    assert await run(live_url, "album", str(root), "--json") == 0
    assert sorted(sent) == [f"{place:02}.png" for place in range(18)]
    assert len(json.loads(capsys.readouterr().out)["files"]) == 18
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "another machine"))
    assert await run(live_url, "album", str(root), "--json") == 0
    assert len(sent) == 18


async def test_a_server_that_cannot_be_asked_for_files_by_their_bytes_is_sent_all_of_them_with_a_note(
    services: Services, settings: Settings, worker: JobRunner, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    app = build_app(services, settings, Metrics("ingress"))

    class OlderQuery(Body):
        """Before images were listed by `sha256`."""

        fields: str | None = None
        limit: int = 100

    @app.get("/api/v1/images")
    async def list_images(query: Annotated[OlderQuery, Query()]) -> None:
        raise AssertionError("it is asked for nothing that it knows")

    app.router.routes.insert(0, app.router.routes.pop())
    async with serving(app) as url:
        assert await run(url, "album", str(folder), "--json") == 0
    printed = capsys.readouterr()
    assert len(json.loads(printed.out)["files"]) == 3
    assert " ".join(printed.err.split()).count("cannot look for files by their bytes: all are sent") == 1


async def test_duplicates_are_reviewed_group_by_group(
    live_url: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    root = tmp_path / "twice"
    root.mkdir()
    for seed in range(4):
        (root / f"{seed} a.png").write_bytes(encoded(an_image(seed=seed), "PNG"))
        (root / f"{seed} b.jpg").write_bytes(encoded(an_image(seed=seed), quality=90))
    assert await run(live_url, "album", str(root)) == 0
    monkeypatch.setattr("sys.stdin", io.StringIO("nonsense\n\nd\nu\n2\n"))  # ends while the fourth is asked about
    capsys.readouterr()
    assert await run(live_url, "duplicates", "twice", "--review") == 0
    told = capsys.readouterr().err
    assert "'nonsense' is none of these." in told
    assert "2 resolved, 0 dismissed; 2 pictures in the trash" in told
    with Darkroom(live_url) as client:
        trashed = await asyncio.to_thread(client.list_trash)
        left = await asyncio.to_thread(client.list_album_duplicates, "twice", status="open")
    assert len(trashed.items) == 2
    assert len(left.items) == 2


async def test_a_review_whose_album_is_deleted_tells_what_was_decided_before(
    live_url: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    class Answers(io.StringIO):
        def readline(self, *limits: int) -> str:
            if self.tell():  # the second answer
                with Darkroom(live_url) as client:
                    client.delete_album("twice")
            return super().readline(*limits)

    root = tmp_path / "twice"
    root.mkdir()
    for seed in range(2):
        (root / f"{seed} a.png").write_bytes(encoded(an_image(seed=seed), "PNG"))
        (root / f"{seed} b.jpg").write_bytes(encoded(an_image(seed=seed), quality=90))
    assert await run(live_url, "album", str(root)) == 0
    monkeypatch.setattr("sys.stdin", Answers("\n\n"))
    capsys.readouterr()
    assert await run(live_url, "duplicates", "twice", "--review") != 0
    told = capsys.readouterr().err
    assert "1 resolved, 0 dismissed; 1 pictures in the trash" in told
    assert "There is no album" in told


async def test_a_picture_that_was_deleted_meanwhile_is_sent_again(
    live_url: str, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert await run(live_url, "album", str(folder), "--json") == 0
    files = json.loads(capsys.readouterr().out)["files"]
    [noise] = [url for url, name in files.items() if name == "noise.jpg"]
    with Darkroom(live_url) as client:
        await asyncio.to_thread(client.delete_image, noise.rpartition("/")[2].partition(".")[0])
    assert await run(live_url, "album", str(folder), "--json") == 0
    again = json.loads(capsys.readouterr().out)["files"]
    assert sorted(again.values()) == sorted(files.values())
    assert noise not in again


async def test_search_without_an_album_looks_into_all_and_names_files(
    live_url: str, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert await run(live_url, "album", str(folder), "--name", "one") == 0
    capsys.readouterr()
    for words in (("red",), ("one", "red"), ("one", "red", "-green")):
        assert await run(live_url, "search", *words) == 0
        printed = capsys.readouterr().out
        assert "red.png" in printed
        assert "http://" not in printed
        assert "one" in printed


async def test_duplicates_and_people_of_an_album_are_told_by_file_names(
    live_url: str, folder: Path, portrait: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    await asyncio.to_thread(portrait.rename, folder / "anna.png")
    assert await run(live_url, "album", str(folder), "--name", "one") == 0
    capsys.readouterr()
    assert await run(live_url, "duplicates", "one") == 0
    printed = capsys.readouterr().out
    assert printed.count("red.png") == 2
    assert await run(live_url, "people", "one") == 0
    printed = capsys.readouterr().out
    assert "person1" in printed
    assert "anna.png" in printed
    assert await run(live_url, "people", "one", "--output", "json") == 0
    assert json.loads(capsys.readouterr().out)[0]["image_count"] == 1


async def test_people_of_all_albums_are_named_and_merged_and_questions_about_them_answered(
    live_url: str, folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for place, who in enumerate(((1,), (1,), (1, 2))):
        (folder / f"group{place}.png").write_bytes(group_picture(place, who))
    assert await run(live_url, "album", str(folder), "--name", "one") == 0
    capsys.readouterr()
    assert await run(live_url, "people", "--json") == 0
    anna, other = (person["id"] for person in json.loads(capsys.readouterr().out)[:2])
    assert await run(live_url, "name", anna, "Anna") == 0
    assert await run(live_url, "people", "--named") == 0
    assert "Anna" in capsys.readouterr().out
    assert await run(live_url, "merge", "Anna", other) == 0
    assert "Anna has 4 faces now" in capsys.readouterr().err
    assert await run(live_url, "undo") == 0
    assert await run(live_url, "name", "Bob", "Bert") == 1
    monkeypatch.setattr(typer, "prompt", lambda *_, **__: "y")
    assert await run(live_url, "people", "--review") == 0
    assert "Is the first of these Anna" in capsys.readouterr().err


async def test_jobs_lists_those_of_an_album(live_url: str, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert await run(live_url, "album", str(folder), "--name", "one") == 0
    capsys.readouterr()
    assert await run(live_url, "jobs", "one", "--json") == 0
    found = json.loads(capsys.readouterr().out)
    assert {"tags", "people", "duplicates"} <= {job["kind"] for job in found}
    assert await run(live_url, "job", found[0]["id"]) == 0
    assert found[0]["id"] in capsys.readouterr().out
    assert await run(live_url, "jobs", "--status", "failed") == 0
    assert "no jobs" in capsys.readouterr().out
    assert await run(live_url, "jobs", "--limit", "2") == 0
    assert capsys.readouterr().out.count("succeeded") == 2


async def test_a_job_that_has_not_failed_is_not_started_anew(
    live_url: str, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    await run(live_url, "album", str(folder), "--name", "one")
    capsys.readouterr()
    await run(live_url, "jobs", "one", "--json")
    job = json.loads(capsys.readouterr().out)[0]["id"]
    assert await run(live_url, "job", job, "--retry") != 0
    assert "only one that failed or was cancelled" in capsys.readouterr().err


async def test_the_config_file_says_where_the_server_is_and_how_to_print(
    live_url: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("DARKROOM_SERVER", raising=False)
    file = tmp_path / "config" / "darkroom" / "config.toml"
    file.parent.mkdir(parents=True)
    file.write_text(f'server = "{live_url}"\noutput = "json"\n')
    assert await asyncio.to_thread(main, ["styles"]) == 0
    assert json.loads(capsys.readouterr().out)[0]["name"] == "bare"
    assert await asyncio.to_thread(main, ["--output", "table", "styles"]) == 0
    assert "Styles" in capsys.readouterr().out
    monkeypatch.setenv("DARKROOM_SERVER", "http://127.0.0.1:9")
    assert await asyncio.to_thread(main, ["styles"]) == NO_SERVER


@pytest.mark.parametrize(
    ("text", "said"),
    [("sever = 'x'", "sever"), ("server = ", "no TOML"), ("output = 'yaml'", "output"), ("server = 7", "server")],
)
def test_a_config_file_that_makes_no_sense_is_one_clear_line(
    text: str, said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "mine.toml"
    file.write_text(text)
    monkeypatch.setenv("DARKROOM_CONFIG", str(file))
    assert main(["styles"]) == 1
    printed = capsys.readouterr().err
    assert said in printed
    assert "mine.toml" in printed.replace("\n", "")


async def test_an_error_says_what_to_do_and_no_status_of_http(
    live_url: str, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for arguments in (("show", "nowhere"), ("style", str(folder / "red.png"), "nope"), ("job", "job_x")):
        assert await run(live_url, *arguments) == 1
        assert "404" not in capsys.readouterr().err


def test_the_version_and_the_completion_of_the_shell_are_there(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["--version"])
    assert ended.value.code == 0
    assert capsys.readouterr().out.startswith("darkroom ")
    with pytest.raises(SystemExit):
        main(["--help"])
    assert "--install-completion" in capsys.readouterr().out


@pytest.mark.parametrize("arguments", [["nonsense"], ["album"], ["search"], ["--output", "xml", "albums"]])
def test_wrong_usage_is_a_status_of_its_own(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    assert ended.value.code == USAGE
    assert "darkroom --help" in capsys.readouterr().err


def test_the_dashboard_without_a_data_folder_is_one_clear_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DARKROOM_DATA_DIR", str(tmp_path / "[no]" / "where"))
    assert main(["dashboard"]) == 1
    printed = capsys.readouterr().err
    assert "[no]" in printed.replace("\n", "")
    assert "make run" in " ".join(printed.split())


def test_open_prints_the_address_where_it_is_told_to(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--server", "http://photos.example:8000", "open", "--print"]) == 0
    assert capsys.readouterr().out == "http://photos.example:8000/\n"
