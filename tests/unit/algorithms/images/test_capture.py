"""Time, camera and place in the EXIF block of an image file."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image as PillowImage
from PIL.TiffImagePlugin import IFDRational

from deployments.algorithms.images.capture import MAX_CAMERA, read_capture
from deployments.contracts.pictures import Capture
from tests.support.builders import an_image, encoded

PHOTO, GPS = 0x8769, 0x8825
FORMATS = {"JPEG": "jpeg", "PNG": "png", "WEBP": "webp", "TIFF": "tiff", "AVIF": "avif", "HEIC": "heic"}


def an_exif(photo: dict[int, Any] | None = None, gps: dict[int, Any] | None = None, **first: str) -> PillowImage.Exif:
    exif = PillowImage.Exif()
    for tag, name in ((271, "make"), (272, "model")):
        if name in first:
            exif[tag] = first[name]
    exif.get_ifd(PHOTO).update(photo or {})
    exif.get_ifd(GPS).update(gps or {})
    return exif


def capture_of(exif: PillowImage.Exif) -> Capture:
    return read_capture(encoded(an_image((16, 16)), exif=exif), "image/jpeg")


def degrees(whole: int, minutes: int, seconds: float) -> tuple[IFDRational, ...]:
    return IFDRational(whole), IFDRational(minutes), IFDRational(round(seconds * 100), 100)


@pytest.mark.parametrize("form", FORMATS)
def test_every_format_that_has_exif_says_when_with_what_and_where(form: str) -> None:
    gps = {1: "S", 2: degrees(33, 51, 24.84), 3: "E", 4: degrees(151, 12, 55.44)}
    exif = an_exif({36867: "2026:03:01 12:30:05", 36881: "+11:00"}, gps, make="Canon", model="Canon EOS R5")
    written = exif.tobytes() if form == "TIFF" else exif  # else Pillow leaves the inner directories out
    found = read_capture(encoded(an_image((16, 16)), form, exif=written), f"image/{FORMATS[form]}")
    assert found.taken_at == datetime(2026, 3, 1, 1, 30, 5, tzinfo=UTC)
    assert found.local_time is not None
    assert found.local_time.isoformat() == "2026-03-01T12:30:05+11:00"
    assert found.camera == "Canon EOS R5"
    assert (found.latitude, found.longitude) == (pytest.approx(-33.8569), pytest.approx(151.2154))


def test_a_file_without_exif_says_nothing() -> None:
    assert read_capture(encoded(an_image((16, 16)), "GIF"), "image/gif") == Capture()
    assert read_capture(encoded(an_image((16, 16))), "image/jpeg") == Capture()


def test_a_time_without_a_zone_is_answered_without_one_and_sorted_as_utc() -> None:
    found = capture_of(an_exif({36867: "2026:03:01 12:30:05"}))
    assert (found.taken_at, found.zone_min) == (datetime(2026, 3, 1, 12, 30, 5, tzinfo=UTC), None)
    assert found.local_time is not None
    assert found.local_time.isoformat() == "2026-03-01T12:30:05"


def test_the_zone_is_found_by_the_time_of_the_satellites() -> None:
    gps = {29: "2026:02:28", 7: degrees(23, 0, 7)}
    found = capture_of(an_exif({36867: "2026:03:01 04:45:09"}, gps))
    assert (found.zone_min, found.taken_at) == (345, datetime(2026, 2, 28, 23, 0, 9, tzinfo=UTC))


def test_a_satellite_time_that_fits_no_zone_is_left_out() -> None:
    assert (
        capture_of(an_exif({36867: "2026:03:01 04:52:09"}, {29: "2026:02:28", 7: degrees(23, 0, 7)})).zone_min is None
    )


def test_the_time_of_digitising_stands_in_for_that_of_taking() -> None:
    found = capture_of(an_exif({36868: "2001:01:02 03:04:05", 36882: "-02:00"}))
    assert found.taken_at == datetime(2001, 1, 2, 5, 4, 5, tzinfo=UTC)


@pytest.mark.parametrize(
    "time", ["0000:00:00 00:00:00", "    :  :     :  :  ", "2026:13:01 00:00:00", "0001:01:01 00:00:00", "soon", ""]
)
def test_a_clock_that_was_never_set_says_no_time(time: str) -> None:
    assert capture_of(an_exif({36867: time})).taken_at is None


@pytest.mark.parametrize(
    ("make", "model", "camera"),
    [
        ("NIKON CORPORATION", "NIKON D850", "NIKON D850"),
        ("Apple", "iPhone 15", "Apple iPhone 15"),
        ("", "X100", "X100"),
        ("\x07 ", "", None),
        ("A" * 500, "B", "A" * MAX_CAMERA),
    ],
)
def test_a_cameras_name_has_its_maker_once(make: str, model: str, camera: str | None) -> None:
    assert capture_of(an_exif(make=make, model=model)).camera == camera


@pytest.mark.parametrize(
    "gps",
    [
        {1: "N", 2: degrees(0, 0, 0), 3: "E", 4: degrees(0, 0, 0)},
        {1: "N", 2: degrees(91, 0, 0), 3: "E", 4: degrees(10, 0, 0)},
        {1: "N", 2: (IFDRational(1, 0), IFDRational(0), IFDRational(0)), 3: "E", 4: degrees(10, 0, 0)},
        {1: "Q", 2: degrees(1, 0, 0), 3: "E", 4: degrees(10, 0, 0)},
        {1: "N", 2: degrees(1, 0, 0)},
    ],
    ids=["null island", "beyond the pole", "division by zero", "no side", "half a place"],
)
def test_a_place_that_cannot_be_is_left_out(gps: dict[int, Any]) -> None:
    found = capture_of(an_exif(gps=gps))
    assert (found.latitude, found.longitude) == (None, None)


@given(st.data())
def test_a_damaged_exif_block_is_no_error(data: st.DataObject) -> None:
    exif = an_exif({36867: "2026:03:01 12:30:05"}, {1: "N", 2: degrees(1, 2, 3), 3: "E", 4: degrees(4, 5, 6)})
    block = bytearray(b"Exif\0\0" + exif.tobytes().removeprefix(b"Exif\0\0"))
    for _ in range(data.draw(st.integers(1, 12))):
        block[data.draw(st.integers(6, len(block) - 1))] = data.draw(st.integers(0, 255))
    block = block[: data.draw(st.integers(6, len(block)))]
    segment = b"\xff\xe1" + (len(block) + 2).to_bytes(2) + bytes(block)
    jpeg = encoded(an_image((16, 16)))
    found = read_capture(jpeg[:2] + segment + jpeg[2:], "image/jpeg")
    assert (found.latitude is None) == (found.longitude is None)
