"""Memory and time of decoding a picture of each format: few bytes in, all pixels out.

    python -m bench.speed.decoding [--pixels 24000000] [--out out/bench_decoding.json]

Prints a table for docs/images.md: bytes of the file, peak megabytes and seconds of the decode that an upload takes (at
`limits.preview_px`) and of one at full size, and bytes a pixel at the higher of the two peaks beside what
`deployments/algorithms/images/memory.py` counts. The pictures are nearly flat, since those are the files that unpack to
most from least. Each decode runs in a process of its own, so that its peak memory is its own. The last line is what
decoding a stored preview takes.
"""

from __future__ import annotations

import argparse
import io
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pillow_heif
from PIL import Image as PillowImage
from rich.console import Console
from rich.table import Table

from bench.report import machine
from bench.speed.album import photographs
from configs.settings import Limits
from deployments.algorithms.images import decoding
from deployments.algorithms.images.memory import decoding_bytes
from deployments.algorithms.images.previews import decode_preview
from deployments.contracts.arrays import Image

_ANY = 2**40
"""Bytes that no file or decode here reaches."""


def _saved(mode: str, format: str, **options: Any) -> Callable[[PillowImage.Image], bytes]:
    def save(picture: PillowImage.Image) -> bytes:
        file = io.BytesIO()
        converted = picture.convert(mode)
        if mode == "RGBA":
            converted.putalpha(200)
        converted.save(file, format, **options)
        return file.getvalue()

    return save


def _heic(picture: PillowImage.Image) -> bytes:
    file = io.BytesIO()
    pillow_heif.from_pillow(picture).save(file, quality=40, enc_params={"preset": "ultrafast"})
    return file.getvalue()


def _heic_10_bits(picture: PillowImage.Image) -> bytes:
    samples = (np.asarray(picture).astype(np.uint16) << 8).tobytes()
    file = io.BytesIO()
    image = pillow_heif.from_bytes("RGB;16", picture.size, samples)
    image.save(file, quality=40, enc_params={"preset": "ultrafast"})
    return file.getvalue()


