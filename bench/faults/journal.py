"""Journal of a client: every answer that it got, and what the server acknowledged, one JSON line each."""

from __future__ import annotations

import itertools
import json
import threading
import time
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TypeAlias


@dataclass(frozen=True)
class Answer:
    """One HTTP answer, or none (`broken`, `silent`)."""

    at: float
    """Seconds of the machine's monotonic clock, the same in all its processes."""
    user: int
    step: str
    status: str
    seconds: float
    says_when: bool
    """Whether it said when to ask again, which an honest client then does."""


@dataclass(frozen=True)
class Call:
    """A call that ended well: what was waited for it in all, its repetitions included."""

    at: float
    user: int
    step: str
    seconds: float


@dataclass(frozen=True)
class Picture:
    """An upload that was answered 201."""

    user: int
    number: int
    url: str


@dataclass(frozen=True)
class AlbumPost:
    """Pictures posted to an album; `job` is None where the post was not acknowledged."""

    user: int
    album: str
    numbers: list[int]
    job: str | None


@dataclass(frozen=True)
class Edit:
    """A style or an avatar that was answered 202."""

    user: int
    kind: str
    number: int
    job: str


@dataclass(frozen=True)
class Deletion:
    """A deletion that was asked for."""

    user: int
    album: str
    acknowledged: bool


@dataclass(frozen=True)
class Wrong:
    """An answer that was not what had been stored."""

    user: int
    what: str


Entry: TypeAlias = Answer | Call | Picture | AlbumPost | Edit | Deletion | Wrong
_KINDS: dict[str, type[Entry]] = {
    kind.__name__: kind for kind in (Answer, Call, Picture, AlbumPost, Edit, Deletion, Wrong)
}


class Journal:
    """A journal in a file, written line by line from several threads until its block ends."""

    def __init__(self, path: Path) -> None:
        self._file = path.open("w")
        self._lock = threading.Lock()

    def __enter__(self) -> Journal:
        return self

    def __exit__(self, *_error: object) -> None:
        self._file.close()

    def add(self, entry: Entry) -> None:
        with self._lock:
            self._file.write(json.dumps({"entry": type(entry).__name__, **asdict(entry)}) + "\n")
            self._file.flush()


def read(path: Path) -> list[Entry]:
    """Read a journal whose writer has ended."""
    entries: list[Entry] = []
    for line in path.read_text().splitlines():
        fields = json.loads(line)
        entries.append(_KINDS[fields.pop("entry")](**fields))
    return entries


def longest_stall_s(entries: Iterable[Entry]) -> float:
    """Longest time in seconds in which no call of any user ended well."""
    times = sorted(entry.at for entry in entries if isinstance(entry, Call))
    return max((later - earlier for earlier, later in itertools.pairwise(times)), default=0.0)


def now() -> float:
    return time.monotonic()
