"""Decoding of everything that a camera, a phone or a program may have written."""

import threading
from pathlib import Path

import numpy as np
import pytest
from PIL import Image as PillowImage
from PIL import ImageCms

from deployments.algorithms.images.decoding import (
    CONTENT_TYPES,
    ImageLimits,
    decode,
    encode_jpeg,
    inspect,
    read_picture,
)
from deployments.contracts.arrays import Image
from tests.support.builders import a_flat_image, a_photo, an_image, encoded, encoded_turned

FORMATS = {
    "JPEG": ("image/jpeg", {"quality": 95, "subsampling": 0}),
    "PNG": ("image/png", {}),
    "WEBP": ("image/webp", {"quality": 95}),
    "GIF": ("image/gif", {}),
    "BMP": ("image/bmp", {}),
    "TIFF": ("image/tiff", {}),
    "HEIC": ("image/heic", {"quality": 95}),
    "AVIF": ("image/avif", {"quality": 95}),
}
EXACT = ("PNG", "BMP", "TIFF")


def _difference(left: Image, right: Image) -> float:
    assert left.shape == right.shape
    return float(np.abs(left.astype(int) - right.astype(int)).mean())


@pytest.mark.parametrize("format", FORMATS)
def test_every_accepted_type_is_known_by_its_content_and_decodes_to_its_pixels(format: str) -> None:
    content_type, options = FORMATS[format]
    image = an_image((120, 80))
    data = encoded(image, format, **options)
    info, pixels = read_picture(data, 1280)
    assert (info.content_type, info.width, info.height, info.file_bytes) == (content_type, 120, 80, len(data))
    assert info == inspect(data)
    assert info.content_type in CONTENT_TYPES
    assert pixels.dtype == np.uint8
    assert pixels.flags.c_contiguous
    assert _difference(pixels, image) <= (0 if format in EXACT else 12 if format == "GIF" else 6)


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("format", ["JPEG", "PNG", "WEBP", "TIFF", "HEIC", "AVIF"])
def test_the_turn_of_the_camera_is_applied_exactly_once(format: str, orientation: int) -> None:
    image = an_image((120, 80))
    data = encoded_turned(image, orientation, format, **FORMATS[format][1])
    info, pixels = read_picture(data, 1280)
    assert (info.width, info.height) == (120, 80)
    assert inspect(data) == info
    assert _difference(pixels, image) < 6


def test_a_turn_written_behind_the_pixels_of_a_png_counts() -> None:
    data = encoded_turned(an_image((120, 80)), 6, "PNG")
    start = data.index(b"eXIf") - 4
    length = int.from_bytes(data[start : start + 4]) + 12
    chunk = data[start : start + length]
    moved = data[:start] + data[start + length : -12] + chunk + data[-12:]
    assert inspect(moved).width == 120
    assert np.array_equal(decode(moved, 1280), an_image((120, 80)))


@pytest.mark.parametrize("value", [0, 9, 65535])
def test_an_impossible_exif_orientation_is_no_turn(value: int) -> None:
    exif = PillowImage.Exif()
    exif[274] = value
    assert inspect(encoded(an_image((120, 80)), exif=exif)).width == 120


def test_damaged_metadata_does_not_harm_the_image() -> None:
    data = encoded(an_image((120, 80)), exif=b"Exif\0\0II*\0\xff\xff\xff\xff garbage")
    assert inspect(data).width == 120
    assert decode(data, 1280).shape == (80, 120, 3)


def test_an_image_is_shrunk_to_the_longest_side_and_never_enlarged() -> None:
    photo = a_photo("coffee")
    assert decode(encoded(photo), 200).shape == (133, 200, 3)
    assert decode(encoded(photo), 5000).shape == photo.shape


def test_a_jpeg_decoded_small_shows_the_same_as_one_decoded_large() -> None:
    photo = a_photo("astronaut")
    small = decode(encoded(photo, quality=95), 100)
    assert _difference(small, a_photo("astronaut", 100)) < 5


@pytest.mark.parametrize("size", [(1, 1), (1, 700), (900, 2)])
def test_a_sliver_keeps_at_least_one_pixel_a_side(size: tuple[int, int]) -> None:
    for format in ("PNG", "JPEG"):
        info, pixels = read_picture(encoded(a_flat_image(size), format), 64)
        assert (info.width, info.height) == size
        assert min(pixels.shape[:2]) >= 1
        assert max(pixels.shape[:2]) <= 64