FORMATS: dict[str, Callable[[PillowImage.Image], bytes]] = {
    "JPEG": _saved("RGB", "JPEG"),
    "JPEG, progressive": _saved("RGB", "JPEG", progressive=True, subsampling=0),
    "JPEG, CMYK": _saved("CMYK", "JPEG"),
    "PNG": _saved("RGB", "PNG"),
    "PNG, transparent": _saved("RGBA", "PNG"),
    "PNG, palette": _saved("P", "PNG"),
    "WebP": _saved("RGB", "WEBP", method=0),
    "WebP, transparent": _saved("RGBA", "WEBP", method=0),
    "WebP, lossless": _saved("RGB", "WEBP", lossless=True, method=0),
    "GIF": _saved("P", "GIF"),
    "BMP": _saved("RGB", "BMP"),
    "TIFF, LZW": _saved("RGB", "TIFF", compression="tiff_lzw"),
    "HEIC": _heic,
    "HEIC, 10 bits": _heic_10_bits,
    "AVIF": _saved("RGB", "AVIF", speed=10),
    "AVIF, 4:4:4": _saved("RGB", "AVIF", speed=10, subsampling="4:4:4"),
    "AVIF, transparent": _saved("RGBA", "AVIF", speed=10),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--pixels", type=int, default=24_000_000)
    parser.add_argument("--out", type=Path, default=Path("out/bench_decoding.json"))
    parser.add_argument("--one", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--full", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.one:
        print(json.dumps(measure(options.one, full=options.full)))
        return
    rows = [_row(name, encode, options.pixels) for name, encode in FORMATS.items()]
    _print_table(rows)
    previews = measure_previews()
    Console().print(", ".join(f"{name}: {value:.4g}" for name, value in previews.items()))
    options.out.parent.mkdir(parents=True, exist_ok=True)
    options.out.write_text(json.dumps({"machine": machine(), "rows": rows, "previews": previews}, indent=1))


def measure(path: Path, *, full: bool) -> dict[str, float]:
    """Decode a file in this process: peak bytes beyond what the process and the file had before, and seconds."""
    limits = decoding.ImageLimits(_ANY, _ANY, _ANY)
    data = path.read_bytes()
    small = io.BytesIO()
    PillowImage.new("RGB", (64, 64)).save(small, "PNG")
    decoding.decode_layers(small.getvalue())  # libraries loaded, tables made
    Path("/proc/self/clear_refs").write_text("5")  # the peak begins anew
    before, started = _peak_bytes(), time.perf_counter()
    if full:
        decoding.decode_layers(data, limits)
    else:
        decoding.read_picture(data, Limits().preview_px, limits)
    return {"seconds": time.perf_counter() - started, "bytes": _peak_bytes() - before}


def measure_previews(count: int = 8, turns: int = 5) -> dict[str, float]:
    """Decode previews by OpenCV, as jobs do, and by Pillow in turn: milliseconds of one core each, the median, and the
    largest difference of a level."""
    px = Limits().preview_px
    stored = [decoding.encode_jpeg(decoding.decode(picture, px)) for picture in photographs(count)]
    taken: dict[str, list[float]] = {"preview by OpenCV, ms": [], "by Pillow, ms": []}
    differences = [0]
    for data in stored * turns:
        pixels = []
        decoders: tuple[Callable[[bytes, int], Image], ...] = (decode_preview, decoding.decode)
        for times, decode in zip(taken.values(), decoders, strict=True):
            began = time.process_time()
            pixels.append(decode(data, px))
            times.append(1000 * (time.process_time() - began))
        differences.append(int(np.ptp(np.stack(pixels).astype(np.int16), axis=0).max()))
    return {name: float(np.median(times)) for name, times in taken.items()} | {"levels apart": max(differences)}


def _peak_bytes() -> int:
    lines = Path("/proc/self/status").read_text().splitlines()
    return 1024 * int(next(line for line in lines if line.startswith("VmHWM")).split()[1])


def _row(name: str, encode: Callable[[PillowImage.Image], bytes], pixels: int) -> dict[str, Any]:
    height = round((pixels / 1.5) ** 0.5)
    picture = PillowImage.new("RGB", (pixels // height, height), (200, 120, 40))
    picture.paste((10, 200, 30), (100, 100, height // 2, height // 2))
    data = encode(picture)
    with tempfile.NamedTemporaryFile() as file:
        Path(file.name).write_bytes(data)
        small, full = (_in_own_process(file.name, *more) for more in ((), ("--full",)))
    counted = _counted(data)
    size = picture.width * picture.height
    return {
        "format": name,
        "file_bytes": len(data),
        "small": small,
        "full": full,
        "bytes_a_pixel": max(small["bytes"], full["bytes"]) / size,
        "counted_a_pixel": counted / size,
    }


def _counted(data: bytes) -> int:
    """Count the bytes that the file is taken to need: it is refused under a lower budget."""
    content_type = decoding.inspect(data, decoding.ImageLimits(_ANY, _ANY, _ANY)).content_type
    opened = decoding._DECODERS[content_type](io.BytesIO(data))
    return decoding_bytes(content_type, opened)


def _in_own_process(path: str, *more: str) -> dict[str, Any]:
    command = [sys.executable, "-m", "bench.speed.decoding", "--one", path, *more]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    result: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return result


def _print_table(rows: list[dict[str, Any]]) -> None:
    names = ("format", "bytes in", "MB small", "s small", "MB full", "s full", "bytes a pixel", "counted")
    table = Table(*names, title=machine(), title_justify="left")
    for row in rows:
        small, full = row["small"], row["full"]
        table.add_row(
            row["format"],
            f"{row['file_bytes']:,}",
            f"{small['bytes'] / 1e6:.0f}",
            f"{small['seconds']:.2f}",
            f"{full['bytes'] / 1e6:.0f}",
            f"{full['seconds']:.2f}",
            f"{row['bytes_a_pixel']:.1f}",
            f"{row['counted_a_pixel']:.0f}",
        )
    Console(width=120).print(table)


if __name__ == "__main__":
    main()
