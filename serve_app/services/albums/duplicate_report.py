"""Groups of duplicates and the image to keep of each, from links between contents. Pure."""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence, Set
from dataclasses import dataclass

from deployments.algorithms.duplicates.groups import DuplicateLink, ImageGroup, Member, choose_keeper, group_duplicates
from deployments.algorithms.duplicates.richness import Richness
from deployments.contracts.albums import DuplicateLevel
from serve_app.services.albums.items import Item
from serve_app.services.albums.results import DuplicateGroup, DuplicateMember, DuplicatesResult, Failed

_RANK: dict[DuplicateLevel, int] = {"exact": 0, "copy": 1, "similar": 2}


ContentPair = tuple[str, str]
"""SHA-256 of two file contents, equal ones too."""
Choice = tuple[str, str]
"""Key of an item, and why it is chosen."""
Pair = tuple[int, int]
"""Indices of two contents in a list, the smaller one first."""


def pairs_between_groups(copies: Set[Pair]) -> set[Pair]:
    """Pair the centre of each group with every member of another that a copy links it to."""
    keys = {place: f"{place:09d}" for pair in copies for place in pair}
    groups = group_duplicates(
        list(keys.values()), [DuplicateLink(keys[a], keys[b], "copy", 1.0) for a, b in sorted(copies)]
    )
    members = {int(group.centre): [int(member) for member in group.members] for group in groups}
    centre_of = {member: centre for centre, group in members.items() for member in group}
    wanted = set()
    for a, b in copies:
        one, other = centre_of.get(a, a), centre_of.get(b, b)
        if one != other:
            wanted |= {(one, member) for member in members.get(other, [other])}
            wanted |= {(other, member) for member in members.get(one, [one])}
    return {(min(pair), max(pair)) for pair in wanted if pair[0] != pair[1]}


def exact_links(digests: Mapping[str, str]) -> list[DuplicateLink]:
    """Link contents that show the same. `digests`: content -> hash of what it shows."""
    first: dict[str, str] = {}
    return [
        DuplicateLink(first[digest], sha, "exact", 1.0)
        for sha, digest in sorted(digests.items())
        if first.setdefault(digest, sha) != sha
    ]


def group_items(
    items: Sequence[Item],
    links: Sequence[DuplicateLink],
    level: DuplicateLevel,
    richness: Mapping[str, Richness] | None = None,
    apart: Iterable[ContentPair] = (),
) -> list[ImageGroup]:
    """Group references. `links` are between content hashes, of which `richness` says what they show; references to one
    content are exact duplicates.

    `apart`: contents that are no duplicates of one another, whatever the links say; of a content with itself, its
    references are none."""
    keys: dict[str, list[str]] = defaultdict(list)
    for item in sorted(items, key=lambda item: (item.sha256, item.ref)):
        keys[item.sha256].append(key_of(item))
    first = {sha: of[0] for sha, of in keys.items()}
    # By content, never by references, of which a file may have thousands.
    pairs = [(a, b) for a, b in apart if a in first and b in first]
    alone = {a for a, b in pairs if a == b}
    equal = [of for sha, of in keys.items() if sha not in alone]
    edges = [DuplicateLink(first[link.left], first[link.right], link.level, link.score) for link in links]
    shown = {key_of(item): richness[item.sha256] for item in items if item.sha256 in richness} if richness else None
    strangers = [(first[a], first[b]) for a, b in pairs if a != b]
    return group_duplicates([key_of(item) for item in items], edges, level, shown, strangers, equal)


def group_id(shas: Iterable[str]) -> str:
    """Name a group by the contents of its members, so that it is the same group whenever and wherever it is found."""
    return f"dup_{hashlib.sha256(' '.join(sorted(shas)).encode()).hexdigest()[:32]}"


