"""`generate_animal_avatar` over HTTP under functions-framework, against stand-ins of Google's three services."""

from __future__ import annotations

import io
import re
from base64 import b64encode, urlsafe_b64decode
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from PIL import Image as PillowImage

from tests.cloud_function.conftest import MADE, Function, Google, edited
from tests.support.builders import a_photo, encoded, encoded_turned
from tests.support.object_stores import BUCKET, write_service_account
from tests.support.vision_server import a_face


def test_a_portrait_comes_back_as_the_url_of_a_stored_picture(function: Function) -> None:
    before = set(function.google.stored())
    answer = function.post(animal="owl")
    assert answer.status_code == 200
    assert set(answer.json()) == {"image_url"}
    [name] = set(function.google.stored()) - before
    assert re.fullmatch(r"avatars/[0-9a-f]{32}\.png", name)
    assert answer.json()["image_url"] == f"{function.google.gcs_endpoint}/{BUCKET}/{name}"
    blob = function.google.stored()[name]
    assert blob.content_type == "image/png"
    fetched = httpx.get(answer.json()["image_url"])
    assert fetched.headers["content-type"] == "image/png"
    assert np.array_equal(np.asarray(PillowImage.open(io.BytesIO(fetched.content))), MADE)


def test_vision_and_the_model_get_the_picture_the_animal_and_the_mode(function: Function) -> None:
    function.google.vision.faces(a_face(), a_face(120), a_face(200))
    assert function.post(animal="panda", mode="overlay").status_code == 200
    [asked] = function.google.vision.requests
    [image] = asked.requests
    assert image.features[0].type_.name == "FACE_DETECTION"
    [sent] = function.google.vertex.requests
    assert sent.path.endswith(
        "/projects/album/locations/us-central1/publishers/google/models/gemini-2.5-flash-image:generateContent"
    )
    picture, words = sent.json["contents"][0]["parts"]
    assert set(picture["inlineData"].values()) >= {"image/jpeg"}
    assert urlsafe_b64decode(picture["inlineData"]["data"]) == image.image.content
    assert "each of the 3 people" in words["text"]
    assert "giant panda" in words["text"]
    assert "eyes and the expression human" in words["text"]


def test_the_default_animal_is_a_fox(function: Function) -> None:
    assert function.post().status_code == 200
    [sent] = function.google.vertex.requests
    assert "head of the person" in sent.body.decode()
    assert "red fox" in sent.body.decode()


def test_the_picture_sent_on_is_upright_small_and_without_metadata(function: Function) -> None:
    photo = np.repeat(np.repeat(a_photo("astronaut"), 4, 0), 5, 1)  # 2048 high, 2560 wide
    exif_and_turned = encoded_turned(photo, 6, quality=80)
    assert function.post(exif_and_turned).status_code == 200
    content = function.google.vision.requests[0].requests[0].image.content
    sent = PillowImage.open(io.BytesIO(content))
    assert sent.format == "JPEG"
    assert sent.size == (1536, 1229)
    assert not sent.getexif()


def test_a_phones_picture_with_a_second_one_inside_is_taken(function: Function) -> None:
    first, second = PillowImage.fromarray(a_photo("astronaut", 200)), PillowImage.fromarray(a_photo("coffee", 100))
    assert function.post(encoded(first, "MPO", save_all=True, append_images=[second])).status_code == 200


@pytest.mark.parametrize("format", ["PNG", "WEBP", "GIF", "BMP"])
def test_other_formats_are_taken_too(function: Function, format: str) -> None:
    assert function.post(encoded(a_photo("astronaut", 200), format)).status_code == 200


def test_the_type_of_the_object_is_that_of_its_bytes(function: Function) -> None:
    data = {"mimeType": "image/png", "data": b64encode(encoded(MADE, "JPEG")).decode()}
    function.google.vertex.always(json=edited(inlineData=data))
    url = function.post().json()["image_url"]
    assert url.endswith(".jpg")
    assert httpx.get(url).headers["content-type"] == "image/jpeg"


def test_two_pictures_have_two_names(function: Function) -> None:
    assert function.post().json() != function.post().json()


def test_a_signed_url_opens_the_picture_once_there_is_a_key_to_sign_it(
    start: Callable[..., Any], google: Google, tmp_path: Path
) -> None:
    google.well()
    key = tmp_path / "key.json"
    before = set(google.stored())
    with start(AVATAR_URLS="signed", AVATAR_URL_TTL_S="90", GOOGLE_APPLICATION_CREDENTIALS=str(key)) as function:
        refused = function.post()
        assert (refused.status_code, refused.json()["code"]) == (502, "credentials")
        assert google.vertex.requests, "it got as far as the storage"
        assert set(google.stored()) == before, "where no URL can be signed nothing is stored"
        write_service_account(key)
        url = function.post().json()["image_url"]
    assert "X-Goog-Signature=" in url
    assert "X-Goog-Expires=90" in url
    assert PillowImage.open(io.BytesIO(httpx.get(url).content)).size == (MADE.shape[1], MADE.shape[0])


def test_a_public_url_may_be_a_domain_of_ones_own(start: Callable[..., Any], google: Google) -> None:
    google.well()
    with start(AVATAR_PUBLIC_BASE_URL="https://pictures.example/") as function:
        url = function.post().json()["image_url"]
    assert re.fullmatch(r"https://pictures\.example/avatars/[0-9a-f]{32}\.png", url)
