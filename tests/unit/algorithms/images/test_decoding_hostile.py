"""Decoding of hostile files: an `ImageError` with the right code, no other exception, no crash, no bomb unpacked."""

import io
import struct
import zlib
from functools import cache

import numpy as np
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from PIL import Image as PillowImage

from deployments.algorithms.images.decoding import ImageLimits, inspect, read_picture
from deployments.algorithms.images.identity import describe_shown
from deployments.errors import ImageError, ImageTooLarge, UnsupportedImage
from tests.support.builders import an_image, encoded, encoded_turned

CODES = {"empty", "unsupported_type", "corrupt", "too_large", "too_many_pixels"}
LIMITS = ImageLimits(max_file_bytes=2**20, max_pixels=250_000)


@cache
def _samples() -> dict[str, bytes]:
    image = an_image((40, 30))
    clear = PillowImage.fromarray(image).convert("RGBA")
    frames = {"save_all": True, "append_images": [PillowImage.fromarray(an_image((40, 30), 1))]}
    rle = b"\x28\x07\0\0" * 30
    rle_head = struct.pack("<IiiHHIIiiII", 40, 40, 30, 1, 8, 1, len(rle), 0, 0, 256, 0)
    return {
        "jpeg": encoded_turned(image, 6),
        "jpeg progressive": encoded(image, progressive=True),
        "jpeg cmyk": encoded(PillowImage.fromarray(image).convert("CMYK")),
        "png": encoded_turned(image, 6, "PNG"),
        "png palette": encoded(PillowImage.fromarray(image).quantize(16), "PNG", transparency=3),
        "png 16 bit": encoded(np.full((30, 40), 40_000, np.uint16), "PNG"),
        "apng": encoded(image, "PNG", **frames),
        "webp": encoded_turned(image, 8, "WEBP"),
        "webp lossless": encoded(clear, "WEBP", lossless=True),
        "webp animated": encoded(image, "WEBP", **frames),
        "gif": encoded(image, "GIF", **frames),
        "bmp": encoded(image, "BMP"),
        "bmp rle": b"BM" + struct.pack("<IHHI", 1078 + len(rle), 0, 0, 1078) + rle_head + bytes(1024) + rle,
        "tiff": encoded_turned(image, 6, "TIFF"),
        "tiff lzw": encoded(clear, "TIFF", compression="tiff_lzw"),
        "tiff deflate": encoded(image, "TIFF", compression="tiff_adobe_deflate"),
        "tiff jpeg": encoded(image, "TIFF", compression="jpeg"),
        "tiff packbits": encoded(PillowImage.fromarray(image).convert("1"), "TIFF", compression="packbits"),
        "tiff float": encoded(np.linspace(0, 1, 1200, dtype=np.float32).reshape(30, 40), "TIFF"),
        "heic": encoded_turned(image, 6, "HEIC"),
        "avif": encoded_turned(image, 6, "AVIF", speed=10),
    }


NAMES = (
    "jpeg", "jpeg progressive", "jpeg cmyk", "png", "png palette", "png 16 bit", "apng", "webp", "webp lossless",
    "webp animated", "gif", "bmp", "bmp rle", "tiff", "tiff lzw", "tiff deflate", "tiff jpeg", "tiff packbits",
    "tiff float", "heic", "avif",
)  # fmt: skip


def _verdict(data: bytes) -> str:
    try:
        info, pixels = read_picture(data, 64, LIMITS)
    except ImageError as error:
        return _known(error.code)
    assert pixels.dtype == np.uint8
    assert pixels.ndim == 3
    assert pixels.shape[2] == 3
    assert info.width * info.height <= LIMITS.max_pixels
    return "ok"


def _known(code: str) -> str:
    assert code in CODES
    return code


@pytest.mark.parametrize("name", NAMES)
def test_the_sample_files_of_these_tests_are_whole(name: str) -> None:
    assert _verdict(_samples()[name]) == "ok"


@pytest.mark.parametrize("name", NAMES)
@settings(max_examples=40, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow])
@given(data=st.data())
def test_a_file_with_changed_bytes_gives_an_image_or_an_image_error(name: str, data: st.DataObject) -> None:
    sample = bytearray(_samples()[name])
    anywhere = st.one_of(st.integers(0, len(sample) - 1), st.integers(0, min(200, len(sample) - 1)))
    for position, value in data.draw(st.lists(st.tuples(anywhere, st.integers(0, 255)), min_size=1, max_size=12)):
        sample[position] = value
    _verdict(bytes(sample))


@pytest.mark.parametrize("name", NAMES)
@settings(max_examples=20, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow])
@given(share=st.floats(0, 1, exclude_max=True), tail=st.binary(max_size=40))
@example(share=0.5, tail=b"")
def test_a_file_that_ends_early_gives_an_image_or_an_image_error(name: str, share: float, tail: bytes) -> None:
    sample = _samples()[name]
    _verdict(sample[: int(share * len(sample))] + tail)


