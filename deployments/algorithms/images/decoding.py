"""Safe decoding of untrusted image files to upright RGB pixels.

Every byte that a client sends passes here before anything else looks at it. Three gates, each cheaper than the next:
the first bytes name the type, the header gives the size and is held against the limits, and only then does the one
decoder of that type run. Decoders are called by name rather than through `PIL.Image.open`, so nothing is registered,
no global of Pillow is changed and no other format than the eight below can be reached. Whatever a decoder does with
hostile data, the caller sees an `ImageError`.

All functions are thread-safe.
"""

from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image as PillowImage
from PIL import ImageChops
from PIL.AvifImagePlugin import AvifImageFile
from PIL.BmpImagePlugin import BmpImageFile
from PIL.GifImagePlugin import GifImageFile
from PIL.JpegImagePlugin import JpegImageFile
from PIL.PngImagePlugin import PngImageFile
from PIL.TiffImagePlugin import TiffImageFile
from PIL.WebPImagePlugin import WebPImageFile
from pillow_heif import HeifImageFile

from configs.settings import Limits
from deployments.algorithms.images.colour_profiles import ColourProfile
from deployments.algorithms.images.exif import exif_orientation
from deployments.algorithms.images.header import ImageHeader, read_header
from deployments.algorithms.images.jpeg import jpeg_picture_only, lacks_end, with_ends
from deployments.algorithms.images.memory import decoding_bytes
from deployments.algorithms.images.pixel_formats import alpha_of, to_rgb8, turn_upright
from deployments.algorithms.images.png import png_picture_only
from deployments.algorithms.images.resizing import shrink
from deployments.algorithms.images.tiff_depth import grey_levels, load_colours
from deployments.algorithms.images.tiff_kinds import samples_name
from deployments.contracts.arrays import Image
from deployments.errors import ImageError, image_error

MAX_SIDE = 65_535
"""Longest side, pixels: JPEG's own limit, and more than any camera or screen has."""
WORK_FACTOR = 3
"""Factor of `max_pixels` up to which a HEIC or AVIF may be assembled: a 48 megapixel photo is stored as tiles, the
assembled grid and a gain map, each counted once."""
PREVIEW_QUALITY = 92
"""JPEG quality of previews, 0 to 100."""

_DEFAULTS = Limits()

Source = bytes | Path
"""An image file: its bytes, or its path."""


@dataclass(frozen=True, slots=True)
class ImageLimits:
    """Limits on the size of accepted files; the defaults are those of the settings."""

    max_file_bytes: int = _DEFAULTS.max_file_bytes
    max_pixels: int = _DEFAULTS.max_pixels
    max_decoding_bytes: int = _DEFAULTS.max_decoding_bytes

    @classmethod
    def of(cls, limits: Limits) -> ImageLimits:
        """Take the limits of an image from those of a request."""
        return cls(limits.max_file_bytes, limits.max_pixels, limits.max_decoding_bytes)


@dataclass(frozen=True, slots=True)
class ImageInfo:
    """Type, upright size and file size of an image file."""

    content_type: str
    width: int
    """Width of the upright image, pixels."""
    height: int
    """Height of the upright image, pixels."""
    file_bytes: int


_DECODERS: dict[str, Callable[[io.BytesIO], PillowImage.Image]] = {
    "image/jpeg": JpegImageFile,
    "image/png": PngImageFile,
    "image/webp": WebPImageFile,
    "image/gif": GifImageFile,
    "image/bmp": BmpImageFile,
    "image/tiff": TiffImageFile,
    "image/heic": HeifImageFile,
    "image/heif": HeifImageFile,
    "image/avif": AvifImageFile,
}
_PICTURE_ONLY: dict[str, Callable[[bytes], bytes]] = {"image/jpeg": jpeg_picture_only, "image/png": png_picture_only}
CONTENT_TYPES = frozenset(_DECODERS)
"""Media types that can be decoded."""
_TURNED_BY_DECODER = frozenset({"image/tiff", "image/heic", "image/heif"})

