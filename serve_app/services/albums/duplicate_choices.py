"""What is to become of groups of duplicates, and what it would amount to. Pure."""

from __future__ import annotations

import hashlib
import itertools
import json
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from deployments.contracts.albums import DuplicateLevel
from deployments.errors import Conflict
from serve_app.services.albums.results import DuplicateGroupEntry, DuplicatePlan, DuplicatesResolved
from serve_app.store.repositories.corrections import NewCorrection, Place


@dataclass(frozen=True, slots=True)
class Choice:
    """What is to become of the members of a group: ids of images."""

    group: DuplicateGroupEntry
    keep: Sequence[str]
    trash: Sequence[str]

    @property
    def bytes(self) -> int:
        """Bytes of the files that go."""
        gone = frozenset(self.trash)
        return sum(one.bytes or 0 for one in self.group.members if one.id in gone)


class Taken:
    """What kept images took over, by image."""

    def __init__(
        self,
        tags: Sequence[Sequence[str]],
        items: Sequence[tuple[str, int]],
        times: Sequence[Sequence[str]],
    ) -> None:
        self._all: dict[str, dict[str, list[Any]]] = defaultdict(lambda: defaultdict(list))
        for image, tag in tags:
            self._all[image]["tags"].append([image, tag])
        for image, item in items:
            self._all[image]["items"].append(item)
        for image, time in times:
            self._all[image]["times"].append([image, time])

    def of(self, kept: Sequence[str]) -> dict[str, list[Any]]:
        return {
            name: [entry for image in kept for entry in self._all[image][name]] for name in ("tags", "items", "times")
        }


def suggested(groups: Sequence[DuplicateGroupEntry], only: DuplicateLevel | None = None) -> list[Choice]:
    """Choose as the search suggests for all groups that are open. `only`: of this level."""
    choices = []
    for group in groups:
        if group.status != "open" or only not in (None, group.level):
            continue
        keep = list(dict.fromkeys(one.id for one in group.members if one.image == group.keep and one.id))
        kept = frozenset(keep)
        choices.append(Choice(group, keep, [one.id for one in group.members if one.id and one.id not in kept]))
    return [choice for choice in choices if choice.keep and choice.trash]


def plan_of(choices: Sequence[Choice]) -> DuplicatePlan:
    named = sorted([choice.group.id, *choice.keep, "", *sorted(choice.trash)] for choice in choices)
    return DuplicatePlan(
        groups=len(choices),
        images=sum(len(choice.trash) for choice in choices),
        bytes=sum(choice.bytes for choice in choices),
        plan=hashlib.sha256(json.dumps(named).encode()).hexdigest()[:32],
    )


def check_plan(wanted: str | None, now: str) -> None:
    if wanted not in (None, now):
        raise Conflict("The groups have changed since the dry run: look at what would be done now.")


def done_before(done: Sequence[tuple[str, dict[str, Any]]]) -> DuplicatesResolved:
    return DuplicatesResolved(
        groups=len(done),
        images=sum(len(value["trashed"]) for _, value in done),
        bytes=sum(value["bytes"] for _, value in done),
        plan=done[0][1]["plan"],
        correction_id=done[0][0],
    )


def pairs_of(choices: Sequence[Choice]) -> tuple[list[str], list[str]]:
    """Every kept image with every one that goes of its group."""
    pairs = [(kept, gone) for one in choices for kept, gone in itertools.product(one.keep, one.trash)]
    return [kept for kept, _ in pairs], [gone for _, gone in pairs]


def strangers(shas: Sequence[str]) -> list[NewCorrection]:
    """Say of each two contents that they are no duplicates."""
    pairs = dict.fromkeys(itertools.combinations(sorted(shas), 2))
    return [NewCorrection("not_duplicate", Place(a), Place(b)) for a, b in pairs]
