"""A journal of uploads, so that one that was interrupted goes on where it ended and sends no byte twice."""

from __future__ import annotations

import hashlib
import json
import os
from collections import defaultdict
from collections.abc import Collection, Mapping
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

from darkroom_client import Darkroom
from darkroom_client.errors import NotFound
from darkroom_client.models import Upload

_FOLDER = Path("darkroom") / "uploads"
_LOOKUPS_AT_ONCE = 8
_EQUAL_FILES = 500
"""Images of one content that are looked up; of more equal files the others are sent."""


def _folder() -> Path:
    """Folder of journals, in the user's folder of state."""
    return Path(os.environ.get("XDG_STATE_HOME") or "~/.local/state").expanduser() / _FOLDER


class Stored(NamedTuple):
    """An image that the server has."""

    id: str
    url: str


class UploadJournal:
    """The images that became of the files of a folder on one server.

    A line of JSON for each file, appended after each batch. A file whose size or time of change differs is another one.
    """

    def __init__(self, server: str, folder: Path) -> None:
        self._root = folder.resolve()
        self._folder = folder.absolute()
        name = hashlib.sha256(f"{server}\n{self._root}".encode(errors="surrogateescape")).hexdigest()[:32]
        self._path = _folder() / f"{name}.jsonl"
        self._stamps: dict[Path, list[int] | None] = {}

    def known(self, client: Darkroom, files: list[Path]) -> dict[Path, str]:
        """Find the files that the server has already. -> URL by file

        What the files are now is what `add` notes of them: one that is changed while it is sent is another one.
        """
        noted = self._read()
        self._stamps = {file: _stamp(file) for file in files}
        found: dict[Path, str] = {}
        for file, stamp in self._stamps.items():
            entry = noted.get(self._name(file))
            if entry and stamp and entry["stamp"] == stamp and _exists(client, entry["id"]):
                found[file] = entry["url"]
        return found

    def add(self, images: Mapping[Path, Upload | Stored]) -> None:
        """Note the images of files. A journal that cannot be written is done without: the upload itself went well."""
        stamps = {file: self._stamps[file] if file in self._stamps else _stamp(file) for file in images}
        lines = [
            json.dumps({"file": self._name(file), "stamp": stamps[file], "id": image.id, "url": image.url}) + "\n"
            for file, image in images.items()
            if stamps[file]
        ]
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            with self._path.open("a", encoding="utf-8", errors="surrogateescape") as journal:
                journal.writelines(lines)
        except OSError:
            return

    def _read(self) -> dict[str, dict[str, Any]]:
        try:
            lines = self._path.read_text(encoding="utf-8", errors="surrogateescape").splitlines()
        except OSError:
            return {}
        noted: dict[str, dict[str, Any]] = {}
        for line in lines:
            try:
                entry = json.loads(line)
                noted[entry["file"]] = entry
            except (ValueError, KeyError, TypeError):  # a line that a killed process began
                continue
        return noted

    def _name(self, file: Path) -> str:
        return str(file.absolute().relative_to(self._folder))


def find_stored(client: Darkroom, files: list[Path], but: Collection[str] = ()) -> dict[Path, Stored]:
    """Find the files whose bytes the server has, by their SHA-256: those that an answer was lost of, or that came from
    another machine.

    An image stands for one file only, for equal files are as many images of an album. `but`: URLs of images that stand
    for others already.
    """
    equal: dict[str, list[Path]] = defaultdict(list)
    with ThreadPoolExecutor(_LOOKUPS_AT_ONCE) as threads:
        for file, digest in zip(files, threads.map(_digest, files), strict=True):
            equal[digest].append(file)
        known = list(threads.map(partial(_find, client), equal))
    taken = set(but)
    found: dict[Path, Stored] = {}
    for same, images in zip(equal.values(), known, strict=True):
        found |= dict(zip(same, (image for image in images if image.url not in taken), strict=False))
    return found


def _digest(file: Path) -> str:
    with file.open("rb") as opened:
        return hashlib.file_digest(opened, "sha256").hexdigest()


def _find(client: Darkroom, sha256: str) -> list[Stored]:
    found = client.list_images(sha256=sha256, fields="id,url", limit=_EQUAL_FILES).items
    return [Stored(image.id, image.url) for image in found if image.id and image.url]


def _stamp(file: Path) -> list[int] | None:
    """Size in bytes and time of change in nanoseconds; None: it is gone, or cannot be looked at."""
    try:
        told = file.stat()
    except OSError:
        return None
    return [told.st_size, told.st_mtime_ns]


def _exists(client: Darkroom, image_id: str) -> bool:
    try:
        return client.get_image(image_id).trashed_at is None
    except NotFound:
        return False