_PLAIN_MODES = frozenset({"1", "L", "LA", "P", "PA", "RGB", "RGBA", "RGBX", "CMYK", "YCbCr"})
"""Modes of 8 bits or fewer, which Pillow converts as they are; others it would clip."""

_UNKNOWN_SAMPLES = "unknown pixel mode"
"""Pillow's words for a TIFF with bits, channels or colours that it does not read (three channels of 32 bits, say)."""

# What Pillow's plugins and the libraries under them were seen to raise on damaged files. `Warning` for a process that
# turns warnings into errors.
_DECODER_ERRORS = (
    OSError,
    SyntaxError,
    ValueError,
    TypeError,
    LookupError,
    ArithmeticError,
    AttributeError,
    AssertionError,
    RuntimeError,
    EOFError,
    MemoryError,
    struct.error,
    zlib.error,
    PillowImage.DecompressionBombError,
    Warning,
)


def inspect(source: Source, limits: ImageLimits | None = None) -> ImageInfo:
    """Read type and upright size from the header alone. The pixels may still turn out damaged: see `read_picture`.

    Raises `ImageError` with one of the codes `empty`, `too_large`, `unsupported_type`, `corrupt`, `too_many_pixels`.
    """
    return _open(source, limits or ImageLimits()).info


def decode(source: Source, max_px: int, limits: ImageLimits | None = None) -> Image:
    """Decode to `uint8[H, W, 3]`, upright sRGB, longest side at most `max_px`, the first frame. Raises as `inspect`
    does."""
    return read_picture(source, max_px, limits)[1]


def read_picture(source: Source, max_px: int, limits: ImageLimits | None = None) -> tuple[ImageInfo, Image]:
    """Inspect and decode in one pass, as uploads are validated. Raises as `inspect` does.

    A file that ends early is refused as `corrupt`: a half-grey image would be matched, tagged and shown as if it
    were the client's. JPEGs are decoded at an eighth to full size, whatever comes closest above `max_px`.
    """
    opened = _open(source, limits or ImageLimits())
    return opened.info, opened.small_pixels(max_px)


def decode_layers(source: Source, limits: ImageLimits | None = None) -> tuple[Image, NDArray[np.uint8] | None]:
    """Decode at full size: colours `uint8[H, W, 3]`, transparency on white, and alpha `uint8[H, W]`, None where opaque.

    Raises as `inspect` does.
    """
    return _open(source, limits or ImageLimits()).layers()


def decode_as_stored(source: Source, limits: ImageLimits | None = None) -> Image:
    """Decode at full size to `uint8[H, W, 3]` the numbers that are in the file: not turned by EXIF, no colour profile
    applied, transparency ignored, as `PIL.Image.open(...).convert("RGB")` has them.

    For clients whose models read pictures so. Raises as `inspect` does.
    """
    return _open(source, limits or ImageLimits()).stored_pixels()


@dataclass(frozen=True, slots=True)
class OpenFile:
    """An image file of which nothing is decoded yet."""

    picture: PillowImage.Image
    """At its first frame."""
    data: bytes
    """The whole file."""
    content_type: str
    turn: int
    """EXIF orientation, 1 to 8, that the decoder leaves to its caller."""


def open_frames(source: Source, limits: ImageLimits | None = None) -> OpenFile:
    """Open a file with all its frames or pages. Close its picture when done. Raises as `inspect` does."""
    data = _read(source, limits or ImageLimits())
    opened = _open(data, limits or ImageLimits(), frames=True)
    return OpenFile(opened.picture, data, opened.info.content_type, opened.turn)


@contextmanager
def decoder_errors() -> Iterator[None]:
    """Turn whatever a decoder raises on a damaged file into an `ImageError` `corrupt`."""
    try:
        yield
    except _DECODER_ERRORS as error:
        raise _damaged() from error


