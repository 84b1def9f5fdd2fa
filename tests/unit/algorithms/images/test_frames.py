"""Frames and pages of hostile files: how many are listed, which may be reached, what they add up to."""

from __future__ import annotations

import hashlib
import io
import struct
import tracemalloc
import zlib
from typing import Any

import cv2
import numpy as np
import pillow_heif
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image as PillowImage

from deployments.algorithms.images import frame_counts
from deployments.algorithms.images import frames as frames_module
from deployments.algorithms.images.decoding import ImageLimits, inspect
from deployments.algorithms.images.frame_counts import MAX_FRAMES, MAX_TIFF_ENTRIES, gif_frames, tiff_pages
from deployments.algorithms.images.frames import ImageFrames
from deployments.algorithms.images.identity import describe_shown
from deployments.algorithms.images.upright_bands import Cancelled
from deployments.errors import ImageError
from tests.support.builders import an_image, encoded

FORMATS = ("PNG", "GIF", "WEBP", "TIFF", "AVIF")


def animated(count: int, format: str, size: tuple[int, int] = (24, 16), **options: Any) -> bytes:
    first, *others = (PillowImage.fromarray(an_image(size, seed)) for seed in range(count))
    file = io.BytesIO()
    first.save(file, format, save_all=True, append_images=others, **options)
    return file.getvalue()


