"""Identity of what an image file shows: every frame with its time, colours, transparency and depth."""

from __future__ import annotations

import hashlib
import io
import struct
from collections.abc import Callable, Iterator

import cv2
import numpy as np
from PIL import Image as PillowImage
from PIL.TiffImagePlugin import TiffImageFile
from pillow_heif import open_heif

from deployments.algorithms.images.colour_profiles import ColourProfile
from deployments.algorithms.images.decoding import ImageLimits, OpenFile, Source, decoder_errors
from deployments.algorithms.images.frame_counts import tiff_pages
from deployments.algorithms.images.frames import MAX_PIXELS_IN_ALL, ImageFrames
from deployments.algorithms.images.upright_bands import DeepBands, PictureBands, Samples, check_cancelled
from deployments.contracts.albums import Shown

_ANIMATION_BYTES = 20
"""Bytes a pixel that Pillow needs for an animated GIF or PNG: this frame, the last, a copy of each, and a mask."""
_DEEP_BYTES = 4
"""Bytes that a sample of more than 8 bits takes: OpenCV's PNG decoder and libheif hold the picture twice."""


def describe_shown(
    source: Source, limits: ImageLimits | None = None, is_cancelled: Callable[[], bool] = lambda: False
) -> Shown:
    """Decode all of a file to tell what it shows. Raises `ImageError` as `decoding.inspect` does.

    A file that cannot be decoded at its full depth, has more than `MAX_FRAMES` frames or `MAX_PIXELS_IN_ALL`, or needs
    more than `limits.max_decoding_bytes`, is equal only to its own bytes. `is_cancelled` is asked before each frame and
    band of rows; `Cancelled` is raised when it says so.
    """
    limits = limits or ImageLimits()
    with ImageFrames(source, limits) as frames:
        file = frames.file
        with decoder_errors():
            bits = _stored_bits(file)
        if not frames.are_all or frames.pixels > MAX_PIXELS_IN_ALL or _needs_too_much(frames, limits):
            with decoder_errors():
                is_clear = PictureBands(frames.load(0), file.turn, is_cancelled).is_clear
            return Shown(hashlib.sha256(file.data).hexdigest(), frames.count, bits, is_clear)
        return _Description(frames, bits, limits, is_cancelled).describe()


def _needs_too_much(frames: ImageFrames, limits: ImageLimits) -> bool:
    """Tell whether the frames of an animation, which are made from one another, take more memory than is allowed."""
    file = frames.file
    is_layered = frames.count > 1 and file.content_type in ("image/gif", "image/png")
    return is_layered and file.picture.width * file.picture.height * _ANIMATION_BYTES > limits.max_decoding_bytes


