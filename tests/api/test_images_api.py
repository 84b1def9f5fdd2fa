"""Uploads of images over HTTP."""

from __future__ import annotations

import httpx
import pytest
from PIL import Image as PillowImage

from tests.api.conftest import BASE, assert_problem, upload
from tests.support.builders import an_image, encoded, encoded_turned


async def test_an_upload_answers_with_the_upright_size_and_a_url_that_serves_its_bytes(
    idle_client: httpx.AsyncClient,
) -> None:
    data = encoded_turned(an_image(size=(40, 60)), 6)
    response = await idle_client.post("/api/v1/images", files={"file": ("a.jpg", data)})
    assert response.status_code == 201
    [image] = response.json()["images"]
    assert (image["width"], image["height"], image["bytes"]) == (40, 60, len(data))
    assert image["url"].startswith(f"{BASE}/api/v1/files/")
    served = await idle_client.get(image["url"])
    assert served.content == data
    assert served.headers["content-type"] == "image/jpeg"
    assert served.headers["x-content-type-options"] == "nosniff"


async def test_the_same_bytes_twice_are_two_images_of_one_hash(idle_client: httpx.AsyncClient) -> None:
    data = encoded(an_image(), "PNG")
    response = await idle_client.post("/api/v1/images", files=[("file", ("a.png", data)), ("file", ("b.png", data))])
    first, second = response.json()["images"]
    assert first["id"] != second["id"]
    assert first["url"] != second["url"]
    assert first["sha256"] == second["sha256"]


async def test_a_bad_file_is_listed_and_does_not_stop_the_good_one(idle_client: httpx.AsyncClient) -> None:
    files = [
        ("file", ("good.png", encoded(an_image(), "PNG"))),
        ("file", ("words.jpg", b"these are words")),
        ("file", ("nothing.png", b"")),
        ("file", ("cut.jpg", encoded(an_image(size=(200, 200)), "JPEG")[:300])),
    ]
    response = await idle_client.post("/api/v1/images", files=files)
    assert response.status_code == 201
    assert len(response.json()["images"]) == 1
    rejected = {entry["filename"]: entry["code"] for entry in response.json()["rejected"]}
    assert rejected == {"words.jpg": "unsupported_type", "nothing.png": "empty", "cut.jpg": "corrupt"}


async def test_the_files_of_one_request_come_back_in_their_order(idle_client: httpx.AsyncClient) -> None:
    # Sizes fall, so that what is sent first takes the longest.
    sides = [400, 20, 300, 30, 200, 40, 100, 50, 10]
    files = [("file", (f"{side}.png", encoded(an_image((side, side)), "PNG"))) for side in sides]
    files[3:3] = [("file", ("first bad.jpg", b"words"))]
    files += [("file", ("second bad.jpg", b"words"))]
    body = (await idle_client.post("/api/v1/images", files=files)).json()
    assert [image["width"] for image in body["images"]] == sides
    assert [entry["filename"] for entry in body["rejected"]] == ["first bad.jpg", "second bad.jpg"]


async def test_an_upload_of_only_bad_files_is_a_problem_that_lists_them(idle_client: httpx.AsyncClient) -> None:
    response = await idle_client.post("/api/v1/images", files={"file": ("x.jpg", b"words")})
    body = assert_problem(response, 415, "unsupported-image")
    assert body["rejected"][0]["code"] == "unsupported_type"


async def test_too_many_pixels_are_refused_with_413(idle_client: httpx.AsyncClient) -> None:
    data = encoded(an_image(size=(2100, 2000)), "PNG")
    body = assert_problem(await idle_client.post("/api/v1/images", files={"file": ("big.png", data)}), 413)
    assert body["rejected"][0]["code"] in {"too_many_pixels", "too_large"}


async def test_a_file_over_the_size_limit_is_refused(idle_client: httpx.AsyncClient) -> None:
    body = assert_problem(await idle_client.post("/api/v1/images", files={"file": ("big", b"x" * (2**20 + 1))}), 413)
    assert body["rejected"][0]["code"] == "too_large"


async def test_more_files_than_the_limit_are_refused(idle_client: httpx.AsyncClient) -> None:
    files = [("file", (f"{n}.png", b"x")) for n in range(21)]
    assert_problem(await idle_client.post("/api/v1/images", files=files), 413)


@pytest.mark.parametrize("path", ["/api/v1/images", "/upload-image/"])
async def test_json_where_a_form_is_expected_is_415(idle_client: httpx.AsyncClient, path: str) -> None:
    assert_problem(await idle_client.post(path, json={"file": "x"}), 415)