def test_transparency_is_laid_on_white() -> None:
    clear = np.zeros((8, 8, 4), np.uint8)
    clear[:, :4] = (255, 0, 0, 255)
    clear[:, 4:] = (0, 0, 255, 128)
    clear[4:, 4:, 3] = 0
    pixels = decode(encoded(clear, "PNG"), 64)
    assert pixels[0, 0].tolist() == [255, 0, 0]
    assert pixels[7, 7].tolist() == [255, 255, 255]
    assert np.allclose(pixels[0, 7], [127, 127, 255], atol=1)


def test_a_transparent_colour_of_a_palette_is_white() -> None:
    palette = PillowImage.fromarray(a_flat_image((8, 8))).quantize(4)
    pixels = decode(encoded(palette, "PNG", transparency=palette.getpixel((0, 0))), 64)
    assert (pixels == 255).all()


def test_grey_with_transparency_is_laid_on_white() -> None:
    clear = PillowImage.new("LA", (4, 4), (10, 0))
    assert (decode(encoded(clear, "PNG"), 64) == 255).all()


@pytest.mark.parametrize("format", ["PNG", "TIFF"])
def test_sixteen_bit_samples_are_scaled_and_not_clipped(format: str) -> None:
    ramp = np.linspace(0, 65535, 256).astype(np.uint16)[None].repeat(4, axis=0)
    pixels = decode(encoded(ramp, format), 512)
    assert np.abs(pixels[0, :, 0].astype(int) - np.arange(256)).max() <= 1


def test_floating_point_samples_between_zero_and_one_fill_the_range() -> None:
    ramp = np.linspace(0, 1, 256, dtype=np.float32)[None].repeat(4, axis=0)
    assert np.abs(decode(encoded(ramp, "TIFF"), 512)[0, :, 0].astype(int) - np.arange(256)).max() <= 1


def test_one_bit_images_are_black_and_white() -> None:
    bits = PillowImage.new("1", (8, 8))
    bits.putpixel((3, 2), 1)
    pixels = decode(encoded(bits, "PNG"), 64)
    assert pixels[2, 3].tolist() == [255, 255, 255]
    assert pixels.sum() == 3 * 255


def test_grey_and_cmyk_jpegs_come_out_as_rgb() -> None:
    photo = a_photo("coffee", 120)
    grey = decode(encoded(PillowImage.fromarray(photo).convert("L"), quality=95), 512)
    assert _difference(grey[..., :1].repeat(3, 2), grey) == 0
    cmyk = decode(encoded(PillowImage.fromarray(photo).convert("CMYK"), quality=95, subsampling=0), 512)
    assert _difference(cmyk, photo) < 6


def test_the_first_frame_of_an_animation_counts() -> None:
    first, second = (PillowImage.fromarray(a_flat_image((40, 30), colour)) for colour in ((250, 0, 0), (0, 250, 0)))
    for format in ("GIF", "PNG", "WEBP", "TIFF", "AVIF"):
        data = encoded(first, format, save_all=True, append_images=[second])
        pixels = decode(data, 64)
        assert pixels.shape == (30, 40, 3)
        assert pixels[15, 20, 0] > 200, format
        assert pixels[15, 20, 1] < 50, format


def test_a_display_p3_image_is_shown_in_srgb() -> None:
    display_p3 = _rgb_profile((0.680, 0.320), (0.265, 0.690), (0.150, 0.060))
    data = encoded(a_flat_image((8, 8), (230, 60, 60)), "PNG", icc_profile=display_p3)
    red, green, blue = decode(data, 64)[4, 4].tolist()
    # The same light in sRGB's smaller gamut needs a purer red; colour management tools agree on (250, 27, 44).
    assert red >= 245
    assert green <= 40
    assert blue <= 55


def test_an_srgb_profile_does_not_change_the_pixels() -> None:
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    image = an_image((60, 40))
    assert np.array_equal(decode(encoded(image, "PNG", icc_profile=profile), 64), image)


@pytest.mark.parametrize("profile", [b"x" * 300, b"\0" * 16 + b"RGB " + b"\0" * 400])
def test_a_damaged_colour_profile_is_ignored(profile: bytes) -> None:
    image = an_image((60, 40))
    assert np.array_equal(decode(encoded(image, "PNG", icc_profile=profile), 64), image)