class _Description:
    """One pass over the frames of a file."""

    def __init__(self, frames: ImageFrames, bits: int, limits: ImageLimits, is_cancelled: Callable[[], bool]) -> None:
        self._frames, self._file, self._bits = frames, frames.file, bits
        self._limits, self._is_cancelled = limits, is_cancelled
        self._digest = hashlib.sha256()

    def describe(self) -> Shown:
        """Hash all frames, in bands, at the depth at which they are stored."""
        has_alpha, is_narrowed, times, postponed = False, False, [], []
        for index in self._frames.indices:
            check_cancelled(self._is_cancelled)
            picture = self._frames.load(index)
            with decoder_errors():
                bands = PictureBands(picture, self._file.turn, self._is_cancelled)
                if self._bits > 8 and bands.is_eight_bit:  # narrowed by Pillow: decoded again below
                    postponed.append((self._turn_of(picture), _profile(picture)))
                else:
                    self._add(bands, "" if bands.is_eight_bit else picture.mode, _profile(picture))
                    is_narrowed |= bands.is_eight_bit and _frame_bits(picture) > 8
                has_alpha |= bands.is_clear
            times.append(round(picture.info.get("duration") or 0))
        count, loop = self._frames.count, self._file.picture.info.get("loop", self._once)
        is_extra = getattr(self._file.picture, "default_image", False)
        if postponed:
            has_alpha |= self._add_deep(postponed)
        if is_narrowed:  # a page is deeper than the first
            self._digest.update(self._file.data)
        if count > 1:
            self._digest.update(repr((times, loop)).encode())
        if is_extra:
            self._digest.update(b"the first is not of the animation")
        return Shown(self._digest.hexdigest(), count, self._bits, has_alpha)

    @property
    def _once(self) -> int:
        return 1 if self._file.content_type == "image/gif" else 0

    def _add(self, bands: PictureBands | DeepBands, mode: str, profile: bytes) -> None:
        self._digest.update(struct.pack(">II", *bands.size))
        for band in bands:
            self._digest.update(np.ascontiguousarray(band).data)
        if band.dtype != np.uint8 or band.shape[2:] != (3,):
            self._digest.update(repr((mode, band.dtype.str, band.shape[2:])).encode())
        self._digest.update(profile)

    def _turn_of(self, picture: PillowImage.Image) -> int:
        """Read the orientation that is left when a frame is decoded at more than 8 bits."""
        if isinstance(picture, TiffImageFile):
            return int(picture.tag_v2.get(274, 1))
        return self._file.turn

    def _add_deep(self, kinds: list[tuple[int, bytes]]) -> bool:
        """Hash frames at more than 8 bits, or the file where that is not possible; -> whether they are transparent."""
        channels = 4 if self._file.picture.has_transparency_data else 3
        self._file.picture.close()  # or its pixels would lie in memory beside these
        has_alpha, frames = False, None
        needed = self._frames.pixels * channels * _DEEP_BYTES
        fits = needed <= self._limits.max_decoding_bytes
        if fits and len(kinds) == len(self._frames.indices):
            frames = _deep_frames(self._file, len(kinds))
        if frames is None:
            self._digest.update(self._file.data)
            return False
        is_bgr = self._file.content_type not in ("image/heic", "image/heif")
        for samples, (turn, profile) in zip(frames, kinds, strict=True):
            bands = DeepBands(samples, turn, is_bgr, self._is_cancelled)
            self._add(bands, "", profile)
            has_alpha |= bands.is_clear
        return has_alpha


def _profile(picture: PillowImage.Image) -> bytes:
    """Read the colour profile of a frame; empty where it changes no colour."""
    profile: bytes | None = picture.info.get("icc_profile")
    return profile if profile and ColourProfile(profile, picture.mode).changes_colours else b""


def _stored_bits(file: OpenFile) -> int:
    """Read the bits of a sample, 8 or more, from the file."""
    if file.content_type == "image/png":
        return max(8, file.data[24])
    if file.content_type == "image/avif":
        return max((_av1_bits(flags) for flags in _av1_flags(file.data)), default=8)
    return _frame_bits(file.picture)


def _frame_bits(picture: PillowImage.Image) -> int:
    """Read the bits of a sample, 8 or more, of the frame at which a TIFF or HEIC stands; 8 of other files."""
    if isinstance(picture, TiffImageFile):
        return max(8, int(np.max(picture.tag_v2.get(258, 8))))
    return max(8, int(picture.info.get("bit_depth") or 8))


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
    """Decode frames of more than 8 bits a sample, which Pillow narrows: `uint16[H, W, 3 or 4]` each, not turned, in
    OpenCV's order of channels if it is no HEIC; None where that is not possible."""
    with decoder_errors():
        frames = _decode_deep(file, count)
    if len(frames) != count or any(frame.dtype != np.uint16 or frame.shape[2:] not in ((3,), (4,)) for frame in frames):
        return None
    return frames


def _decode_deep(file: OpenFile, count: int) -> list[Samples]:
    if file.content_type in ("image/heic", "image/heif"):
        return [np.asarray(image) for image in open_heif(io.BytesIO(file.data), convert_hdr_to_8bit=False)]
    data = np.frombuffer(file.data, np.uint8)
    try:
        if file.content_type == "image/png" and count == 1:
            decoded = cv2.imdecode(data, cv2.IMREAD_UNCHANGED)
            return [] if decoded is None else [decoded]
        if file.content_type == "image/tiff" and tiff_pages(file.data)[0] == count:  # thumbnails are decoded too
            return list(cv2.imdecodemulti(data, cv2.IMREAD_UNCHANGED)[1])
    except cv2.error:
        pass
    return []
