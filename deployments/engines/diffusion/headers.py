"""Headers of model files: names and shapes of the tensors, without reading one. The content decides, not the ending."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from deployments.engines.diffusion import pickles
from deployments.engines.diffusion.families import (
    UNKNOWN,
    FileKind,
    identify,
    identify_controlnet,
    identify_unet,
)
from deployments.errors import NotSupported, WeightsMissing

_LENGTH_BYTES = 8
_LARGEST_HEADER = 100_000_000
"""Bytes of a safetensors header; the format's own limit."""
_HASHED_PIECE = 2**20
_METADATA, _METADATA_BYTES = b'{"__metadata__":', 2**17
"""Beginning of headers with texts, and bytes in which most texts end."""


@dataclass(frozen=True, slots=True)
class Header:
    """Shapes by tensor name, and the free-form texts of the file."""

    shapes: Mapping[str, tuple[int, ...]]
    metadata: Mapping[str, str]


def read_header(path: Path) -> Header:
    """Read the header of a model file.

    Raises `NotSupported` for one that would run code or has another format, `WeightsMissing` for one that is cut short.
    """
    try:
        if pickles.is_pickle(path):
            return Header(pickles.read_shapes(path), {})
        return _read_safetensors(path)
    except OSError as error:
        raise WeightsMissing(f"The file '{path.name}' cannot be read.", extra={"model": path.name}) from error


def load_tensors(path: Path) -> dict[str, Any]:
    """Load all tensors of a file on the CPU; raises as `read_header` does, and for a tensor with a side of 0 beside
    others: it takes no bytes, and networks that are built by its other sides take any number."""
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    read_header(path)
    try:
        tensors = pickles.load_tensors(path) if pickles.is_pickle(path) else dict(load_file(str(path)))
    except (OSError, ValueError, KeyError, RuntimeError, SafetensorError) as error:  # more than a header tells
        if type(error).__name__ == "OutOfMemoryError":
            raise
        raise WeightsMissing(
            f"The file '{path.name}' is damaged, or was replaced while it was read.", extra={"model": path.name}
        ) from error
    for name, tensor in tensors.items():
        if 0 in tensor.shape and tensor.ndim > 1:
            raise WeightsMissing(
                f"The file '{path.name}' is damaged: its tensor '{name[:80]}' is empty.", extra={"model": path.name}
            )
    return tensors


def read_metadata(path: Path) -> dict[str, str]:
    """Read the free-form texts of a safetensors file; none for other files and damaged ones."""
    try:
        with path.open("rb") as stream:
            first = stream.read(_LENGTH_BYTES + _METADATA_BYTES)[_LENGTH_BYTES:]
        if first.startswith(_METADATA):  # where safetensors writes it: most headers need not be read
            try:
                texts, _ = json.JSONDecoder().raw_decode(first[len(_METADATA) :].decode(errors="ignore").lstrip())
                return _texts({"__metadata__": texts})
            except (ValueError, RecursionError):
                pass  # longer than what was read
        header, _, _ = _header(path)
    except (OSError, ValueError):
        return {}
    return _texts(header)


def identify_model(path: Path) -> FileKind:
    """Identify a file, or a folder as diffusers saves it. Raises as `read_header` does."""
    if path.is_dir():
        for name, identify_config in (("unet/config.json", identify_unet), ("config.json", identify_controlnet)):
            try:
                config = json.loads((path / name).read_text())
            except (OSError, ValueError, RecursionError):
                continue
            if not isinstance(config, dict):
                return UNKNOWN
            if "Autoencoder" in str(config.get("_class_name", "")):
                return FileKind("vae", "")
            return identify_config(config)
        return UNKNOWN
    header = read_header(path)
    return identify(header.shapes, header.metadata)


def addnet_hash(path: Path) -> str:
    """Compute the hash by which the original names LoRAs: SHA-256 of the tensors without the header. "" for others."""
    try:
        _, start, _ = _header(path)
    except (OSError, ValueError):
        return ""
    digest = hashlib.sha256()
    with path.open("rb") as stream:
        stream.seek(start)
        while piece := stream.read(_HASHED_PIECE):
            digest.update(piece)
    return digest.hexdigest()


def _header(path: Path) -> tuple[dict[str, Any], int, int]:
    """Read the JSON of a safetensors header. -> header, offset of the tensors, size of the file; raises `ValueError`"""
    size = path.stat().st_size
    with path.open("rb") as stream:
        length = int.from_bytes(stream.read(_LENGTH_BYTES), "little")
        if not 0 < length <= min(size - _LENGTH_BYTES, _LARGEST_HEADER):
            raise ValueError("no header")
        try:
            header = json.loads(stream.read(length))
        except RecursionError as error:
            raise ValueError("no header") from error
    if not isinstance(header, dict):
        raise ValueError("no header")
    return header, _LENGTH_BYTES + length, size


def _read_safetensors(path: Path) -> Header:
    try:
        header, start, size = _header(path)
        tensors = {name: entry for name, entry in header.items() if name != "__metadata__"}
        shapes = {name: tuple(int(side) for side in entry["shape"]) for name, entry in tensors.items()}
        ends = [int(entry["data_offsets"][1]) for entry in tensors.values()]
    except (ValueError, KeyError, TypeError, IndexError, OverflowError) as error:
        with path.open("rb") as stream:
            if stream.read(4) == b"GGUF":
                raise NotSupported(
                    f"The file '{path.name}' is in the format GGUF, which is not read here.", extra={"model": path.name}
                ) from error
        raise WeightsMissing(
            f"The file '{path.name}' is cut short, still being written, or no model.", extra={"model": path.name}
        ) from error
    if (missing := start + max(ends, default=0) - size) > 0:
        raise WeightsMissing(
            f"The file '{path.name}' is cut short or still being written: {missing} bytes are missing.",
            extra={"model": path.name},
        )
    return Header(shapes, _texts(header))


def _texts(header: Mapping[str, Any]) -> dict[str, str]:
    found = header.get("__metadata__", {})
    if not isinstance(found, dict):
        return {}
    return {key: value for key, value in found.items() if isinstance(key, str) and isinstance(value, str)}
