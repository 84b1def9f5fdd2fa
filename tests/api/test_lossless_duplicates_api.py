"""Duplicates whose advice loses nothing, over HTTP with the real engines for embeddings and duplicates."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence

import cv2
import httpx
import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image as PillowImage
from PIL import ImageDraw

from configs.settings import Settings
from deployments.bundle import Bundle
from deployments.contracts.arrays import Image
from tests.api.conftest import upload
from tests.support.builders import a_photo, encoded

pytestmark = pytest.mark.weights


@pytest.fixture
def capabilities(engines: Bundle) -> Bundle:
    return engines


@pytest.fixture
def settings(settings: Settings) -> Settings:
    """With patience: real networks on a busy machine take their time."""
    return settings.model_copy(update={"jobs": settings.jobs.model_copy(update={"sync_wait_s": 300.0})})


def a_still(name: str = "astronaut") -> Image:
    return a_photo(name, 200)


def animated(images: Sequence[Image], format: str = "PNG", **options: object) -> bytes:
    first, *others = map(PillowImage.fromarray, images)
    file = io.BytesIO()
    lossless = {"lossless": True} if format == "WEBP" else {}
    first.save(file, format, save_all=True, append_images=others, **lossless, **options)
    return file.getvalue()


def cut_out(image: Image) -> PillowImage.Image:
    """Cut an ellipse out of the middle."""
    height, width = image.shape[:2]
    alpha = PillowImage.new("L", (width, height), 255)
    ImageDraw.Draw(alpha).ellipse((width * 0.3, height * 0.3, width * 0.7, height * 0.7), fill=0)
    clear = PillowImage.fromarray(image).convert("RGBA")
    clear.putalpha(alpha)
    return clear


def on_white(clear: PillowImage.Image) -> bytes:
    white = PillowImage.new("RGBA", clear.size, "white")
    return encoded(np.asarray(PillowImage.alpha_composite(white, clear).convert("RGB")), "PNG", compress_level=0)


def white_drawing(kind: str) -> bytes:
    """Draw in white on clear ground."""
    picture = PillowImage.new("RGBA", (256, 256), (255, 255, 255, 0))
    draw = ImageDraw.Draw(picture)
    if kind == "star":
        draw.polygon([(128, 10), (160, 240), (20, 90), (236, 90), (96, 240)], fill="white")
    elif kind == "ring":
        draw.ellipse((30, 30, 226, 226), outline="white", width=30)
        draw.rectangle((110, 110, 146, 146), fill="white")
    else:
        for left in range(20, 230, 60):
            draw.rectangle((left, 30 + left // 2, left + 30, 226), fill="white")
    return encoded(picture, "PNG")


def master_and_export(image: Image) -> tuple[bytes, bytes]:
    """Make a 16-bit PNG and the 8-bit TIFF that was exported from it."""
    fine = np.random.default_rng(1).integers(0, 200, image.shape, dtype=np.uint16)
    deep: NDArray[np.uint16] = image.astype(np.uint16) * 256 + fine
    return cv2.imencode(".png", deep[..., ::-1])[1].tobytes(), encoded((deep >> 8).astype(np.uint8), "TIFF")


class Answer:
    """A detailed answer by the names of the files."""

    def __init__(self, names: Mapping[str, str], body: dict[str, object]) -> None:
        self.groups = [frozenset(names[ref] for ref in refs) for refs in body["duplicates"].values()]
        self.keep = {names[group["keep"]] for group in body["groups"]}
        self.levels = {names[one["image"]]: one["level"] for group in body["groups"] for one in group["members"]}


async def duplicates(client: httpx.AsyncClient, files: Mapping[str, bytes], level: str = "copy") -> Answer:
    refs = await upload(client, *files.values())
    names = dict(zip(refs, files, strict=True))
    body = {"images": refs, "level": level}
    response = await client.post("/api/v1/albums/duplicates?detail=true", json=body)
    assert response.status_code == 200, response.text
    assert response.json()["failed"] == []
    return Answer(names, response.json())


@pytest.mark.parametrize("level", ["exact", "copy", "similar"])
async def test_white_drawings_on_clear_ground_are_no_duplicates_of_each_other(
    client: httpx.AsyncClient, level: str
) -> None:
    answer = await duplicates(client, {kind: white_drawing(kind) for kind in ("star", "ring", "bars")}, level)
    assert answer.groups == []


async def test_a_smaller_copy_of_a_white_drawing_is_a_copy(client: httpx.AsyncClient) -> None:
    star = PillowImage.open(io.BytesIO(white_drawing("star")))
    small = encoded(star.resize((180, 180), PillowImage.Resampling.LANCZOS), "PNG")
    answer = await duplicates(client, {"star": white_drawing("star"), "small": small, "ring": white_drawing("ring")})
    assert (answer.groups, answer.keep) == ([{"star", "small"}], {"star"})


@pytest.mark.parametrize("format", ["PNG", "WEBP", "GIF"])
async def test_animations_with_a_common_first_frame_are_no_copies_and_their_still_is_not_kept(
    client: httpx.AsyncClient, format: str
) -> None:
    first, *others = (a_still(name) for name in ("astronaut", "chelsea", "coffee", "rocket", "camera"))
    others = [cv2.resize(other, first.shape[1::-1]) for other in others]
    files = {"a": animated([first, *others[:2]], format), "b": animated([first, *others[2:]], format)}
    answer = await duplicates(client, files)
    assert answer.groups == []
    answer = await duplicates(client, {**files, "still": encoded(first, "BMP")})
    assert len(answer.groups) == 1
    [group] = answer.groups
    assert "still" in group
    assert len(group) == 2
    assert answer.keep == group - {"still"}
    assert answer.levels["still"] == "copy"


async def test_pages_of_a_scan_are_not_replaced_by_the_first(client: httpx.AsyncClient) -> None:
    first, second = a_still("page"), a_still("coffee")
    files = {"scan": animated([first, second], "TIFF"), "first": encoded(first, "PNG")}
    answer = await duplicates(client, files, "exact")
    assert answer.groups == []
    answer = await duplicates(client, files)
    assert answer.groups == [] or answer.keep == {"scan"}


async def test_the_same_animation_in_another_container_is_exact(client: httpx.AsyncClient) -> None:
    frames = [a_still(), a_still()[:, ::-1]]
    files = {form: animated(frames, form, duration=80) for form in ("PNG", "WEBP")}
    answer = await duplicates(client, files, "exact")
    assert answer.groups == [{"PNG", "WEBP"}]


async def test_the_same_frames_at_another_speed_are_a_copy(client: httpx.AsyncClient) -> None:
    frames = [a_still(), a_still()[:, ::-1]]
    files = {"slow": animated(frames, duration=200), "fast": animated(frames, duration=20)}
    assert (await duplicates(client, files, "exact")).groups == []
    answer = await duplicates(client, files)
    assert answer.groups == [{"slow", "fast"}]
    assert set(answer.levels.values()) == {"exact", "copy"}


async def test_a_cut_out_is_kept_before_its_flattened_copy(client: httpx.AsyncClient) -> None:
    clear = cut_out(a_still())
    answer = await duplicates(client, {"cut-out": encoded(clear, "PNG"), "flat": on_white(clear)})
    assert (answer.groups, answer.keep, answer.levels["flat"]) == ([{"cut-out", "flat"}], {"cut-out"}, "copy")


async def test_a_photograph_is_no_copy_of_what_was_cut_out_of_it(client: httpx.AsyncClient) -> None:
    files = {"photo": encoded(a_still(), "PNG"), "cut-out": encoded(cut_out(a_still()), "PNG")}
    assert (await duplicates(client, files)).groups == []


async def test_sixteen_bits_are_kept_before_their_export_of_eight(client: httpx.AsyncClient) -> None:
    master, export = master_and_export(a_still())
    answer = await duplicates(client, {"master": master, "export": export})
    assert (answer.groups, answer.keep, answer.levels["export"]) == ([{"master", "export"}], {"master"}, "copy")


async def test_a_small_animation_does_not_replace_a_large_photograph(client: httpx.AsyncClient) -> None:
    large = a_photo("astronaut")
    small = [a_photo("astronaut", 160), a_photo("chelsea", 160)]
    small[1] = cv2.resize(small[1], small[0].shape[1::-1])
    files = {"photo": encoded(large, quality=90), "clip": animated(small, "GIF")}
    answer = await duplicates(client, files)
    assert "clip" not in answer.keep


async def test_no_member_of_copies_is_merely_similar_and_equal_pixels_have_one_level(
    client: httpx.AsyncClient,
) -> None:
    image = a_still("chelsea")
    files = {
        "png": encoded(image, "PNG"),
        "bmp": encoded(image, "BMP"),
        "tiff": encoded(image, "TIFF"),
        "webp": encoded(image, "WEBP", lossless=True),
        "jpeg": encoded(image, quality=60),
        "small": encoded(a_photo("chelsea", 120), "PNG"),
    }
    answer = await duplicates(client, files)
    assert answer.groups == [frozenset(files)]
    assert {answer.levels[name] for name in ("png", "bmp", "tiff", "webp")} == {"exact"}
    assert {answer.levels[name] for name in ("jpeg", "small")} == {"copy"}
