"""The review of duplicates in the terminal: one group after the other is resolved, dismissed or left for later."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from darkroom_client import Darkroom
from darkroom_client.cli.names import Names
from darkroom_client.cli.options import err
from darkroom_client.errors import Conflict, InvalidRequest, NotFound
from darkroom_client.models import DuplicateDecision, DuplicateGroupEntry, DuplicateMemberEntry

_KEYS = "Enter keeps the suggested one, numbers keep these; d: no duplicates, s: later, u: undo the last, q: quit"
_MEGABYTE = 1_000_000


@dataclass(slots=True)
class Tally:
    """What a review has decided."""

    decisions: list[DuplicateDecision] = field(default_factory=list)

    def __str__(self) -> str:
        resolved = sum(one.status == "resolved" for one in self.decisions)
        trashed = sum(len(one.trashed) for one in self.decisions)
        freed = sum(one.bytes for one in self.decisions) / _MEGABYTE
        told = f"{resolved} resolved, {len(self.decisions) - resolved} dismissed"
        return f"{told}; {trashed} pictures in the trash ({freed:.1f} MB when it is emptied)"


class Review:
    """A review of the open groups of an album."""

    def __init__(self, client: Darkroom, album: str, level: str) -> None:
        self._client = client
        self._album = album
        self._level = level
        self._names = Names(client)
        self._console: Console = err()
        self._done = Tally()

    def run(self) -> None:
        """Ask about each group until all are decided, or the answer is to quit. What was decided is told at the end,
        whatever ends it."""
        try:
            for number, group in enumerate(self._groups(), 1):
                self._show(number, group)
                if not self._decide(group):
                    break
        except (EOFError, typer.Abort):  # the end of what is typed is the end of the review
            self._console.print()
        finally:
            self._console.print(str(self._done), highlight=False, markup=False)

    def _groups(self) -> Iterator[DuplicateGroupEntry]:
        query = {"level": self._level, "status": "open", "limit": 50}
        yield from self._client.every(self._client.list_album_duplicates, self._album, **query)

    def _show(self, number: int, group: DuplicateGroupEntry) -> None:
        what = "a burst" if group.burst else group.level
        table = Table(title=f"Group {number}: {what}, {group.keep_reason}", title_justify="left")
        for column in ("", "file", "pixels", "MB", "format", "quality", "taken"):
            table.add_column(column)
        for place, member in enumerate(group.members, 1):
            mark = f"{place} *" if member.image == group.keep else str(place)
            table.add_row(mark, escape(self._names[member.image]), *_facts(member))
        self._console.print(table)
        self._console.print(_KEYS, style="dim", highlight=False, markup=False)

    def _decide(self, group: DuplicateGroupEntry) -> bool:
        """Ask until the group is decided. -> whether to go on"""
        while True:
            answer = typer.prompt("keep", default="*", show_default=False, err=True).strip().lower()
            if answer == "q":
                return False
            if answer == "s":
                return True
            if answer == "u":
                self._undo()
                continue
            kept = _numbers(answer, group)
            if answer != "d" and kept is None:
                self._console.print(f"'{answer}' is none of these.", highlight=False, markup=False)
                continue
            self._carry_out(group, kept)
            return True

    def _carry_out(self, group: DuplicateGroupEntry, kept: set[int] | None) -> None:
        """Keep members by their places; None, or all of them: they are no duplicates."""
        ids = [str(member.id) for member in group.members]
        try:
            if kept is None or len(kept) == len(ids):
                made = self._client.dismiss_duplicates(self._album, str(group.id))
            else:
                keep = [one for place, one in enumerate(ids, 1) if place in kept]
                trash = [one for place, one in enumerate(ids, 1) if place not in kept]
                made = self._client.resolve_duplicates(self._album, str(group.id), keep, trash)
        except (Conflict, InvalidRequest) as error:
            self._console.print(f"Left as it is: {error}", highlight=False, markup=False)
            return
        self._done.decisions.append(made)

    def _undo(self) -> None:
        if not self._done.decisions:
            self._console.print("There is nothing to undo.")
            return
        try:
            self._client.undo_correction(self._done.decisions[-1].correction_id)
        except (Conflict, NotFound) as error:
            self._console.print(f"It stays: {error}", highlight=False, markup=False)
            return
        self._done.decisions.pop()
        self._console.print("Undone; the group comes again in the next review.")


def _facts(member: DuplicateMemberEntry) -> tuple[str, ...]:
    size = "" if member.bytes is None else f"{member.bytes / _MEGABYTE:.1f}"
    quality = "" if member.quality is None else f"{member.quality:.2f}"
    kind = (member.format or "").rpartition("/")[2]
    return f"{member.width} × {member.height}", size, kind, quality, escape(str(member.taken_at or ""))


def _numbers(answer: str, group: DuplicateGroupEntry) -> set[int] | None:
    """Read which members to keep, by their places from 1; None: the answer names none."""
    if answer == "*":
        return {place for place, member in enumerate(group.members, 1) if member.image == group.keep}
    words = answer.replace(",", " ").split()
    if not words or not all(word.isdecimal() and 1 <= int(word) <= len(group.members) for word in words):
        return None
    return {int(word) for word in words}
