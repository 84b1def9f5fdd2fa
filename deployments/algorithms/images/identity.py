"""Identity of what an image file shows: every frame with its time, colours, transparency and depth."""

from __future__ import annotations

import hashlib
import io
import struct
from collections.abc import Iterator
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image as PillowImage
from PIL.TiffImagePlugin import TiffImageFile
from pillow_heif import open_heif

from deployments.algorithms.images.colour_profiles import ColourProfile
from deployments.algorithms.images.decoding import ImageLimits, OpenFile, Source, decoder_errors
from deployments.algorithms.images.frames import ImageFrames
from deployments.algorithms.images.pixel_formats import turn_upright
from deployments.contracts.albums import Shown

MAX_PIXELS_IN_ALL = 500_000_000
"""Pixels of all frames up to which a file is decoded to tell what it shows: some ten seconds of work."""
_EIGHT_BIT_MODES = frozenset({"1", "L", "LA", "La", "P", "PA", "RGB", "RGBA", "RGBa", "RGBX"})
"""Pillow's modes of at most 8 bits whose images mean the same in RGB and alpha."""
_ROWS_PIXELS = 1_000_000

Samples = NDArray[Any]


def describe_shown(source: Source, limits: ImageLimits | None = None) -> Shown:
    """Decode all of a file to tell what it shows. Raises `ImageError` as `decoding.inspect` does.

    A file that cannot be decoded at its full depth, or has more than `MAX_PIXELS_IN_ALL`, is equal only to its own
    bytes.
    """
    limits = limits or ImageLimits()
    with ImageFrames(source, limits) as frames:
        file, count = frames.file, len(frames.indices)
        with decoder_errors():
            bits = _stored_bits(file)
        if frames.pixels > MAX_PIXELS_IN_ALL:
            _, is_clear = _eight_bit(frames.load(0))
            return Shown(hashlib.sha256(file.data).hexdigest(), count, bits, is_clear)
        deep = _deep_frames(file, count) if bits > 8 and frames.pixels <= limits.max_pixels else None
        digest, has_alpha, times = hashlib.sha256(), False, []
        for place, index in enumerate(frames.indices):
            picture = frames.load(index)
            with decoder_errors():
                if picture.mode not in _EIGHT_BIT_MODES:
                    samples, is_clear = np.asarray(picture), False
                elif bits > 8 and deep is not None:
                    samples, is_clear = _without_hidden(deep[place])
                else:
                    samples, is_clear = _eight_bit(picture)
            _add_pixels(digest, turn_upright(samples, file.turn), picture)
            has_alpha |= is_clear
            times.append(round(picture.info.get("duration") or 0))
        if bits > 8 and deep is None and file.picture.mode in _EIGHT_BIT_MODES:
            digest.update(file.data)
        if count > 1:
            once = 1 if file.content_type == "image/gif" else 0
            digest.update(repr((times, file.picture.info.get("loop", once))).encode())
        return Shown(digest.hexdigest(), count, bits, has_alpha)


def _eight_bit(picture: PillowImage.Image) -> tuple[Samples, bool]:
    """Read a loaded image as `uint8[H, W, 3]`, or `uint8[H, W, 4]` where some of it is transparent, and which it is."""
    if picture.has_transparency_data:
        return _without_hidden(np.array(picture.convert("RGBA")))
    return np.asarray(picture.convert("RGB")), False


def _without_hidden(samples: Samples) -> tuple[Samples, bool]:
    """Drop an alpha channel that is opaque throughout, else blacken colours that nobody can see."""
    if samples.shape[2] < 4:
        return samples, False
    alpha = samples[..., 3]
    if alpha.min() == np.iinfo(samples.dtype).max:
        return samples[..., :3], False
    samples[alpha == 0] = 0
    return samples, True


def _add_pixels(digest: hashlib._Hash, samples: Samples, picture: PillowImage.Image) -> None:
    height, width = samples.shape[:2]
    digest.update(struct.pack(">II", width, height))
    rows = max(1, _ROWS_PIXELS // width)
    for top in range(0, height, rows):
        digest.update(np.ascontiguousarray(samples[top : top + rows]).data)
    if samples.dtype != np.uint8 or samples.shape[2:] != (3,):
        mode = "" if picture.mode in _EIGHT_BIT_MODES else picture.mode
        digest.update(repr((mode, samples.dtype.str, samples.shape[2:])).encode())
    profile: bytes | None = picture.info.get("icc_profile")
    if profile and ColourProfile(profile, picture.mode).changes_colours:
        digest.update(profile)


def _stored_bits(file: OpenFile) -> int:
    """Read the bits of a sample, 8 or more, from the file."""
    if file.content_type == "image/png":
        return max(8, file.data[24])
    if isinstance(file.picture, TiffImageFile):
        return max(8, int(np.max(file.picture.tag_v2.get(258, 8))))
    if file.content_type == "image/avif":
        return max((_av1_bits(flags) for flags in _av1_flags(file.data)), default=8)
    return max(8, int(file.picture.info.get("bit_depth") or 8))


def _av1_flags(data: bytes) -> Iterator[int]:
    """Iterate the third byte of each AV1 configuration box."""
    at = data.find(b"av1C")
    while 0 <= at < len(data) - 6:
        yield data[at + 6]
        at = data.find(b"av1C", at + 4)


def _av1_bits(flags: int) -> int:
    """Bits of a sample by the flags `high_bitdepth` and `twelve_bit` (AV1 Codec ISO Media File Format, 2.3.3)."""
    return 8 if not flags & 0x40 else 12 if flags & 0x20 else 10


def _deep_frames(file: OpenFile, count: int) -> list[Samples] | None:
    """Decode frames of more than 8 bits a sample, which Pillow narrows: `uint16[H, W, 3 or 4]` each; None where that is
    not possible."""
    with decoder_errors():
        frames = _decode_deep(file, count)
    if len(frames) != count or any(frame.dtype != np.uint16 or frame.ndim != 3 for frame in frames):
        return None
    return frames


def _decode_deep(file: OpenFile, count: int) -> list[Samples]:
    if file.content_type in ("image/heic", "image/heif"):
        return [np.array(image) for image in open_heif(io.BytesIO(file.data), convert_hdr_to_8bit=False)]
    data = np.frombuffer(file.data, np.uint8)
    try:
        if file.content_type == "image/png" and count == 1:
            stored = [cv2.imdecode(data, cv2.IMREAD_UNCHANGED)]
        elif isinstance(file.picture, TiffImageFile):
            stored = list(cv2.imdecodemulti(data, cv2.IMREAD_UNCHANGED)[1])
        else:
            return []
    except cv2.error:
        return []
    turn = file.picture.tag_v2.get(274, 1) if isinstance(file.picture, TiffImageFile) else 1
    return [turn_upright(_rgb_order(frame), turn) for frame in stored if frame is not None and frame.ndim == 3]


def _rgb_order(bgr: Samples) -> Samples:
    """Bring OpenCV's blue, green, red (and alpha) into the usual order."""
    return bgr[..., [2, 1, 0, 3][: bgr.shape[2]]] if bgr.shape[2] in (3, 4) else bgr