def chunk(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def announcing(data: bytes, count: int) -> bytes:
    """Let a PNG announce so many frames."""
    if b"acTL" in data:
        at = data.index(b"acTL") - 4
        data = data[:at] + data[at + 20 :]
    return data[:33] + chunk(b"acTL", struct.pack(">II", count, 0)) + data[33:]


def tiny_tiff(pages: int, last: int = 0) -> bytes:
    """A TIFF of pages of one pixel; `last`: where the chain goes on after the last page."""
    tags = ((256, 3, 1), (257, 3, 1), (258, 3, 8), (259, 3, 1), (262, 3, 1), (273, 4, 8), (277, 3, 1), (278, 3, 1))
    entries = b"".join(struct.pack("<HHII", tag, kind, 1, value) for tag, kind, value in (*tags, (279, 4, 1)))
    directory = struct.pack("<H", 9) + entries
    size = len(directory) + 4
    chain = [12 + size * page for page in range(1, pages)] + [last]
    return b"II*\0" + struct.pack("<I", 12) + bytes(4) + b"".join(directory + struct.pack("<I", at) for at in chain)


def tiny_gif(count: int) -> bytes:
    frame = b"," + struct.pack("<HHHHB", 0, 0, 1, 1, 0) + b"\x02\x02\x44\x01\0"
    return b"GIF89a" + struct.pack("<HHBBB", 1, 1, 0x80, 0, 0) + bytes(3) + b"\xff\xff\xff" + frame * count + b";"


def seen_frames(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Note every frame that is decoded from here on."""
    loaded: list[int] = []
    load = ImageFrames.load

    def noted(self: ImageFrames, index: int) -> PillowImage.Image:
        loaded.append(index)
        return load(self, index)

    monkeypatch.setattr(ImageFrames, "load", noted)
    return loaded


@pytest.mark.parametrize("count", [1, 3, 1_000_000, 2**31 - 1])
def test_an_animated_png_that_announces_other_frames_than_it_holds_is_damaged(count: int) -> None:
    with pytest.raises(ImageError, match="holds 2") as refused:
        ImageFrames(announcing(animated(2, "PNG"), count))
    assert refused.value.code == "corrupt"


def test_a_picture_that_announces_two_thousand_million_frames_is_refused_in_little_memory() -> None:
    data = announcing(encoded(an_image((40, 30)), "PNG"), 2**31 - 1)
    tracemalloc.start()
    with pytest.raises(ImageError, match="holds 0"):
        describe_shown(data)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 2_000_000
    assert inspect(data).width == 40


def test_a_default_image_that_is_no_frame_tells_two_animations_apart() -> None:
    whole = animated(2, "PNG", duration=0)
    extra = animated(2, "PNG", duration=0, default_image=True)
    with ImageFrames(extra) as frames:
        assert (frames.count, frames.indices) == (2, (0, 1))
    assert describe_shown(whole).digest != describe_shown(extra).digest


@pytest.mark.parametrize("format", FORMATS)
def test_every_frame_of_an_ordinary_file_is_listed(format: str) -> None:
    with ImageFrames(animated(4, format)) as frames:
        assert (frames.count, frames.indices, frames.are_all) == (4, (0, 1, 2, 3), True)
        assert [frames.at(share) for share in (0, 0.25, 0.5, 0.75, 1)] == [0, 1, 2, 2, 3]
        assert frames.pixels == 4 * 24 * 16


MANY = {"gif": tiny_gif(MAX_FRAMES + 1), "tiff": tiny_tiff(MAX_FRAMES + 1)}


@pytest.mark.parametrize("kind", MANY)
def test_of_a_file_with_too_many_frames_one_is_decoded_and_its_bytes_decide(
    kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    data, loaded = MANY[kind], seen_frames(monkeypatch)
    shown = describe_shown(data)
    assert (shown.digest, shown.frames) == (hashlib.sha256(data).hexdigest(), MAX_FRAMES + 1)
    assert loaded == [0]


@pytest.mark.parametrize("kind", MANY)
def test_only_the_first_of_too_many_frames_can_be_looked_at(kind: str) -> None:
    with ImageFrames(MANY[kind]) as frames:
        assert frames.at(0) == 0
        with pytest.raises(ImageError, match="only the first"):
            frames.at(0.25)


@pytest.mark.parametrize("format", FORMATS)
def test_one_frame_too_many_is_too_many_in_every_format(format: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(frames_module, "MAX_FRAMES", 3)
    monkeypatch.setattr(frame_counts, "MAX_FRAMES", 3)
    for count, are_all in ((3, True), (4, False)):
        with ImageFrames(animated(count, format)) as frames:
            assert (frames.count, frames.are_all) == (count, are_all)


def test_as_many_frames_as_are_allowed_are_all_decoded(monkeypatch: pytest.MonkeyPatch) -> None:
    loaded = seen_frames(monkeypatch)
    assert describe_shown(tiny_gif(MAX_FRAMES)).frames == MAX_FRAMES
    assert loaded == list(range(MAX_FRAMES))


@given(pages=st.integers(1, 12), back=st.integers(0, 11))
def test_a_chain_of_pages_that_comes_back_to_one_of_its_own_ends_there(pages: int, back: int) -> None:
    data = tiny_tiff(pages, last=12 + 114 * (back % pages))
    assert tiff_pages(data) == (pages, True)
    assert describe_shown(data).frames == pages


def test_directories_that_lie_over_one_another_are_bounded_by_their_entries() -> None:
    data = bytearray(b"II*\0" + struct.pack("<I", 8) + bytes(12 * 60_000 + 4000))
    for place in range(5):
        at = 8 + 32 * place
        struct.pack_into("<H", data, at, 60_000)
        struct.pack_into("<I", data, at + 2 + 12 * 60_000, at + 32)
    count, are_allowed = tiff_pages(bytes(data))
    assert (count, are_allowed) == (6, False)
    assert count < MAX_FRAMES
    assert 5 * 60_000 > MAX_TIFF_ENTRIES > 3 * 60_000


@given(sizes=st.lists(st.tuples(*[st.integers(1, 300)] * 4), min_size=1, max_size=6))
def test_the_canvas_of_a_gif_grows_with_its_frames(sizes: list[tuple[int, int, int, int]]) -> None:
    tail = b"\0\x02\x02\x44\x01\0"
    data = b"GIF89a" + struct.pack("<HHBBB", 1, 1, 0x80, 0, 0) + bytes(6)
    data += b"".join(b"," + struct.pack("<HHHH", *size) + tail for size in sizes) + b";"
    wide = [max(left + width for left, _, width, _ in sizes[:n]) for n in range(1, len(sizes) + 1)]
    high = [max(top + height for _, top, _, height in sizes[:n]) for n in range(1, len(sizes) + 1)]
    assert gif_frames(data) == [width * height for width, height in zip(wide, high, strict=True)]


def test_a_later_frame_that_enlarges_a_gif_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    large = b"," + struct.pack("<HHHHB", 0, 0, 300, 200, 0) + b"\x02\x02\x44\x01\0"
    with ImageFrames(tiny_gif(1)[:-1] + large + b";") as frames:
        assert frames.pixels == 1 + 300 * 200


def test_pages_of_a_heic_count_with_their_own_sizes() -> None:
    small, large = (PillowImage.fromarray(an_image(size)) for size in ((64, 64), (256, 128)))
    file = io.BytesIO()
    pages = pillow_heif.from_pillow(small)
    pages.add_from_pillow(large)
    pages.save(file)
    with ImageFrames(file.getvalue()) as frames:
        assert frames.pixels == 64 * 64 + 256 * 128


def test_a_frame_behind_too_many_pixels_is_reached_in_a_scan_only(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(frames_module, "MAX_PIXELS_IN_ALL", 1000)
    with ImageFrames(animated(4, "TIFF")) as scan, ImageFrames(animated(4, "WEBP")) as animation:
        assert scan.at(1.0) == 3
        assert animation.at(0.25) == 1
        with pytest.raises(ImageError, match="may lie before"):
            animation.at(1.0)


def test_a_page_that_takes_more_memory_than_allowed_is_refused() -> None:
    pages = [PillowImage.fromarray(an_image(size)) for size in ((20, 10), (300, 200))]
    file = io.BytesIO()
    pages[0].save(file, "TIFF", save_all=True, append_images=pages[1:])
    with pytest.raises(ImageError, match="MB are allowed"):
        describe_shown(file.getvalue(), ImageLimits(max_decoding_bytes=100_000))


def test_an_animation_that_takes_more_memory_than_allowed_is_equal_to_its_own_bytes_only(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    data, loaded = animated(3, "PNG", (100, 80)), seen_frames(monkeypatch)
    shown = describe_shown(data, ImageLimits(max_decoding_bytes=100 * 80 * 15))
    assert (shown.digest, loaded) == (hashlib.sha256(data).hexdigest(), [0])


@pytest.mark.parametrize("mode", ["1", "L", "P", "RGB", "RGBA"])
@pytest.mark.parametrize("turn", [1, 6])
def test_what_a_picture_shows_is_hashed_in_bands(mode: str, turn: int) -> None:
    exif = PillowImage.Exif()
    exif[274] = turn
    data = encoded(PillowImage.new(mode, (4000, 3000)), "PNG", exif=exif.tobytes())
    tracemalloc.start()
    describe_shown(data)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 2 * 4000 * 3000  # of 36 MB of colours; Pillow's own memory, a byte to four a pixel, is not counted


def test_a_deep_picture_over_the_budget_is_equal_to_its_own_bytes_only() -> None:
    samples = np.random.default_rng(0).integers(0, 65535, (200, 300, 3), dtype=np.uint16)
    files = [cv2.imencode(".png", samples, (cv2.IMWRITE_PNG_COMPRESSION, level))[1].tobytes() for level in (1, 9)]
    enough, little = (ImageLimits(max_decoding_bytes=300 * 200 * each) for each in (12, 11))
    assert len({describe_shown(data, enough).digest for data in files}) == 1
    assert len({describe_shown(data, little).digest for data in files}) == 2


def test_a_later_page_of_more_bits_than_the_first_keeps_them() -> None:
    flat, deep = np.zeros((30, 40, 3), np.uint8), np.full((30, 40, 3), 0x4000, np.uint16)
    files = []
    for samples in (deep, deep + 1):
        ok, file = cv2.imencodemulti(".tiff", [flat, samples])
        assert ok
        files.append(file.tobytes())
    assert describe_shown(files[0]).digest != describe_shown(files[1]).digest


@pytest.mark.parametrize("format", FORMATS)
def test_a_cancelled_description_stops_before_the_next_frame(format: str, monkeypatch: pytest.MonkeyPatch) -> None:
    loaded = seen_frames(monkeypatch)
    with pytest.raises(Cancelled):
        describe_shown(animated(5, format), is_cancelled=lambda: len(loaded) == 2)
    assert loaded == [0, 1]