def duplicates_result(
    items: Sequence[Item],
    groups: Sequence[ImageGroup],
    links: Sequence[DuplicateLink],
    content_pixels: Mapping[str, int],
    failed: list[Failed],
    richness: Mapping[str, Richness] | None = None,
    quality: Mapping[str, float] | None = None,
    best_shots: Mapping[str, Choice] | None = None,
) -> DuplicatesResult:
    """Choose the image to keep of each group, with details.

    `content_pixels`: content -> pixels inside its flat border, where it has one. `richness`: content -> what it shows.
    `quality`: content -> score of its quality assessment; contents without one count as flawless. `best_shots`: centre
    of a group that is a burst -> key of its best shot, and why.
    """
    by_key = {key_of(item): item for item in items}
    levels = _Levels(links)
    facts = _Facts(content_pixels, richness or {}, quality or {})
    neighbours = _neighbours(links)
    without = _without_overlay(links)
    duplicates: dict[str, list[str]] = {}
    detailed: list[DuplicateGroup] = []
    for number, group in enumerate(groups, 1):
        name = f"duplicate_group_{number}"
        members = [by_key[key] for key in group.members]
        contents = {item.sha256 for item in members}
        agreement = _agreement(contents, neighbours)
        shot = (best_shots or {}).get(group.centre)
        keep, reason = shot or choose_keeper(
            [
                facts.member(item, agreement[item.sha256], not without[item.sha256].isdisjoint(contents))
                for item in members
            ]
        )
        kept = by_key[keep]
        refs = sorted(item.ref for item in members)
        duplicates[name] = refs
        compared = [
            DuplicateMember(
                image=item.ref,
                score=round(_score(group, keep, key_of(item), level), 4),
                level=level,
            )
            for item in sorted(members, key=lambda item: item.ref)
            for level in [levels.between(kept.sha256, item.sha256, group.level)]
        ]
        detailed.append(
            DuplicateGroup(
                group=name,
                id=group_id(item.sha256 for item in members),
                level=group.level,
                burst=shot is not None,
                keep=kept.ref,
                keep_reason=reason,
                members=compared,
            )
        )
    return DuplicatesResult(duplicates=duplicates, failed=failed, groups=detailed)


def key_of(item: Item) -> str:
    """Name an item so that equal albums have equal names in equal order."""
    return f"{item.sha256} {item.ref}"


@dataclass(frozen=True, slots=True)
class _Facts:
    """Facts about contents that decide which image to keep."""

    content_pixels: Mapping[str, int]
    richness: Mapping[str, Richness]
    quality: Mapping[str, float]

    def member(self, item: Item, agreement: float, has_overlay: bool) -> Member:
        shown = self.richness.get(item.sha256) or Richness()
        content_pixels = self.content_pixels.get(item.sha256)
        return Member(
            key_of(item),
            item.width,
            item.height,
            item.bytes,
            item.content_type,
            has_border=content_pixels is not None,
            content_pixels=content_pixels,
            has_overlay=has_overlay,
            agreement=agreement,
            frames=shown.frames,
            has_alpha=shown.has_alpha,
            bits=shown.bits,
            quality=self.quality.get(item.sha256, 1.0),
        )


def _neighbours(links: Sequence[DuplicateLink]) -> dict[str, dict[str, float]]:
    neighbours: dict[str, dict[str, float]] = defaultdict(dict)
    for link in links:
        neighbours[link.left][link.right] = neighbours[link.right][link.left] = link.score
    return neighbours


def _without_overlay(links: Sequence[DuplicateLink]) -> dict[str, set[str]]:
    """Find of each content that bears an overlay the copies that lack it."""
    without: dict[str, set[str]] = defaultdict(set)
    for link in links:
        if link.overlay is not None:
            without[link.overlay].add(link.right if link.overlay == link.left else link.left)
    return without


def _agreement(group: Set[str], neighbours: Mapping[str, Mapping[str, float]]) -> dict[str, float]:
    """Mean score of each content's links to others of the group; 1 for one that has none."""
    agreement = {}
    for sha in group:
        scores = sorted(score for other, score in neighbours.get(sha, {}).items() if other in group)
        agreement[sha] = sum(scores) / len(scores) if scores else 1.0
    return agreement


def _score(group: ImageGroup, keep: str, key: str, level: DuplicateLevel) -> float:
    """Score of a member against the kept one: both are linked to the centre, so the weaker of their links counts."""
    return 1.0 if level == "exact" else min(group.scores.get(keep, 1.0), group.scores.get(key, 1.0))


class _Levels:
    """Levels at which contents are linked. Contents that show the same have the same levels."""

    def __init__(self, links: Sequence[DuplicateLink]) -> None:
        self._twin: dict[str, str] = {}
        for link in links:
            if link.level == "exact":
                self._twin[self._class(link.left)] = self._class(link.right)
        self._level: dict[frozenset[str], DuplicateLevel] = {
            frozenset((self._class(link.left), self._class(link.right))): link.level
            for link in sorted(links, key=lambda link: -_RANK[link.level])
        }

    def between(self, kept: str, member: str, group: DuplicateLevel) -> DuplicateLevel:
        """Level between two contents of a group: that of the group where they are linked through a third one only, or
        more loosely."""
        a, b = self._class(kept), self._class(member)
        if a == b:
            return "exact"
        return min(self._level.get(frozenset((a, b)), group), group, key=_RANK.__getitem__)

    def _class(self, sha: str) -> str:
        while sha in self._twin and self._twin[sha] != sha:
            sha = self._twin[sha]
        return sha
