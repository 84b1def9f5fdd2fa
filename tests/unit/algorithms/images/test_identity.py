"""Identity of what image files show."""

from __future__ import annotations

import hashlib
import io

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image as PillowImage
from PIL import ImageCms

from deployments.algorithms.images import identity
from deployments.algorithms.images.decoding import ImageLimits
from deployments.algorithms.images.identity import describe_shown
from deployments.contracts.arrays import Image
from deployments.errors import ImageError
from tests.support.builders import an_image, encoded, encoded_turned, exif_with_turn


def digest(data: bytes) -> str:
    return describe_shown(data).digest


def animated(images: list[Image], format: str = "PNG", **options: object) -> bytes:
    first, *others = map(PillowImage.fromarray, images)
    file = io.BytesIO()
    first.save(file, format, save_all=True, append_images=others, **options)
    return file.getvalue()


def deep(size: tuple[int, int] = (40, 30), seed: int = 0, channels: int = 3) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 65535, (size[1], size[0], channels), dtype=np.uint16)


def stored(samples: np.ndarray, ending: str, *options: int) -> bytes:
    return cv2.imencode(ending, samples, options)[1].tobytes()


def test_equal_pixels_in_different_files_have_one_digest() -> None:
    image = an_image((120, 80))
    expected = hashlib.sha256((120).to_bytes(4) + (80).to_bytes(4) + image.tobytes()).hexdigest()
    assert digest(encoded(image, "PNG")) == expected
    for other in (
        encoded(image, "BMP"),
        encoded(image, "TIFF", compression="tiff_lzw"),
        encoded(image, "WEBP", lossless=True),
        encoded(PillowImage.fromarray(image).convert("RGBA"), "PNG"),
        encoded_turned(image, 6, "PNG"),
        encoded_turned(image, 5, "TIFF"),
    ):
        assert digest(other) == expected


def test_one_changed_pixel_or_another_shape_changes_the_digest() -> None:
    image = an_image((120, 80))
    changed = image.copy()
    changed[40, 60, 1] ^= 1
    digests = {digest(encoded(other, "PNG")) for other in (image, changed, image.reshape(120, 80, 3))}
    assert len(digests) == 3


def test_a_jpeg_and_its_turned_tag_have_one_digest() -> None:
    data = encoded(an_image((120, 80)), quality=90)
    exif = b"\xff\xe1\0\x22Exif\0\0II*\0\x08\0\0\0\x01\0\x12\x01\x03\0\x01\0\0\0\x01\0\0\0\0\0\0\0"
    assert digest(data[:2] + exif + data[2:]) == digest(data)


