"""Time, camera and place from the EXIF block of a validated image file (EXIF 2.32, read by Pillow).

An EXIF block is a claim of whoever wrote the file: what cannot be read or cannot be true is left out, and never a
reason to refuse the image.
"""

from __future__ import annotations

import io
import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from math import isfinite
from typing import Any

from PIL import Image as PillowImage
from PIL.AvifImagePlugin import AvifImageFile
from pillow_heif import HeifImageFile

from deployments.algorithms.images.decoding import Source, decoder_errors
from deployments.algorithms.images.header import read_webp_exif
from deployments.algorithms.images.jpeg import read_jpeg
from deployments.algorithms.images.png import read_png
from deployments.contracts.pictures import Capture
from deployments.errors import ImageError

MAX_CAMERA = 100
"""Characters kept of a camera's name."""
_MAKE, _MODEL, _EXIF, _GPS = 271, 272, 0x8769, 0x8825
_TIMES = ((36867, 36881), (36868, 36882))
"""Tags of the time at which the picture was taken and of its zone; then those of the time at which it was digitised."""
_TIME = re.compile(r"(\d{4})[:./-](\d\d)[:./-](\d\d)[ T](\d\d):(\d\d):(\d\d)")
_ZONE = re.compile(r"([+-])(\d\d):?(\d\d)")
_FIRST_YEAR, _LAST_YEAR = 1826, 9998
"""Years that a photograph can be of; the last leaves room for a time zone."""
_MOST_MINUTES = 14 * 60
"""The farthest a clock on land is from UTC."""
_QUARTER = timedelta(minutes=15)


def read_capture(source: Source, content_type: str) -> Capture:
    """Read time, camera and place. Give it a file that `read_picture` has accepted, with its type."""
    data = source if isinstance(source, bytes) else source.read_bytes()
    try:
        with decoder_errors():
            block = _EXIF_OF[content_type](data) if content_type in _EXIF_OF else b""
            if not block:
                return Capture()
            exif = PillowImage.Exif()
            exif.load(block)
            return _capture(exif, exif.get_ifd(_EXIF), exif.get_ifd(_GPS))
    except ImageError:
        return Capture()


def _opened_exif(opener: Callable[[io.BytesIO], PillowImage.Image]) -> Callable[[bytes], bytes]:
    def read(data: bytes) -> bytes:
        with opener(io.BytesIO(data)) as picture:
            return picture.info.get("exif") or b""

    return read


_EXIF_OF: dict[str, Callable[[bytes], bytes]] = {
    "image/jpeg": lambda data: read_jpeg(data).exif,
    "image/png": lambda data: read_png(data)[2],
    "image/webp": read_webp_exif,
    "image/tiff": lambda data: data,
    "image/heic": _opened_exif(HeifImageFile),
    "image/heif": _opened_exif(HeifImageFile),
    "image/avif": _opened_exif(AvifImageFile),
}


def _capture(exif: PillowImage.Exif, photo: dict[int, Any], gps: dict[int, Any]) -> Capture:
    camera = _camera(exif.get(_MAKE), exif.get(_MODEL))
    latitude, longitude = _place(gps)
    for time_tag, zone_tag in _TIMES:
        if (clock := _clock(photo.get(time_tag))) is not None:
            zone = _zone(photo.get(zone_tag))
            if zone is None:
                zone = _zone_by_satellite(clock, gps)
            taken_at = (clock - timedelta(minutes=zone or 0)).replace(tzinfo=UTC)
            return Capture(taken_at, zone, camera, latitude, longitude)
    return Capture(None, None, camera, latitude, longitude)


def _text(value: Any) -> str:
    """Make printable text of a tag's value; empty where it is none."""
    if isinstance(value, bytes):
        value = value.decode("ascii", "ignore")
    if not isinstance(value, str):
        return ""
    return " ".join("".join(c if c.isprintable() else " " for c in value[:1000]).split())


def _camera(make: Any, model: Any) -> str | None:
    """Join the maker's and the model's name, which often begins with the maker's."""
    maker, name = _text(make), _text(model)
    begins = maker.split(" ")[0].casefold()
    joined = name if begins and name.casefold().startswith(begins) else f"{maker} {name}"
    return joined.strip()[:MAX_CAMERA].strip() or None


def _clock(value: Any) -> datetime | None:
    """Parse the time on a camera's clock; None for one that was never set."""
    match = _TIME.match(_text(value))
    if match is None:
        return None
    try:
        clock = datetime(*map(int, match.groups()))  # type: ignore[arg-type]
    except ValueError:
        return None
    return clock if _FIRST_YEAR <= clock.year <= _LAST_YEAR else None


def _zone(value: Any) -> int | None:
    """Parse minutes ahead of UTC."""
    match = _ZONE.fullmatch(_text(value))
    if match is None:
        return None
    minutes = int(match[2]) * 60 + int(match[3])
    return None if minutes > _MOST_MINUTES else minutes if match[1] == "+" else -minutes


def _zone_by_satellite(clock: datetime, gps: dict[int, Any]) -> int | None:
    """Find the zone by the time of the satellites, which is UTC: clocks on land differ from it by quarters of hours."""
    day = _text(gps.get(29)).replace("-", ":")
    parts = _numbers(gps.get(7))
    if parts is None:
        return None
    universal = _clock(f"{day} {parts[0]:02.0f}:{parts[1]:02.0f}:{int(parts[2]):02d}")
    if universal is None:
        return None
    minutes = round((clock - universal) / _QUARTER) * 15
    is_one = abs(clock - universal - timedelta(minutes=minutes)) <= timedelta(minutes=5)
    return minutes if is_one and abs(minutes) <= _MOST_MINUTES else None


def _place(gps: dict[int, Any]) -> tuple[float, float] | tuple[None, None]:
    """Read latitude and longitude in degrees. Zero for both is what devices write that do not know."""
    latitude = _degrees(gps.get(2), gps.get(1), "N", "S", 90)
    longitude = _degrees(gps.get(4), gps.get(3), "E", "W", 180)
    if latitude is None or longitude is None or (latitude == 0 and longitude == 0):
        return None, None
    return latitude, longitude


def _degrees(value: Any, side: Any, ahead: str, behind: str, most: float) -> float | None:
    parts, letter = _numbers(value), _text(side).upper()[:1]
    if parts is None or letter not in {ahead, behind}:
        return None
    degrees = parts[0] + parts[1] / 60 + parts[2] / 3600
    return None if degrees > most else round(degrees if letter == ahead else -degrees, 7)


def _numbers(value: Any) -> tuple[float, float, float] | None:
    """Read three numbers that are not negative: degrees or hours, minutes, seconds."""
    if not isinstance(value, tuple) or len(value) != 3:
        return None
    first, second, third = (float(part) for part in value)
    return (first, second, third) if all(isfinite(part) and part >= 0 for part in (first, second, third)) else None
