"""Picture files on this machine: which there are, in which batches they are sent, and what came of each."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from darkroom_client.models import Rejected, Upload, Uploads

SUFFIXES = frozenset(".jpg .jpeg .jpe .png .webp .gif .bmp .tif .tiff .heic .heif .avif".split())
_BATCH_FILES = 16
_BATCH_BYTES = 64 * 2**20


@dataclass(frozen=True, slots=True)
class Progress:
    """How far an upload, or the reading of an album, is."""

    stage: str
    """`uploading`, `reading`, or the kind of a job: `tags`, `duplicates`, `people`."""
    done: float
    total: float


@dataclass(slots=True)
class Uploaded:
    """What became of the files of an upload."""

    images: dict[Path, Upload] = field(default_factory=dict)
    rejected: dict[Path, Rejected] = field(default_factory=dict)


def pictures_in(folder: Path) -> list[Path]:
    """List the image files below a folder, by suffix, in order of their paths."""
    return sorted(path for path in folder.rglob("*") if path.is_file() and path.suffix.lower() in SUFFIXES)


def is_reference(picture: str | Path) -> bool:
    """Whether this is a URL or the id of an image, not a file."""
    return isinstance(picture, str) and ("://" in picture or picture.startswith("img_"))


def key_of(url: str) -> str:
    """Last part of the URL of a stored file."""
    return url.partition("?")[0].rpartition("/")[2]


def id_of(url: str) -> str | None:
    """Id of the stored image that a URL is of; None: it is no URL of a stored image."""
    key = key_of(url)
    return key.partition(".")[0] if key.startswith("img_") else None


def read_file(path: Path) -> tuple[str, bytes]:
    """Read a file to be sent. -> its name, as text that can be sent: Linux allows names that are none; its bytes."""
    return os.fsencode(path.name).decode(errors="replace"), path.read_bytes()


def read_files(paths: Sequence[Path]) -> list[tuple[str, bytes]]:
    """Read the files of a batch."""
    return [read_file(path) for path in paths]


def batches(paths: Iterable[Path]) -> Iterator[list[Path]]:
    """Divide files into batches that any server takes at once."""
    batch: list[Path] = []
    size = 0
    for path in paths:
        if batch and (len(batch) >= _BATCH_FILES or size + path.stat().st_size > _BATCH_BYTES):
            yield batch
            batch, size = [], 0
        batch.append(path)
        size += path.stat().st_size
    if batch:
        yield batch


def matched(paths: Sequence[Path], files: Sequence[tuple[str, bytes]], answer: Uploads) -> Uploaded:
    """Say which file each image and each refusal of an answer is of.

    Both lists are in the order of the files. Files of one content are taken or refused together.
    """
    sent = {image.sha256 for image in answer.images}
    taken: dict[bool, list[Path]] = {True: [], False: []}
    for path, (_, data) in zip(paths, files, strict=True):
        taken[hashlib.sha256(data).hexdigest() in sent].append(path)
    images = dict(zip(taken[True], answer.images, strict=True))
    return Uploaded(images, dict(zip(taken[False], answer.rejected, strict=True)))