def test_a_palette_of_the_same_colours_shows_the_same() -> None:
    image = (an_image((60, 40)) // 64) * 64
    palette = PillowImage.fromarray(image).quantize(256, dither=PillowImage.Dither.NONE)
    assert digest(encoded(palette, "PNG")) == digest(encoded(palette.convert("RGB"), "PNG"))


def test_transparency_makes_another_image_than_its_look_on_white() -> None:
    clear = PillowImage.fromarray(np.dstack([an_image((40, 30)), np.full((30, 40), 255, np.uint8)]))
    clear.putpixel((3, 3), (0, 0, 0, 0))
    flat = PillowImage.alpha_composite(PillowImage.new("RGBA", clear.size, "white"), clear).convert("RGB")
    shown = describe_shown(encoded(clear, "PNG"))
    assert shown.has_alpha
    assert shown.digest != digest(encoded(flat, "PNG"))


def test_colours_that_nobody_can_see_do_not_count() -> None:
    pixels = np.dstack([an_image((40, 30)), np.full((30, 40), 255, np.uint8)])
    pixels[:10, :, 3] = 0
    other = pixels.copy()
    other[:10, :, :3] = 77
    assert digest(encoded(pixels, "PNG")) == digest(encoded(other, "PNG"))


def test_white_drawings_on_clear_ground_are_told_apart() -> None:
    drawings = []
    for seed in range(3):
        alpha = np.random.default_rng(seed).integers(0, 2, (30, 40), dtype=np.uint8) * 255
        drawings.append(encoded(np.dstack([np.full((30, 40, 3), 255, np.uint8), alpha]), "PNG"))
    assert len({digest(drawing) for drawing in drawings}) == 3


@pytest.mark.parametrize("format", ["PNG", "WEBP", "GIF", "TIFF", "AVIF"])
def test_every_frame_counts(format: str) -> None:
    first, second, third = (an_image((40, 30), seed) for seed in range(3))
    one = describe_shown(animated([first, second], format))
    assert one.frames == 2
    assert len({one.digest, digest(animated([first, third], format)), digest(encoded(first, format))}) == 3


@given(times=st.lists(st.integers(20, 500), min_size=2, max_size=4), changed=st.integers(0, 3))
def test_the_time_of_every_frame_counts(times: list[int], changed: int) -> None:
    frames = [an_image((16, 12), seed) for seed in range(len(times))]
    others = [time + 10 * (place == changed % len(times)) for place, time in enumerate(times)]
    assert digest(animated(frames, duration=times)) == digest(animated(frames, "WEBP", duration=times, lossless=True))
    assert digest(animated(frames, duration=times)) != digest(animated(frames, duration=others))


def test_a_thumbnail_inside_a_tiff_is_no_page() -> None:
    page = PillowImage.fromarray(an_image((40, 30)))
    thumbnail = PillowImage.fromarray(an_image((20, 15), 1))
    thumbnail.encoderinfo = {"tiffinfo": {254: 1}}
    file = io.BytesIO()
    page.save(file, "TIFF", save_all=True, append_images=[thumbnail])
    assert describe_shown(file.getvalue()) == describe_shown(encoded(page, "TIFF"))


def test_samples_of_sixteen_bits_are_no_export_of_eight() -> None:
    samples = deep()
    shown = describe_shown(stored(samples, ".png"))
    export = (samples >> 8).astype(np.uint8)
    assert shown.bits == 16
    assert shown.digest != digest(stored(export, ".png"))


@pytest.mark.parametrize("channels", [1, 3, 4])
def test_the_lowest_of_sixteen_bits_counts(channels: int) -> None:
    samples = deep(channels=channels)
    changed = samples.copy()
    changed[5, 5, 0] ^= 1
    assert digest(stored(samples, ".png")) != digest(stored(changed, ".png"))


def test_sixteen_bits_show_the_same_in_another_container() -> None:
    samples = deep()
    lzw, deflate = (stored(samples, ".tiff", cv2.IMWRITE_TIFF_COMPRESSION, code) for code in (5, 8))
    assert lzw != deflate
    assert digest(lzw) == digest(deflate) == digest(stored(samples, ".png"))


def test_ten_bits_of_a_heic_count() -> None:
    import pillow_heif

    files = []
    for seed in (0, 1):
        data = deep((64, 64)) if seed == 0 else deep((64, 64)) ^ 64
        file = io.BytesIO()
        pillow_heif.from_bytes("RGB;16", (64, 64), data.tobytes()).save(file, quality=-1)
        files.append(describe_shown(file.getvalue()))
    assert [shown.bits for shown in files] == [10, 10]
    assert files[0].digest != files[1].digest


def test_numbers_in_another_colour_space_show_something_else() -> None:
    image = an_image((40, 30))
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("LAB")).tobytes()
    wide = bytearray(profile)
    wide[16:20] = b"RGB "
    assert digest(encoded(image, "PNG", icc_profile=bytes(wide))) != digest(encoded(image, "PNG"))
    srgb = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    assert digest(encoded(image, "PNG", icc_profile=srgb)) == digest(encoded(image, "PNG"))


def test_an_animation_over_the_budget_is_equal_to_its_own_bytes_only(monkeypatch: pytest.MonkeyPatch) -> None:
    frames = [an_image((40, 30), seed) for seed in range(3)]
    monkeypatch.setattr(identity, "MAX_PIXELS_IN_ALL", 2000)
    data = animated(frames, duration=50)
    shown = describe_shown(data)
    assert (shown.frames, shown.digest) == (3, hashlib.sha256(data).hexdigest())


def test_a_page_over_the_limit_is_refused() -> None:
    data = animated([an_image((20, 10)), an_image((60, 40))], "TIFF")
    with pytest.raises(ImageError) as refused:
        describe_shown(data, ImageLimits(max_pixels=1000))
    assert refused.value.code == "too_many_pixels"


def test_a_turned_tiff_of_sixteen_bits_shows_its_upright_pixels() -> None:
    samples = deep()
    upright = stored(samples, ".tiff")
    lying = np.ascontiguousarray(np.rot90(samples))  # orientation 6 turns it back, clockwise
    file = io.BytesIO(stored(lying, ".png"))
    assert digest(upright) == digest(stored(samples, ".png"))
    tagged = _with_png_exif(file.getvalue(), exif_with_turn(6).tobytes()[6:])
    assert digest(tagged) == digest(upright)


def _with_png_exif(data: bytes, exif: bytes) -> bytes:
    import zlib

    chunk = len(exif).to_bytes(4) + b"eXIf" + exif + zlib.crc32(b"eXIf" + exif).to_bytes(4)
    return data[:33] + chunk + data[33:]


def test_a_damaged_later_frame_is_refused() -> None:
    data = animated([an_image((80, 60), seed) for seed in range(3)])
    with pytest.raises(ImageError):
        describe_shown(data[: len(data) * 2 // 3])