async def test_a_form_without_files_is_422(idle_client: httpx.AsyncClient) -> None:
    assert_problem(await idle_client.post("/api/v1/images", files={"other": ("a", b"x")}), 422)


async def test_the_tutorials_spelling_stores_a_picture(idle_client: httpx.AsyncClient) -> None:
    response = await idle_client.post("/upload-image/", files={"file": ("me.png", encoded(an_image(), "PNG"))})
    assert response.status_code == 201
    assert response.json()["filename"] == "me.png"
    assert (await idle_client.get(response.json()["url"])).status_code == 200


async def test_an_unknown_image_is_404(idle_client: httpx.AsyncClient) -> None:
    assert_problem(await idle_client.get("/api/v1/images/img_nothing"), 404, "not-found")
    assert_problem(await idle_client.get("/api/v1/files/img_nothing.jpg"), 404, "not-found")
    assert_problem(await idle_client.get("/api/v1/files/..%2F..%2Fetc%2Fpasswd"), 404)


async def test_a_deleted_image_is_gone(idle_client: httpx.AsyncClient) -> None:
    [url] = await upload(idle_client, encoded(an_image(), "PNG"))
    image_id = url.rsplit("/", 1)[1].split(".")[0]
    assert (await idle_client.get(f"/api/v1/images/{image_id}")).status_code == 200
    assert (await idle_client.delete(f"/api/v1/images/{image_id}")).status_code == 204
    assert_problem(await idle_client.get(f"/api/v1/images/{image_id}"), 404)
    assert_problem(await idle_client.get(url), 404)


async def test_bytes_stay_while_another_image_holds_them(idle_client: httpx.AsyncClient) -> None:
    data = encoded(an_image(), "PNG")
    first, second = await upload(idle_client, data, data)
    await idle_client.delete(f"/api/v1/images/{first.rsplit('/', 1)[1].split('.')[0]}")
    assert (await idle_client.get(second)).content == data


async def test_an_image_keeps_its_files_name_and_says_when_with_what_and_where_it_was_taken(
    idle_client: httpx.AsyncClient,
) -> None:
    exif = PillowImage.Exif()
    exif[271], exif[272] = "Apple", "iPhone 15"
    exif.get_ifd(0x8769).update({36867: "2026:03:01 12:30:05", 36881: "+01:00"})
    exif.get_ifd(0x8825).update({1: "N", 2: (48.0, 8.0, 0.0), 3: "E", 4: (11.0, 34.0, 30.0)})
    files = {"file": ("Mäuse 👩‍🚀.jpg", encoded(an_image(), exif=exif))}
    [image] = (await idle_client.post("/api/v1/images", files=files)).json()["images"]
    assert image["filename"] == "Mäuse 👩‍🚀.jpg"
    detail = (await idle_client.get(f"/api/v1/images/{image['id']}")).json()
    assert (detail["filename"], detail["taken_at"]) == ("Mäuse 👩‍🚀.jpg", "2026-03-01T12:30:05+01:00")
    assert detail["camera"] == "Apple iPhone 15"
    assert detail["place"] == {"latitude": pytest.approx(48.13333), "longitude": pytest.approx(11.575)}


async def test_a_picture_without_exif_says_neither_time_nor_camera_nor_place(idle_client: httpx.AsyncClient) -> None:
    [url] = await upload(idle_client, encoded(an_image(), "PNG"))
    detail = (await idle_client.get(f"/api/v1/images/{url.rsplit('/', 1)[1].split('.')[0]}")).json()
    assert (detail["taken_at"], detail["camera"], detail["place"]) == (None, None, None)


async def test_a_rejected_file_is_told_by_its_place_since_names_may_repeat(idle_client: httpx.AsyncClient) -> None:
    good = encoded(an_image(), "PNG")
    files = [("file", ("a.png", data)) for data in (good, b"words", good, b"")]
    body = (await idle_client.post("/api/v1/images", files=files)).json()
    assert [(entry["index"], entry["filename"]) for entry in body["rejected"]] == [(1, "a.png"), (3, "a.png")]


async def test_a_long_name_is_cut_before_its_ending(idle_client: httpx.AsyncClient) -> None:
    files = {"file": ("x" * 2000 + ".png", encoded(an_image(), "PNG"))}
    [image] = (await idle_client.post("/api/v1/images", files=files)).json()["images"]
    assert image["filename"] == "x" * 251 + ".png"


async def test_a_name_of_a_megabyte_is_a_problem_of_the_request(idle_client: httpx.AsyncClient) -> None:
    files = {"file": ("x" * 2**20 + ".png", encoded(an_image(), "PNG"))}
    assert_problem(await idle_client.post("/api/v1/images", files=files), 422, "invalid-request")
