"""Upscaler of 4x that an npm package ships: `python -m deployments.weights.upscaler` writes it into the models folder.

It is no part of `make setup`: the archive, which holds networks of other scales too, has 110 MB.
"""

from __future__ import annotations

import argparse
import json
import shutil
import sys
import tempfile
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from configs.settings import Settings
from deployments.errors import WeightsMissing
from deployments.weights.conversion.layers_model import read_model, read_package
from deployments.weights.fetching import fetch
from deployments.weights.packages import Package

PACKAGE = Package(
    name="@upscalerjs/esrgan-thick",
    version="1.0.0",
    archive_sha256="3d38971084d8281bf68da443085c7eb65355fb28aa81b33b54f950cca6328a15",
    archive_mb=111,
    licence="MIT",
    files=(),
    registry="npm",
)
"""Trained on DIV2K, as its package says."""
FILE = "UpscalerJS ESRGAN thick 4x.safetensors"
_FOLDER = "package/models/x4"
_SCALE = 4
_SHUFFLED = "PreShuffle"
"""The layer whose channels become pixels."""


def convert(model: bytes, weights: bytes) -> bytes:
    """Convert the network to the safetensors file that the diffusion engine reads.

    Raises `ValueError` when it is another one.
    """
    _, tensors = read_model(model, weights)
    if f"{_SHUFFLED}/kernel" not in tensors:
        raise ValueError(f"the network has no layer {_SHUFFLED}")
    ours = {}
    for name, values in tensors.items():
        layer, _, kind = name.rpartition("/")
        if kind not in ("kernel", "bias"):
            raise ValueError(f"{name} is of no convolution")
        turned = values.transpose(3, 2, 0, 1) if kind == "kernel" else values
        if layer == _SHUFFLED:  # TensorFlow has a pixel's place before its colour
            turned = turned.reshape(_SCALE**2, -1, *turned.shape[1:]).swapaxes(0, 1).reshape(turned.shape)
        ours[f"{layer}.{'weight' if kind == 'kernel' else 'bias'}"] = turned
    return to_safetensors(ours)


def to_safetensors(tensors: dict[str, NDArray[np.float32]]) -> bytes:
    """Write a safetensors file; the library comes with the extra `diffusion` only."""
    header: dict[str, object] = {"__metadata__": {"format": "pt"}}
    parts, at = [], 0
    for name, values in tensors.items():
        part = np.ascontiguousarray(values, "<f4").tobytes()
        header[name] = {"dtype": "F32", "shape": list(values.shape), "data_offsets": [at, at + len(part)]}
        parts.append(part)
        at += len(part)
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    return len(text).to_bytes(8, "little") + text + b"".join(parts)


def install(folder: Path) -> Path:
    """Fetch the package and write the upscaler into `folder`, unless it is there. Raises `WeightsMissing`."""
    target = folder / FILE
    if target.is_file():
        return target
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as downloads:
        archive = fetch(PACKAGE, Path(downloads))
        partial = target.with_name(f".{FILE}.partial")
        partial.write_bytes(convert(*read_package(archive, _FOLDER)))
        partial.replace(target)
        shutil.rmtree(archive.parent)
    return target


def main(arguments: list[str] | None = None) -> int:
    """Run the command line; -> its exit status."""
    parser = argparse.ArgumentParser(prog="python -m deployments.weights.upscaler", description=__doc__)
    parser.add_argument("--dir", type=Path, help="default: upscalers/ of the models folder")
    options = parser.parse_args(arguments)
    settings = Settings()
    models = settings.diffusion.models_dir or settings.weights_dir / "diffusion"
    folder: Path = options.dir or models / "upscalers"
    sys.stdout.write(f"{PACKAGE.name} {PACKAGE.version} ({PACKAGE.archive_mb} MB, {PACKAGE.terms})\n")
    try:
        written = install(folder)
    except WeightsMissing as failure:
        sys.stderr.write(f"{failure.message}\n")
        return 1
    sys.stdout.write(f"{written} ({written.stat().st_size / 1e6:.1f} MB)\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
