"""Image headers: type and size of hostile files without decoding, and refusal of what would waste a decoder's time."""

import struct
import zlib

import pytest
from PIL import Image as PillowImage

from deployments.algorithms.images.exif import exif_orientation
from deployments.algorithms.images.header import read_header
from deployments.errors import ImageError
from tests.support.builders import an_image, encoded


def _code(data: bytes) -> str:
    with pytest.raises(ImageError) as caught:
        read_header(data)
    return caught.value.code


def _size_or_code(data: bytes) -> tuple[int, int] | str:
    try:
        header = read_header(data)
    except ImageError as error:
        return error.code
    return header.width, header.height


def _chunk(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def _box(kind: bytes, *content: bytes) -> bytes:
    body = b"".join(content)
    return struct.pack(">I", 8 + len(body)) + kind + body


FTYP = _box(b"ftyp", b"heic\0\0\0\0mif1heic")


def _heif(*meta: bytes, ftyp: bytes = FTYP) -> bytes:
    return ftyp + _box(b"meta", b"\0\0\0\0", *meta)


def _sizes(*sizes: tuple[int, int]) -> bytes:
    return _box(b"ipco", *(_box(b"ispe", b"\0\0\0\0", struct.pack(">II", *size)) for size in sizes))


@pytest.mark.parametrize(
    "data",
    [
        b"<svg xmlns='http://www.w3.org/2000/svg'/>",
        b"%PDF-1.7\n",
        b"PK\x03\x04" + bytes(60),
        b'{"error": "not found"}',
        b"plain words",
        b"<!doctype html><html>",
        b"\0\0\1\0\1\0\x10\x10" + bytes(60),  # ICO
        b"8BPS" + bytes(60),
        b"\0\0\0\x0cjP  \r\n\x87\n" + bytes(60),  # JPEG 2000
        b"%!PS-Adobe-3.0 EPSF-3.0\n",
        b"BM" + bytes(60),
        b"BM",
        b"RIFF\0\0\0\0WAVE" + bytes(60),
        b"MM\0\x2b" + bytes(60),  # BigTIFF in big-endian order
        _box(b"ftyp", b"isom\0\0\2\0isomavc1mp41") + bytes(60),
        b"\xff",
        b"\x89PNG",
    ],
)
def test_a_file_of_none_of_the_eight_types_is_unsupported(data: bytes) -> None:
    assert _code(data) == "unsupported_type"


def test_a_file_of_no_bytes_is_empty() -> None:
    assert _code(b"") == "empty"


@pytest.mark.parametrize("format", ["JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF"])
def test_a_header_that_is_cut_anywhere_is_an_image_error_or_already_tells_the_size(format: str) -> None:
    data = encoded(an_image((48, 32)), format)
    for length in range(min(len(data), 900)):
        assert _size_or_code(data[:length]) in {(48, 32), "empty", "unsupported_type", "corrupt"}


def test_image_sizes_are_read_from_the_header_without_the_pixels() -> None:
    data = encoded(an_image((48, 32)), "PNG")
    huge = data[:16] + struct.pack(">II", 2_000_000_000, 3) + data[24:]
    assert (read_header(huge).width, read_header(huge).height) == (2_000_000_000, 3)


def test_a_gif_frame_larger_than_its_screen_counts() -> None:
    data = bytearray(encoded(an_image((48, 32)), "GIF"))
    descriptor = data.index(b"\x2c\0\0\0\0" + struct.pack("<HH", 48, 32))
    data[descriptor + 5 : descriptor + 9] = struct.pack("<HH", 60_000, 50_000)
    assert (read_header(bytes(data)).width, read_header(bytes(data)).height) == (60_000, 50_000)


def test_a_bmp_stored_top_down_has_a_height() -> None:
    data = bytearray(encoded(an_image((48, 32)), "BMP"))
    data[22:26] = struct.pack("<i", -32)
    assert read_header(bytes(data)).height == 32


def test_the_three_kinds_of_webp_tell_their_size() -> None:
    image = an_image((48, 32))
    for options in ({}, {"lossless": True}, {"save_all": True, "append_images": [], "exif": b"Exif\0\0"}):
        header = read_header(encoded(image, "WEBP", **options))
        assert (header.width, header.height) == (48, 32)


def test_a_header_of_zero_pixels_is_damage() -> None:
    data = encoded(an_image((48, 32)), "PNG")
    assert _code(data[:16] + struct.pack(">II", 0, 32) + data[24:]) == "corrupt"


def test_a_jpeg_of_nothing_but_segments_is_refused() -> None:
    data = encoded(an_image((48, 32)))
    assert _code(data[:2] + b"\xff\xe5\0\2" * 100_000 + data[2:]) == "corrupt"


def test_a_progressive_jpeg_with_hundreds_of_scans_is_refused_and_a_usual_one_is_not() -> None:
    data = encoded(an_image((48, 32)), progressive=True)
    assert read_header(data).width == 48
    last_scan = data[data.rindex(b"\xff\xda") : -2]
    assert _code(data[:-2] + last_scan * 200 + data[-2:]) == "corrupt"


def test_bytes_behind_the_end_of_a_jpeg_are_not_counted_as_scans() -> None:
    data = encoded(an_image((48, 32)), progressive=True)
    assert read_header(data + b"\xff\xda\0\2" * 5000).width == 48


def test_a_png_of_nothing_but_chunks_is_refused() -> None:
    data = encoded(an_image((48, 32)), "PNG")
    assert _code(data[:33] + _chunk(b"tEXt", b"") * 60_000 + data[33:]) == "corrupt"


def test_a_gif_of_nothing_but_comments_is_refused() -> None:
    data = encoded(an_image((48, 32)), "GIF")
    start = 13 + (3 << (data[10] & 7) + 1)
    assert _code(data[:start] + b"\x21\xfe" + b"\1a" * 60_000 + b"\0" + data[start:]) == "corrupt"


def test_a_long_run_length_bmp_is_refused() -> None:
    head = struct.pack("<IiiHHIIiiII", 40, 60_000, 1000, 1, 8, 1, 100, 0, 0, 256, 0)
    assert _code(b"BM" + bytes(12) + head + bytes(1124)) == "unsupported_type"


def test_a_tiff_tile_larger_than_the_image_is_counted() -> None:
    tags = [(256, 100), (257, 100), (322, 2_000_000_000), (323, 2_000_000_000)]
    data = b"II*\0\x08\0\0\0" + struct.pack("<H", len(tags))
    data += b"".join(struct.pack("<HHII", tag, 4, 1, value) for tag, value in tags)
    assert read_header(data).decoded_pixels == 4 * 10**18


def test_a_tiff_with_fax_compression_is_not_supported() -> None:
    data = encoded(PillowImage.fromarray(an_image((48, 32))).convert("1"), "TIFF", compression="group4")
    assert _code(data) == "unsupported_type"


def test_a_heif_is_as_large_as_its_largest_item() -> None:
    header = read_header(_heif(_box(b"iprp", _sizes((64, 64), (30_000, 20_000), (8, 8)))))
    assert (header.content_type, header.width, header.height) == ("image/heic", 30_000, 20_000)


def test_a_small_heif_that_uses_one_large_tile_thousands_of_times_is_counted_in_full() -> None:
    sizes = _sizes((64, 64), (4000, 4000))
    links = _box(b"ipma", struct.pack(">IIHBBHBB", 0, 2, 1, 1, 0x81, 2, 1, 0x82))
    grid = _box(b"dimg", struct.pack(">HH", 1, 60_000), struct.pack(">H", 2) * 60_000)
    header = read_header(_heif(_box(b"iprp", sizes, links), _box(b"iref", b"\0\0\0\0", grid)))
    assert header.decoded_pixels == 60_000 * 16_000_000


def test_a_heif_without_any_size_or_with_endless_boxes_is_damage() -> None:
    assert _code(_heif()) == "corrupt"
    assert _code(_heif(_box(b"iprp", _box(b"ipco", _box(b"free") * 30_000)))) == "corrupt"


@pytest.mark.parametrize(
    ("brands", "content_type"),
    [
        (b"heic\0\0\0\0mif1", "image/heic"),
        (b"avif\0\0\0\0mif1miaf", "image/avif"),
        (b"mif1\0\0\0\0mif1avif", "image/avif"),
        (b"mif1\0\0\0\0mif1heic", "image/heic"),
        (b"mif1\0\0\0\0mif1", "image/heif"),
    ],
)
def test_the_brands_of_a_heif_tell_heic_from_avif(brands: bytes, content_type: str) -> None:
    data = _heif(_box(b"iprp", _sizes((10, 10))), ftyp=_box(b"ftyp", brands))
    assert read_header(data).content_type == content_type


@pytest.mark.parametrize("order", ["<", ">"])
def test_the_exif_orientation_is_read_in_both_byte_orders(order: str) -> None:
    signature = b"II*\0" if order == "<" else b"MM\0*"
    for value in range(1, 9):
        block = signature + struct.pack(order + "IHHHIHHI", 8, 1, 274, 3, 1, value, 0, 0)
        assert exif_orientation(block) == value


@pytest.mark.parametrize(
    "block", [b"", b"II*\0", b"II*\0\xff\xff\xff\xff", b"MM\0*\0\0\0\x08\xff\xff", b"garbage", b"II*\0\0\0\0\0"]
)
def test_a_damaged_exif_block_means_no_turn(block: bytes) -> None:
    assert exif_orientation(block) == 1