def encode_jpeg(image: Image, quality: int = PREVIEW_QUALITY) -> bytes:
    """Encode `uint8[H, W, 3]` as a JPEG without colour subsampling: small faces and fine texture survive.

    By OpenCV, which writes the bytes that Pillow would in three quarters of its time.
    """
    whole_colours = (cv2.IMWRITE_JPEG_SAMPLING_FACTOR, cv2.IMWRITE_JPEG_SAMPLING_FACTOR_444)
    options = (cv2.IMWRITE_JPEG_QUALITY, quality, *whole_colours)
    file: NDArray[np.uint8] = cv2.imencode(".jpg", cv2.cvtColor(image, cv2.COLOR_RGB2BGR), options)[1]
    return file.tobytes()


class _Opened:
    """An image file whose header was read and found within the limits."""

    def __init__(self, picture: PillowImage.Image, header: ImageHeader, data: bytes, twin: bytes | None) -> None:
        """`twin`: a JPEG that shows the same if the file is whole; see `with_ends`."""
        self.picture = picture
        self._data = data
        self._twin = twin
        self._type = header.content_type
        self.turn = _remaining_turn(picture, header)
        width, height = picture.size
        if self.turn >= 5:
            width, height = height, width
        self.info = ImageInfo(self._type, width, height, len(data))

    def small_pixels(self, max_px: int) -> Image:
        """Decode upright sRGB, longest side at most `max_px`."""
        if self._type == "image/jpeg":
            _draft(self.picture, max_px)
        colours = self._colours()
        pixels = colours.convert(shrink(self._load(colours), max_px))
        return np.ascontiguousarray(turn_upright(pixels, self.turn))

    def layers(self) -> tuple[Image, NDArray[np.uint8] | None]:
        """Decode upright sRGB and alpha at full size; see `decode_layers`."""
        colours = self._colours()
        pixels = self._load(colours, keep_open=True)
        try:
            alpha = alpha_of(self.picture)
        except _DECODER_ERRORS as error:
            raise _damaged() from error
        finally:
            self.picture.close()
        upright = np.ascontiguousarray(turn_upright(colours.convert(pixels), self.turn))
        return upright, None if alpha is None else np.ascontiguousarray(turn_upright(alpha, self.turn))

    def stored_pixels(self) -> Image:
        """Decode the file's own numbers; see `decode_as_stored`."""
        if self.picture.mode not in _PLAIN_MODES or isinstance(self.picture, TiffImageFile):
            return np.ascontiguousarray(self._load(ColourProfile(None, self.picture.mode)))
        try:
            self.picture.load()
            pixels = np.array(self.picture if self.picture.mode == "RGB" else self.picture.convert("RGB"))
            if self._twin is not None:
                self._check_twin(self._twin)
        except _DECODER_ERRORS as error:
            raise _damaged() from error
        finally:
            self.picture.close()
        return pixels

    def _colours(self) -> ColourProfile:
        return ColourProfile(self.picture.info.get("icc_profile"), self.picture.mode)

    def _load(self, colours: ColourProfile, *, keep_open: bool = False) -> NDArray[np.uint8]:
        picture = self.picture
        try:
            levels = None
            expected = picture.size
            if isinstance(picture, TiffImageFile):
                loaded = load_colours(picture, self._data)
                levels = grey_levels(picture)
            else:
                loaded = picture
                picture.load()
            if picture.size != expected:
                raise ValueError("the pixels have another size than the header says")
            pixels = to_rgb8(loaded, keep_cmyk=colours.wants_cmyk, levels=levels, grey_curve=colours.grey_curve)
            if self._twin is not None:
                self._check_twin(self._twin)
        except _DECODER_ERRORS as error:
            raise _damaged() from error
        finally:
            if not keep_open:
                picture.close()
        return pixels

    def _check_twin(self, data: bytes) -> None:
        """Raise `ValueError` unless the twin shows the same."""
        with JpegImageFile(io.BytesIO(data)) as twin:
            twin.draft(None, self.picture.size)
            if ImageChops.difference(twin, self.picture).getbbox() is not None:
                raise ValueError("the last scan is cut short")