def test_a_large_image_converts_in_bands_without_a_seam() -> None:
    image = an_image((3000, 1600))
    clear = np.dstack([image, np.full(image.shape[:2], 255, np.uint8)])
    clear[0, 0, 3] = 254
    pixels = decode(encoded(clear, "PNG", compress_level=1), 4000)
    assert np.array_equal(pixels[1:], image[1:])


def test_a_file_on_disk_reads_like_its_bytes(tmp_path: Path) -> None:
    data = encoded(an_image())
    (tmp_path / "picture.weird").write_bytes(data)
    from_disk, from_memory = read_picture(tmp_path / "picture.weird", 50), read_picture(data, 50)
    assert from_disk[0] == from_memory[0]
    assert np.array_equal(from_disk[1], from_memory[1])


def test_a_missing_file_is_not_called_a_damaged_image(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        inspect(tmp_path / "gone.jpg")


def test_a_preview_is_a_jpeg_that_looks_the_same() -> None:
    photo = a_photo("chelsea", 300)
    preview = encode_jpeg(photo)
    assert inspect(preview).content_type == "image/jpeg"
    assert _difference(decode(preview, 1280), photo) < 3


def test_threads_decode_side_by_side_without_mixing_images() -> None:
    images = [an_image((160, 120), seed) for seed in range(4)]
    files = [encoded(image, format) for image in images for format in ("PNG", "JPEG", "HEIC", "WEBP")]
    alone = [decode(data, 100) for data in files]
    wrong: list[int] = []

    def work(index: int) -> None:
        for _ in range(5):
            if not np.array_equal(decode(files[index], 100), alone[index]):
                wrong.append(index)

    threads = [threading.Thread(target=work, args=(i,)) for i in range(len(files))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []


def test_decoding_leaves_the_globals_of_pillow_as_they_were() -> None:
    before = (PillowImage.MAX_IMAGE_PIXELS, sorted(PillowImage.OPEN))
    decode(encoded(an_image(), "HEIC"), 64, ImageLimits(max_pixels=10_000))
    assert (PillowImage.MAX_IMAGE_PIXELS, sorted(PillowImage.OPEN)) == before


def _rgb_profile(*primaries: tuple[float, float]) -> bytes:
    """A minimal ICC v4 matrix profile with a white point of D65, primaries as CIE xy, and gamma 2.2."""

    def xyz(x: float, y: float) -> np.ndarray:
        return np.array([x / y, 1.0, (1 - x - y) / y])

    bradford = np.array([[0.8951, 0.2664, -0.1614], [-0.7502, 1.7135, 0.0367], [0.0389, -0.0685, 1.0296]])
    white, d50 = xyz(0.3127, 0.3290), np.array([0.9642, 1.0, 0.8249])
    adapt = np.linalg.inv(bradford) @ np.diag((bradford @ d50) / (bradford @ white)) @ bradford
    columns = np.array([xyz(*p) for p in primaries]).T
    columns = adapt @ (columns * np.linalg.solve(columns, white))

    def fixed(value: float) -> bytes:
        return round(value * 65536).to_bytes(4, signed=True)

    tags = {
        name: b"XYZ \0\0\0\0" + b"".join(fixed(v) for v in column)
        for name, column in zip((b"rXYZ", b"gXYZ", b"bXYZ", b"wtpt"), (*columns.T, d50), strict=True)
    }
    curve = b"curv\0\0\0\0\0\0\0\x01" + round(2.2 * 256).to_bytes(2) + b"\0\0"
    tags |= {b"rTRC": curve, b"gTRC": curve, b"bTRC": curve}
    table, body, offset = b"", b"", 128 + 4 + 12 * len(tags)
    for name, value in tags.items():
        table += name + (offset + len(body)).to_bytes(4) + len(value).to_bytes(4)
        body += value
    size = offset + len(body)
    head = size.to_bytes(4) + b"\0" * 4 + b"\x04\x20\0\0" + b"mntrRGB XYZ " + b"\0" * 12 + b"acsp" + b"\0" * 28
    head += b"".join(fixed(v) for v in d50)
    return head.ljust(128, b"\0") + len(tags).to_bytes(4) + table + body