@pytest.mark.parametrize("format", ["JPEG", "PNG", "WEBP", "BMP", "TIFF", "HEIC", "AVIF"])
def test_half_an_image_is_refused(format: str) -> None:
    data = encoded(an_image((200, 150)), format)
    with pytest.raises(ImageError) as caught:
        read_picture(data[: len(data) // 2], 64)
    assert caught.value.code == "corrupt"


@settings(max_examples=200, deadline=None, derandomize=True)
@given(
    head=st.sampled_from([b"", b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n", b"GIF89a", b"BM", b"II*\0", b"MM\0*"]),
    body=st.binary(max_size=300),
)
def test_decoding_noise_raises_nothing_but_an_image_error(head: bytes, body: bytes) -> None:
    _verdict(head + body)


def test_a_file_over_the_limit_is_refused_before_it_is_read() -> None:
    with pytest.raises(ImageTooLarge) as caught:
        inspect(b"\xff\xd8\xff" + bytes(2**20), LIMITS)
    assert (caught.value.code, caught.value.status) == ("too_large", 413)


def test_a_decompression_bomb_is_refused_from_its_header() -> None:
    row = zlib.compress(bytes(40_001))
    head = struct.pack(">IIBBBBB", 40_000, 40_000, 8, 0, 0, 0, 0)
    bomb = b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))
        for kind, body in ((b"IHDR", head), (b"IDAT", row), (b"IEND", b""))
    )
    with pytest.raises(ImageTooLarge) as caught:
        inspect(bomb)
    assert caught.value.code == "too_many_pixels"


def test_a_line_of_many_pixels_is_refused_though_the_area_is_small() -> None:
    data = encoded(PillowImage.new("1", (70_000, 2)), "PNG")
    with pytest.raises(ImageTooLarge):
        inspect(data)


def test_a_text_chunk_that_unpacks_to_megabytes_is_never_unpacked() -> None:
    data = encoded(an_image((40, 30)), "PNG")
    body = b"Comment\0\0" + zlib.compress(bytes(80_000_000))
    chunk = struct.pack(">I", len(body)) + b"zTXt" + body + struct.pack(">I", zlib.crc32(b"zTXt" + body))
    assert _verdict(data[:33] + chunk + data[33:]) == "ok"


def test_a_heic_whose_pixels_are_larger_than_its_header_says_is_refused() -> None:
    data = encoded(PillowImage.new("RGB", (1000, 1000)), "HEIC")
    at = data.index(b"ispe") + 8
    assert _verdict(data[:at] + struct.pack(">II", 64, 64) + data[at + 8 :]) == "corrupt"


def test_bytes_hidden_behind_an_image_do_not_matter() -> None:
    data = encoded(an_image((40, 30)))
    assert _verdict(data + b"PK\x03\x04" + bytes(500)) == "ok"
    assert describe_shown(data + b"PK\x03\x04") == describe_shown(data)


def test_another_format_inside_a_known_wrapper_is_not_reached() -> None:
    icon = io.BytesIO()
    PillowImage.fromarray(an_image((32, 32))).save(icon, "ICO")
    with pytest.raises(UnsupportedImage):
        inspect(icon.getvalue())


@pytest.mark.parametrize("format", ["JPEG", "PNG", "WEBP", "BMP", "TIFF", "HEIC", "AVIF"])
def test_the_message_of_an_image_error_names_no_path_and_no_library(format: str) -> None:
    data = encoded(an_image((200, 150)), format)
    with pytest.raises(ImageError) as caught:
        read_picture(data[: len(data) // 2], 64)
    assert not any(word in caught.value.message.lower() for word in ("/", "pil", "lib", "0x", "error"))


JPEGS: tuple[dict[str, object], ...] = (
    {"quality": 95},
    {"quality": 40, "optimize": True},
    {"subsampling": 0, "quality": 99},
    {"progressive": True, "quality": 70},
    {"restart_marker_blocks": 1},
)


@pytest.mark.parametrize("options", JPEGS, ids=str)
@pytest.mark.parametrize("missing", [1, 2])
def test_a_jpeg_that_lacks_only_its_end_marker_decodes_whole(options: dict[str, object], missing: int) -> None:
    data = encoded(an_image((61, 47)), **options)
    assert np.array_equal(read_picture(data[:-missing], 64)[1], read_picture(data, 64)[1])
    assert describe_shown(data[:-missing]) == describe_shown(data)


@settings(max_examples=150, deadline=None, derandomize=True)
@given(
    seed=st.integers(0, 10),
    options=st.sampled_from(JPEGS),
    size=st.sampled_from([(64, 48), (61, 37), (16, 16)]),
    cut=st.integers(3, 60),
)
def test_a_jpeg_cut_short_is_refused_or_shows_every_pixel(
    seed: int, options: dict[str, object], size: tuple[int, int], cut: int
) -> None:
    data = encoded(an_image(size, seed), **options)
    try:
        pixels = read_picture(data[:-cut], 64)[1]
    except ImageError as error:
        _known(error.code)
    else:
        assert np.array_equal(pixels, read_picture(data, 64)[1])


@pytest.mark.parametrize("format", ["PNG", "WEBP", "AVIF", "TIFF", "GIF"])
def test_a_file_whose_pixels_need_more_memory_than_allowed_is_refused_unpacked(format: str) -> None:
    options = {"compression": "tiff_lzw"} if format == "TIFF" else {"speed": 10} if format == "AVIF" else {}
    bomb = encoded(PillowImage.new("RGB", (6000, 4000)), format, **options)
    assert len(bomb) < 2_000_000
    allowed = ImageLimits(max_decoding_bytes=100_000_000)
    before = PillowImage.core.get_stats()["new_count"]
    with pytest.raises(ImageTooLarge, match=r"Decoding this picture takes about \d+ MB, 100 MB are allowed") as caught:
        read_picture(bomb, 64, allowed)
    assert caught.value.code == "too_many_pixels"
    assert PillowImage.core.get_stats()["new_count"] == before
    assert inspect(encoded(an_image(), format), allowed).width == 96


def test_a_progressive_jpeg_counts_its_coefficients() -> None:
    picture = PillowImage.new("RGB", (3000, 2000))
    allowed = ImageLimits(max_decoding_bytes=55_000_000)
    assert read_picture(encoded(picture), 64, allowed)[0].width == 3000
    with pytest.raises(ImageTooLarge):
        read_picture(encoded(picture, progressive=True), 64, allowed)