def _draft(picture: PillowImage.Image, max_px: int) -> None:
    width, height = picture.size
    scale = min(1.0, max_px / max(width, height))
    picture.draft(None, (max(1, round(width * scale)), max(1, round(height * scale))))


def _open(source: Source, limits: ImageLimits, *, frames: bool = False) -> _Opened:
    data = _read(source, limits)
    header = read_header(data)
    _check_size(header.width, header.height, limits)
    if header.decoded_pixels > WORK_FACTOR * limits.max_pixels:
        raise _too_many_pixels(limits)
    content, twin = data, None
    picture_only = _PICTURE_ONLY.get(header.content_type)
    if frames and header.content_type == "image/png":
        picture_only = partial(png_picture_only, frames=True)
    if picture_only:
        content = picture_only(data)
    try:
        if header.content_type == "image/jpeg" and lacks_end(content):
            content, twin = with_ends(content)
        picture = _DECODERS[header.content_type](io.BytesIO(content))
        width, height = picture.size
    except _DECODER_ERRORS as error:
        raise _unsupported(content) if str(error) == _UNKNOWN_SAMPLES else _damaged() from error
    _check_size(width, height, limits)
    check_memory(picture, header.content_type, limits, is_whole=twin is None)
    return _Opened(picture, header, data, twin)


def check_memory(picture: PillowImage.Image, content_type: str, limits: ImageLimits, *, is_whole: bool = True) -> None:
    """Raise `ImageError` (`too_many_pixels`) where decoding the frame at which a file stands takes more memory than is
    allowed."""
    needed = decoding_bytes(content_type, picture, is_whole=is_whole)
    if needed > limits.max_decoding_bytes:
        raise image_error(
            "too_many_pixels",
            f"Decoding this picture takes about {needed / 1e6:.0f} MB, "
            f"{limits.max_decoding_bytes / 1e6:.0f} MB are allowed: send it smaller, or as a JPEG",
        )


def _read(source: Source, limits: ImageLimits) -> bytes:
    size = source.stat().st_size if isinstance(source, Path) else len(source)
    if size > limits.max_file_bytes:
        raise image_error("too_large", f"The file has {size} bytes, {limits.max_file_bytes} are allowed")
    return source.read_bytes() if isinstance(source, Path) else source


def _check_size(width: int, height: int, limits: ImageLimits) -> None:
    if width < 1 or height < 1:
        raise _damaged()
    if width * height > limits.max_pixels or max(width, height) > MAX_SIDE:
        raise _too_many_pixels(limits)


def _remaining_turn(picture: PillowImage.Image, header: ImageHeader) -> int:
    """Find the EXIF orientation that the decoder leaves to its caller."""
    if header.content_type in _TURNED_BY_DECODER:
        return 1
    if header.content_type == "image/avif":  # Pillow hands the irot and imir boxes on as an EXIF orientation
        return exif_orientation(picture.info.get("exif", b"").removeprefix(b"Exif\0\0"))
    return header.turn


def _damaged() -> ImageError:
    return image_error("corrupt", "The picture data is damaged or incomplete")


def _unsupported(tiff: bytes) -> ImageError:
    kind = samples_name(tiff)
    said = "TIFF files with this kind of samples are not supported"
    return image_error("unsupported_type", f"{said}: {kind}" if kind else said)


def _too_many_pixels(limits: ImageLimits) -> ImageError:
    return image_error(
        "too_many_pixels",
        f"At most {limits.max_pixels} pixels and {MAX_SIDE} a side are allowed, the header gives more",
    )
