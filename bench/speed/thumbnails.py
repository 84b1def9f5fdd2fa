"""Thumbnails a second by Pillow, OpenCV, libvips and as they are served: `python -m bench.speed.thumbnails`.

libvips takes part where pyvips is installed (`pip install pyvips pyvips-binary`). One thread each, in turn, on the same
files: a preview as it is stored beside a photograph, and a photograph of 12 megapixels for the largest size, which is
made of the client's own file and hence by the guarded decoder.
"""

from __future__ import annotations

import io
import os
import statistics
import time
from collections.abc import Callable

import cv2
import numpy as np
from PIL import Image as PillowImage
from skimage import data

from bench.report import Report, no_arguments
from deployments.algorithms.images.decoding import decode, encode_jpeg
from deployments.algorithms.images.resizing import shrink
from deployments.algorithms.images.thumbnails import FORMATS, QUALITY, Format, encode_thumbnail, make_thumbnail

Maker = Callable[[bytes, int, Format], bytes]
_ROUNDS = 15
_PREVIEW_PX = 1280
_USUAL_EFFORT = 4


def main() -> None:
    no_arguments(__doc__)
    cv2.setNumThreads(1)
    report = Report("thumbnails")
    photo = np.ascontiguousarray(cv2.resize(data.astronaut(), (4000, 3000), interpolation=cv2.INTER_CUBIC))
    preview, original = encode_jpeg(shrink(photo, _PREVIEW_PX)), encode_jpeg(photo, 90)
    for source, file, sizes, served in (
        ("preview", preview, (256, 1024), _served_preview),
        ("12 megapixels", original, (2048,), _served_original),
    ):
        for size in sizes:
            for form in FORMATS:
                seconds = _seconds({**_by_hand(), "served": served}, file, size, form)
                for name, taken in seconds.items():
                    report.add(f"{source} to {size} {form}, {name}", 1 / taken, "/s")
                quickest = min(taken for name, taken in seconds.items() if name != "served")
                target = 0.9 if served is _served_preview else None
                report.add("  served, of the quickest by hand", quickest / seconds["served"], "", target=target)
    report.finish()


def _by_hand() -> dict[str, Maker]:
    by_vips = _vips()
    return {"Pillow": _by_pillow, "OpenCV": _by_opencv, **({} if by_vips is None else {"libvips": by_vips})}


def _seconds(makers: dict[str, Maker], file: bytes, size: int, form: Format) -> dict[str, float]:
    """Median processor seconds of each maker; in turn, so that all meet the same machine."""
    seen: dict[str, list[float]] = {name: [] for name in makers}
    for _ in range(_ROUNDS):
        for name, make in makers.items():
            started = time.process_time()
            make(file, size, form)
            seen[name].append(time.process_time() - started)
    return {name: statistics.median(taken) for name, taken in seen.items()}


def _served_preview(file: bytes, size: int, form: Format) -> bytes:
    return make_thumbnail(file, size, form)


def _served_original(file: bytes, size: int, form: Format) -> bytes:
    return encode_thumbnail(decode(file, size), size, form)


def _by_pillow(file: bytes, size: int, form: Format) -> bytes:
    made = io.BytesIO()
    with PillowImage.open(io.BytesIO(file)) as picture:
        picture.thumbnail((size, size), PillowImage.Resampling.BOX)
        picture.save(made, form.upper(), quality=QUALITY[form])
    return made.getvalue()


def _by_opencv(file: bytes, size: int, form: Format) -> bytes:
    reduced = ((8, cv2.IMREAD_REDUCED_COLOR_8), (4, cv2.IMREAD_REDUCED_COLOR_4), (2, cv2.IMREAD_REDUCED_COLOR_2))
    with PillowImage.open(io.BytesIO(file)) as picture:
        longest = max(picture.size)
    mode = next((mode for share, mode in reduced if longest // share >= size), cv2.IMREAD_COLOR)
    pixels = cv2.imdecode(np.frombuffer(file, np.uint8), mode)
    if pixels is None:
        raise ValueError("no picture")
    options = {"webp": [cv2.IMWRITE_WEBP_QUALITY, QUALITY["webp"]], "jpeg": [cv2.IMWRITE_JPEG_QUALITY, QUALITY["jpeg"]]}
    _, encoded = cv2.imencode(f".{form}", shrink(np.asarray(pixels, np.uint8), size), options[form])
    return encoded.tobytes()


def _vips() -> Maker | None:
    os.environ.setdefault("VIPS_CONCURRENCY", "1")
    try:
        import pyvips
    except ImportError:
        return None

    def make(file: bytes, size: int, form: Format) -> bytes:
        small = pyvips.Image.thumbnail_buffer(file, size, size="down")
        if form == "webp":
            return bytes(small.webpsave_buffer(Q=QUALITY["webp"], effort=_USUAL_EFFORT))
        return bytes(small.jpegsave_buffer(Q=QUALITY["jpeg"]))

    return make


if __name__ == "__main__":
    main()
