"""Groups of duplicates as stars, and which member to keep.

In a star every member is linked to the centre itself. Linking A to B and B to C would put A and C into one group though
they may show nothing in common (two crops of opposite corners), so links are never chained. Levels contain one another:
whole `exact` groups move into `copy` groups, and whole `copy` groups into `similar` ones.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from deployments.contracts import DuplicateLevel

LEVELS: tuple[DuplicateLevel, ...] = ("exact", "copy", "similar")


@dataclass(frozen=True, slots=True)
class Edge:
    """Two pictures that are duplicates at a level."""

    left: str
    right: str
    level: DuplicateLevel
    score: float
    """0 to 1."""


@dataclass(frozen=True, slots=True)
class DuplicateGroup:
    centre: str
    """The member that all others are linked to, itself or through a picture of a stricter level."""
    members: tuple[str, ...]
    """Two or more, the centre among them, sorted."""
    level: DuplicateLevel
    """The loosest level that holds the group together."""
    scores: Mapping[str, float]
    """How each member but the centre is linked, 0 to 1."""


def group_duplicates(
    keys: Sequence[str], edges: Iterable[Edge], level: DuplicateLevel = "copy"
) -> list[DuplicateGroup]:
    """Disjoint groups at `level`, the largest first; the order of `keys` and `edges` does not matter.

    Keys are canonical (a content hash, say): where two choices are equally good, the smaller key wins. Raises
    `ValueError` for an edge whose key is not in `keys`.
    """
    groups = [_single(key) for key in sorted(set(keys))]
    known = {group.centre for group in groups}
    by_level: dict[DuplicateLevel, list[Edge]] = defaultdict(list)
    for edge in edges:
        if edge.left not in known or edge.right not in known:
            raise ValueError("an edge names an unknown picture")
        if edge.left != edge.right:
            by_level[edge.level].append(edge)
    for current in LEVELS[: LEVELS.index(level) + 1]:
        groups = _join_stars(groups, by_level[current], current)
    found = [group for group in groups if len(group.members) > 1]
    return sorted(found, key=lambda group: (-len(group.members), group.members))


def _single(key: str) -> DuplicateGroup:
    return DuplicateGroup(key, (key,), "exact", {})


def _join_stars(groups: list[DuplicateGroup], edges: list[Edge], level: DuplicateLevel) -> list[DuplicateGroup]:
    """Joins whole groups: the one with the most links becomes a centre and takes its free neighbours, and so on."""
    home = {member: index for index, group in enumerate(groups) for member in group.members}
    links: dict[int, dict[int, float]] = defaultdict(dict)
    for edge in edges:
        a, b = home[edge.left], home[edge.right]
        if a != b:
            score = max(edge.score, links[a].get(b, 0.0))
            links[a][b] = links[b][a] = score
    free = set(range(len(groups)))
    joined = []
    # Taking a star only lowers the counts of others, so a sorted queue with re-insertion would save nothing at the
    # sizes of albums; each round looks only at the groups that still have links.
    waiting = set(links)
    while waiting:
        centre = min(waiting, key=lambda g: _rank(g, links, free, groups))
        taken = {other: score for other, score in links[centre].items() if other in free}
        waiting.discard(centre)
        if not taken:
            continue
        joined.append(_star(groups, centre, taken, level))
        free -= {centre, *taken}
        waiting -= set(taken)
    return joined + [groups[index] for index in sorted(free)]


def _rank(
    index: int, links: Mapping[int, Mapping[int, float]], free: set[int], groups: list[DuplicateGroup]
) -> tuple[int, float, str]:
    """Smallest first: most pictures reached, then the strongest links, then the smallest key."""
    reached = {other: score for other, score in links[index].items() if other in free}
    pictures = sum(len(groups[other].members) for other in reached)
    # Rounded, because a sum of floats depends on its order.
    return -pictures, -round(sum(reached.values()), 6), groups[index].members[0]


def _star(
    groups: list[DuplicateGroup], centre: int, taken: Mapping[int, float], level: DuplicateLevel
) -> DuplicateGroup:
    scores = dict(groups[centre].scores)
    for other, score in taken.items():
        scores.update(dict.fromkeys(groups[other].members, score))
    members = tuple(sorted({*groups[centre].members, *scores}))
    return DuplicateGroup(groups[centre].centre, members, level, {key: scores[key] for key in sorted(scores)})


@dataclass(frozen=True, slots=True)
class Member:
    """What the choice of the picture to keep needs to know."""

    key: str
    width: int
    height: int
    """Of the upright original, in pixels."""
    bytes: int
    """Size of the original file."""
    content_type: str
    has_border: bool = False
    """A flat border was found around it (`flat_border.content_box`)."""
    content_pixels: int | None = None
    """Pixels of the picture inside its border; default: all."""


_AS_TAKEN = {"image/heic": 0, "image/heif": 0, "image/tiff": 1, "image/jpeg": 2, "image/avif": 3}
"""Formats that cameras write come first; others are mostly exports and screenshots."""
_CLEARLY = 1.05


def choose_keeper(members: Sequence[Member]) -> tuple[str, str]:
    """The key of the picture to keep and why, as a short phrase; the order of `members` does not matter.

    Pixels of the picture itself count first (a crop or a smaller copy has fewer, a border adds none), then a picture
    without a border, then the file that was compressed least, then the format that cameras write.
    """
    if not members:
        raise ValueError("no members to choose from")
    ordered = sorted(members, key=lambda member: member.key)
    most = max(_content_pixels(member) for member in ordered)
    left = [member for member in ordered if _content_pixels(member) * _CLEARLY >= most]
    if len(left) == 1:
        return left[0].key, "highest resolution"
    without_border = [member for member in left if not member.has_border]
    if without_border and len(without_border) < len(left):
        left = without_border
        if len(left) == 1:
            return left[0].key, "no border"
    best = max(_bytes_per_pixel(member) for member in left)
    least_compressed = [member for member in left if _bytes_per_pixel(member) * _CLEARLY >= best]
    return _by_format(least_compressed, "least compressed" if len(least_compressed) < len(left) else None)


def _by_format(members: list[Member], reason: str | None) -> tuple[str, str]:
    chosen = min(members, key=lambda m: (_AS_TAKEN.get(m.content_type, 9), -_content_pixels(m), -m.bytes, m.key))
    others = [_AS_TAKEN.get(member.content_type, 9) for member in members if member is not chosen]
    if reason is None and others and min(others) > _AS_TAKEN.get(chosen.content_type, 9):
        reason = "original format"
    return chosen.key, reason or "equal in quality"


def _content_pixels(member: Member) -> int:
    return member.content_pixels or member.width * member.height


def _bytes_per_pixel(member: Member) -> float:
    """Lossless formats are large for another reason than quality, so they count as what a fine JPEG has."""
    per_pixel = member.bytes / max(1, member.width * member.height)
    return min(per_pixel, _FINE_BYTES_PER_PIXEL)


_FINE_BYTES_PER_PIXEL = 1.0
