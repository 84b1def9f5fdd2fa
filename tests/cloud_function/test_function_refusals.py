"""Refusals and failures of the cloud function: the status, a code, and nothing stored."""

from __future__ import annotations

import re
import time
from base64 import b64encode
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import grpc
import httpx
import pytest
from PIL import Image as PillowImage

from tests.cloud_function.conftest import MADE, PORTRAIT, Function, Google, edited
from tests.support.builders import a_flat_image, a_photo, encoded
from tests.support.object_stores import BUCKET
from tests.support.vendor_server import VendorServer


@pytest.fixture(autouse=True)
def _nothing_is_stored(google: Google) -> Iterator[None]:
    before = set(google.stored())
    yield
    assert set(google.stored()) == before


def problem(answer: httpx.Response) -> tuple[int, str]:
    """Return status and code of an error, whose form is checked on the way."""
    assert answer.headers["content-type"] == "application/json"
    body = answer.json()
    assert set(body) == {"error", "code"}
    assert re.fullmatch(r"[A-Z][^\n]*[.]", body["error"])
    for leak in ("Traceback", "/tmp", ".py", "127.0.0.1", "album", BUCKET, "Bearer", "secret"):
        assert leak not in answer.text
    return answer.status_code, body["code"]


def test_no_image_is_a_bad_request(function: Function) -> None:
    assert problem(function.post(None)) == (400, "no-image")
    assert problem(function.post(b"")) == (400, "no-image")
    assert problem(function.send("POST")) == (400, "no-image")
    assert problem(function.send("POST", json={"file": "x"})) == (400, "no-image")
    assert problem(function.send("POST", data={"file": "a text"})) == (400, "no-image")
    assert not function.google.vision.requests


def test_a_form_cut_off_in_the_middle_is_a_bad_request(function: Function) -> None:
    headers = {"Content-Type": "multipart/form-data; boundary=x"}
    cut = b'--x\r\nContent-Disposition: form-data; name="file"; filename="a"\r\n\r\nhalf a pict'
    assert problem(function.send("POST", content=cut, headers=headers))[0] == 400


def test_a_picture_without_faces_is_a_bad_request(function: Function) -> None:
    function.google.vision.faces()
    assert problem(function.post()) == (400, "no-face")
    assert not function.google.vertex.requests


@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE", "PATCH", "OPTIONS"])
def test_only_post_is_allowed(function: Function, method: str) -> None:
    answer = function.send(method)
    assert problem(answer) == (405, "method-not-allowed")
    assert answer.headers["allow"] == "POST"


def test_a_large_picture_is_refused_while_it_is_still_being_sent(function: Function) -> None:
    assert problem(function.post(PORTRAIT + bytes(21 * 2**20))) == (413, "too-large")
    assert not function.google.vision.requests


def test_a_large_picture_in_chunks_is_refused_as_well(function: Function) -> None:
    def body() -> Iterator[bytes]:
        yield b'--x\r\nContent-Disposition: form-data; name="file"; filename="a"\r\n\r\n'
        for _ in range(22):
            yield bytes(2**20)
        yield b"\r\n--x--\r\n"

    headers = {"Content-Type": "multipart/form-data; boundary=x"}
    assert problem(function.send("POST", content=body(), headers=headers)) == (413, "too-large")


def test_a_picture_of_too_many_pixels_is_refused_by_its_header(function: Function) -> None:
    wide = encoded(PillowImage.new("1", (16_000, 4_000)), "PNG")
    assert len(wide) < 100_000
    assert problem(function.post(wide)) == (413, "too-large")
    bomb = encoded(PillowImage.new("1", (60_000, 4_000)), "PNG")  # Pillow itself refuses to open it
    assert problem(function.post(bomb)) == (413, "too-large")


@pytest.mark.parametrize("file", [b"hello", b"%PDF-1.7", b"\xff\xd8\xff", bytes(1000)])
def test_a_file_that_is_no_picture_is_an_unsupported_type(function: Function, file: bytes) -> None:
    assert problem(function.post(file)) == (415, "unsupported-type")


@pytest.mark.parametrize("format", ["JPEG", "PNG", "GIF", "BMP"])
def test_half_a_picture_is_corrupt(function: Function, format: str) -> None:
    whole = encoded(a_photo("astronaut", 300), format)
    assert problem(function.post(whole[: len(whole) // 2])) == (400, "corrupt")
    assert not function.google.vision.requests


def test_an_unknown_animal_and_an_unknown_mode_are_bad_requests(function: Function) -> None:
    answer = function.post(animal="unicorn")
    assert problem(answer) == (400, "unknown-animal")
    assert "koala" in answer.json()["error"]
    assert problem(function.post(mode="statue")) == (400, "unknown-mode")


def test_a_quota_says_when_to_come_again(function: Function) -> None:
    google = function.google
    google.vertex.always(429, {"error": {"code": 429, "message": "album secret", "status": "RESOURCE_EXHAUSTED"}})
    by_model = function.post()
    google.vision.fail(grpc.StatusCode.RESOURCE_EXHAUSTED, "album secret")
    by_vision = function.post()
    google.vision.refuse(8, "album secret")
    by_vision_for_the_picture = function.post()
    for answer in (by_model, by_vision, by_vision_for_the_picture):
        assert problem(answer) == (429, "quota")
        assert int(answer.headers["retry-after"]) > 0


@pytest.mark.parametrize(
    "answer",
    [
        {"promptFeedback": {"blockReason": "SAFETY"}},
        {"candidates": [{"finishReason": "IMAGE_SAFETY"}]},
        {"candidates": [{"finishReason": "PROHIBITED_CONTENT", "content": {"role": "model"}}]},
    ],
)
def test_a_picture_that_the_safety_filter_refused_cannot_be_processed(function: Function, answer: Any) -> None:
    function.google.vertex.always(json=answer)
    assert problem(function.post()) == (422, "refused")


@pytest.mark.parametrize("status", [400, 404, 500, 503])
def test_any_other_failure_of_the_model_is_a_bad_gateway(function: Function, status: int) -> None:
    function.google.vertex.always(status, {"error": {"code": status, "message": "secret of album", "status": "X"}})
    assert problem(function.post()) == (502, "upstream")
    assert len(function.google.vertex.requests) == 1


@pytest.mark.parametrize("code", [grpc.StatusCode.INTERNAL, grpc.StatusCode.UNAVAILABLE])
def test_any_other_failure_of_vision_is_a_bad_gateway(function: Function, code: grpc.StatusCode) -> None:
    function.google.vision.fail(code, "secret of album")
    assert problem(function.post()) == (502, "upstream")
    assert len(function.google.vision.requests) == 1


def test_credentials_that_are_not_accepted_are_a_bad_gateway(function: Function) -> None:
    function.google.vertex.always(403, {"error": {"code": 403, "message": "secret", "status": "PERMISSION_DENIED"}})
    assert problem(function.post()) == (502, "credentials")
    function.google.vision.fail(grpc.StatusCode.UNAUTHENTICATED, "secret")
    assert problem(function.post()) == (502, "credentials")


@pytest.mark.parametrize(
    "answer",
    [
        {"body": b"<html>busy</html>"},
        {"json": {}},
        {"json": {"candidates": []}},
        {"json": {"candidates": [{"finishReason": "NO_IMAGE"}]}},
        {"json": edited(text="I would rather not.")},
        {"json": edited(inlineData={"mimeType": "image/png", "data": "bm8gcGljdHVyZQ=="})},
    ],
    ids=["no JSON", "nothing", "no candidate", "no content", "only words", "no picture"],
)
def test_an_answer_of_the_model_that_makes_no_sense_is_a_bad_gateway(function: Function, answer: Any) -> None:
    function.google.vertex.always(**answer)
    assert problem(function.post()) == (502, "upstream")


def test_half_a_picture_of_the_model_is_not_stored(function: Function) -> None:
    whole = encoded(MADE, "PNG")
    half = {"mimeType": "image/png", "data": b64encode(whole[: len(whole) // 2]).decode()}
    function.google.vertex.always(json=edited(inlineData=half))
    assert problem(function.post()) == (502, "upstream")


def test_a_picture_that_vision_cannot_read_is_the_clients_fault(function: Function) -> None:
    function.google.vision.refuse(3, "Bad image data.")
    assert problem(function.post()) == (400, "corrupt")


def test_an_answer_of_vision_without_a_response_for_the_picture_is_a_bad_gateway(function: Function) -> None:
    function.google.vision.say_nothing()
    assert problem(function.post()) == (502, "upstream")


def test_many_requests_at_once_are_all_answered(function: Function) -> None:
    function.google.vision.faces()
    with ThreadPoolExecutor(12) as threads:
        answers = list(threads.map(lambda _: problem(function.post()), range(24)))
    assert set(answers) == {(400, "no-face")}


@pytest.fixture(scope="module")
def hurried(start: Callable[..., Any]) -> Iterator[tuple[Function, VendorServer]]:
    """A function with little time, and its storage, which is silent."""
    with VendorServer().serving() as storage:
        storage.hang()
        with start(AVATAR_DEADLINE_S="1.5", STORAGE_EMULATOR_HOST=storage.url) as function:
            yield function, storage
            function.google.well()


def test_the_deadline_holds_whichever_service_is_silent(hurried: tuple[Function, VendorServer]) -> None:
    function, storage = hurried
    function.google.well()
    assert problem(function.post()) == (504, "timeout")
    assert storage.requests, "it got as far as the storage"
    function.google.vertex.hang()
    assert problem(function.post()) == (504, "timeout")
    function.google.vision.hang()
    assert problem(function.post()) == (504, "timeout")


def test_the_deadline_holds_for_an_answer_that_comes_byte_by_byte(hurried: tuple[Function, VendorServer]) -> None:
    """Each byte comes well within the timeout of the HTTP client, which counts from one to the next."""
    function, _ = hurried
    function.google.well()
    function.google.vertex.drip()
    began = time.monotonic()
    assert problem(function.post()) == (504, "timeout")
    assert time.monotonic() - began < 10


def test_a_bucket_that_is_not_there_is_a_bad_gateway(start: Callable[..., Any], google: Google) -> None:
    google.well()
    with start(AVATAR_BUCKET="no-such-bucket") as function:
        assert problem(function.post()) == (502, "upstream")


def test_missing_credentials_are_named_and_no_service_is_called(start: Callable[..., Any], google: Google) -> None:
    google.well()
    with start(VISION_ENDPOINT=None) as function:
        assert problem(function.post()) == (502, "credentials")
    assert not google.vertex.requests


def test_the_log_line_of_a_failure_holds_no_picture(function: Function) -> None:
    function.google.vertex.always(500, {"error": {"code": 500, "message": "model on fire", "status": "INTERNAL"}})
    assert function.post().status_code == 502
    log = function.log.read_text()
    assert "Vertex AI answered 500: model on fire" in log
    assert len(max(log.splitlines(), key=len)) < 2000


def test_a_flat_picture_of_one_pixel_is_a_picture(function: Function) -> None:
    function.google.vision.faces()
    assert problem(function.post(encoded(a_flat_image((1, 1)), "PNG"))) == (400, "no-face")
