"""Duplicate groups as stars, and the member of each to keep.

In a star every member is linked to the centre itself. Linking A to B and B to C would put A and C into one group though
they may show nothing in common (two crops of opposite corners), so links are never chained. Levels contain one another:
whole `exact` groups move into `copy` groups, and whole `copy` groups into `similar` ones.

Images that somebody said to be no duplicates are never in one group, whatever links them.

A group of copies has one member that shows all that the others show (`richness`), so that keeping it loses nothing.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence, Set
from dataclasses import dataclass
from heapq import heapify, heappop, heappush

from deployments.algorithms.duplicates.richness import CLEARLY, Richness, is_rich
from deployments.contracts.albums import DuplicateLevel, PairVerdict

LEVELS: tuple[DuplicateLevel, ...] = ("exact", "copy", "similar")


@dataclass(frozen=True, slots=True)
class DuplicateLink:
    """Two images that are duplicates at a level."""

    left: str
    right: str
    level: DuplicateLevel
    score: float
    """0 to 1."""
    overlay: str | None = None
    """Which of the two bears a sticker, a caption or the like that the other lacks."""


_MIN_SIMILAR_OVERLAP = 0.5
_CERTAIN_COSINE = 0.95
"""Cosine at which images are similar whatever the geometry says. Portraits of different people before like backgrounds
reach .91."""


def classify_pair(
    left: str,
    right: str,
    cosine: float,
    verdict: PairVerdict,
    min_similar_cosine: float,
    *,
    cosine_is_partial: bool = False,
) -> DuplicateLink | None:
    """Link two candidates: as copies by the verdict, else as images of one moment; None if neither.

    Images of one moment look alike to the embedding (`cosine` is that of the candidate pair) and show the same place,
    or look the same. `cosine_is_partial`: the embedding saw one of them without its transparency, or only the first
    frames of both, so that looking the same says nothing.
    """
    if verdict.is_copy:
        sides = {"left": left, "right": right, None: None}
        return DuplicateLink(left, right, "copy", verdict.score, sides[verdict.overlay])
    is_one_place = verdict.overlap >= _MIN_SIMILAR_OVERLAP
    if cosine_is_partial and not is_one_place:
        return None
    if cosine >= (min_similar_cosine if is_one_place else max(min_similar_cosine, _CERTAIN_COSINE)):
        return DuplicateLink(left, right, "similar", cosine)
    return None


@dataclass(frozen=True, slots=True)
class ImageGroup:
    """A star of two or more duplicates."""

    centre: str
    """The member that all others are linked to, itself or through an image of a stricter level."""
    members: tuple[str, ...]
    """Two or more, the centre among them, sorted."""
    level: DuplicateLevel
    """The loosest level that holds the group together."""
    scores: Mapping[str, float]
    """Score of each member's link but the centre's, 0 to 1."""


def group_duplicates(
    keys: Sequence[str],
    edges: Iterable[DuplicateLink],
    level: DuplicateLevel = "copy",
    richness: Mapping[str, Richness] | None = None,
    apart: Iterable[tuple[str, str]] = (),
    equal: Iterable[Sequence[str]] = (),
) -> list[ImageGroup]:
    """Form disjoint groups at `level`, the largest first; the order of `keys` and `edges` does not matter.

    `richness`: of the keys whose files are known to show more than one opaque picture of 8 bits, and of all that are
    linked with one. `apart`: pairs of keys that no group may hold both of. `equal`: disjoint lists of keys of one
    image, which stay together; `apart` names no two of a list. Keys are canonical (a content hash, say): where two
    choices are equally good, the smaller key wins.
    Raises `ValueError` for an edge whose key is not in `keys`.
    """
    known = set(keys)
    groups = [ImageGroup(of[0], tuple(sorted(of)), "exact", dict.fromkeys(of[1:], 1.0)) for of in equal if of]
    groups += [_single(key) for key in known.difference(*(group.members for group in groups))]
    groups.sort(key=lambda group: group.members)
    by_level: dict[DuplicateLevel, list[DuplicateLink]] = defaultdict(list)
    for edge in edges:
        if edge.left not in known or edge.right not in known:
            raise ValueError("an edge names an unknown picture")
        if edge.left != edge.right:
            by_level[edge.level].append(edge)
    shown = richness or {}
    # Shots of one moment are no copies: there, what was kept apart for the loss alone may come together.
    by_level["similar"] += [
        edge for edge in by_level["copy"] if any(is_rich(shown.get(key, Richness())) for key in (edge.left, edge.right))
    ]
    pairs = [(a, b) for a, b in apart if a in known and b in known]
    for current in LEVELS[: LEVELS.index(level) + 1]:
        groups = _join_stars(groups, by_level[current], current, {} if current == "similar" else shown, pairs)
    found = [group for group in groups if len(group.members) > 1]
    return sorted(found, key=lambda group: (-len(group.members), group.members))


def _single(key: str) -> ImageGroup:
    return ImageGroup(key, (key,), "exact", {})


def _join_stars(
    groups: list[ImageGroup],
    edges: list[DuplicateLink],
    level: DuplicateLevel,
    richness: Mapping[str, Richness],
    apart: Sequence[tuple[str, str]],
) -> list[ImageGroup]:
    """Join whole groups: the one with the most links becomes a centre and takes its free neighbours, and so on."""
    home = {member: index for index, group in enumerate(groups) for member in group.members}
    strangers: dict[int, set[int]] = defaultdict(set)
    for left, right in apart:
        strangers[home[left]].add(home[right])
        strangers[home[right]].add(home[left])
    links: dict[int, dict[int, float]] = defaultdict(dict)
    for edge in edges:
        a, b = home[edge.left], home[edge.right]
        if a != b and b not in strangers.get(a, ()):
            score = max(edge.score, links[a].get(b, 0.0))
            links[a][b] = links[b][a] = score
    free = set(range(len(groups)))
    joined = []
    # Taking a star can only lower the rank of others, so a rank read from the queue may be too good, never too bad.
    queue = [_rank(index, links, free, groups) for index in links]
    heapify(queue)
    while queue:
        rank = heappop(queue)
        centre = rank[-1]
        if centre not in free:
            continue
        now = _rank(centre, links, free, groups)
        if now != rank:
            heappush(queue, now)
            continue
        near = _compatible({n: s for n, s in links[centre].items() if n in free}, strangers, groups)
        taken = _without_loss(centre, near, links, groups, richness)
        if taken:
            joined.append(_star(groups, centre, taken, level))
            free -= {centre, *taken}
    return joined + [groups[index] for index in sorted(free)]


def _compatible(
    reached: Mapping[int, float], strangers: Mapping[int, Set[int]], groups: Sequence[ImageGroup]
) -> dict[int, float]:
    """Leave out of a star whoever may not be in it with a member that is linked more closely."""
    if strangers.keys().isdisjoint(reached):
        return dict(reached)
    taken: dict[int, float] = {}
    for other in sorted(reached, key=lambda index: (-reached[index], groups[index].members[0])):
        if taken.keys().isdisjoint(strangers.get(other, frozenset())):  # iterates over the smaller one
            taken[other] = reached[other]
    return taken


def _without_loss(
    centre: int,
    reached: Mapping[int, float],
    links: Mapping[int, Mapping[int, float]],
    groups: Sequence[ImageGroup],
    richness: Mapping[str, Richness],
) -> dict[int, float]:
    """Leave out of a star what its richest member would not make up for.

    Two animations may share a frame with one still, and no other: the still would link them, and keeping one of them
    would lose the other. So every rich member must be linked to the richest itself, and no member may have more.
    """
    shown = {index: richness.get(groups[index].members[0], Richness()) for index in (centre, *reached)}
    rich = [index for index, what in shown.items() if is_rich(what) and what.covers(shown[centre])]
    if not rich:
        return {other: score for other, score in reached.items() if not is_rich(shown[other])}
    top = min(rich, key=lambda index: (*shown[index].rank, groups[index].members[0]))
    return {
        other: score
        for other, score in reached.items()
        if other == top
        or (shown[top].covers(shown[other]) and (not is_rich(shown[other]) or top == centre or other in links[top]))
    }


def _rank(
    index: int, links: Mapping[int, Mapping[int, float]], free: set[int], groups: list[ImageGroup]
) -> tuple[int, float, str, int]:
    """Rank a group as a centre, smallest first: most images reached, strongest links, smallest key; last, its index."""
    reached = {other: score for other, score in links[index].items() if other in free}
    pictures = sum(len(groups[other].members) for other in reached)
    # Rounded, because a sum of floats depends on its order.
    return -pictures, -round(sum(reached.values()), 6), groups[index].members[0], index


def _star(groups: list[ImageGroup], centre: int, taken: Mapping[int, float], level: DuplicateLevel) -> ImageGroup:
    scores = dict(groups[centre].scores)
    for other, score in taken.items():
        scores.update(dict.fromkeys(groups[other].members, score))
    members = tuple(sorted({*groups[centre].members, *scores}))
    return ImageGroup(groups[centre].centre, members, level, {key: scores[key] for key in sorted(scores)})


@dataclass(frozen=True, slots=True)
class Member:
    """Facts about a group's member that decide which image to keep."""

    key: str
    width: int
    height: int
    """Width and height of the upright original, in pixels."""
    bytes: int
    """Size of the original file."""
    content_type: str
    has_border: bool = False
    """A flat border was found around it (`borders.content_box`)."""
    content_pixels: int | None = None
    """Pixels of the image inside its border; default: all."""
    has_overlay: bool = False
    """A sticker, a caption or the like is drawn on it that another member lacks."""
    agreement: float = 1.0
    """Mean score of its links to the other members: lower for the one that bears a watermark or a filter."""
    frames: int = 1
    """Frames or pages."""
    has_alpha: bool = False
    bits: int = 8
    """Bits of a sample."""
    quality: float = 1.0
    """Technical quality, 0 to 1, as `deployments.algorithms.images.quality` scores it."""


_AS_TAKEN = {"image/heic": 0, "image/heif": 0, "image/tiff": 1, "image/jpeg": 2, "image/avif": 3}
"""Ranks of file formats. Those that cameras write come first; others are mostly exports and screenshots."""
_CLEAR_AGREEMENT = 1.03
"""Factor by which one member must beat another in agreement; in size: `CLEARLY`."""
_CLEAR_QUALITY = 1.02
"""Factor by which one member must beat another in quality. Faint noise costs 2 to 5 %
(bench.quality.picture_quality)."""


def choose_keeper(members: Sequence[Member]) -> tuple[str, str]:
    """Choose the image to keep: its key, and why as a short phrase; the order of `members` does not matter.

    What shows all that the others show, and more frames, transparency or bits a sample, comes first. Then pixels of the
    image itself count (a crop or a smaller copy has fewer, a border adds none), then an image without a border, then
    one on which nothing was drawn, then the one that agrees best with the others, then technical quality (noise makes a
    file larger, not better), then the file that was compressed least, then the format that cameras write.
    """
    if not members:
        raise ValueError("no members to choose from")
    left, reason = _richest(sorted(members, key=lambda member: member.key))
    if len(left) == 1 < len(members):
        return left[0].key, reason
    most = max(_content_pixels(member) for member in left)
    left = [member for member in left if _content_pixels(member) * CLEARLY >= most]
    if len(left) == 1:
        return left[0].key, "highest resolution"
    for flaw, reason in (("has_border", "no border"), ("has_overlay", "nothing drawn on it")):
        sound = [member for member in left if not getattr(member, flaw)]
        if len(sound) == 1 < len(left):
            return sound[0].key, reason
        left = sound or left
    for value, tolerance, reason in (
        (lambda member: member.agreement, _CLEAR_AGREEMENT, "fewest changes"),
        (lambda member: member.quality, _CLEAR_QUALITY, "best quality"),
        (_bytes_per_pixel, CLEARLY, "least compressed"),
    ):
        best = max(value(member) for member in left)
        kept = [member for member in left if value(member) * tolerance >= best]
        if len(kept) == 1 < len(left):
            return kept[0].key, reason
        left = kept
    return _by_format(left)


def _richest(members: list[Member]) -> tuple[list[Member], str]:
    """Find the members that show all that any other shows, and what they have more; all of them where none does."""
    shown = {m.key: Richness(m.frames, m.has_alpha, m.bits, _content_pixels(m)) for m in members}
    top = [one for one in members if all(shown[one.key].covers(other) for other in shown.values())]
    if not top or not any(map(is_rich, shown.values())):
        return members, ""
    best = shown[top[0].key]
    poorer = [shown[member.key] for member in members if member not in top]
    if any(other.frames < best.frames for other in poorer):
        return top, "most frames"
    if any(other.has_alpha < best.has_alpha for other in poorer):
        return top, "keeps transparency"
    return top, "most bits a sample"


def _by_format(members: list[Member]) -> tuple[str, str]:
    ranks = {member.key: _AS_TAKEN.get(member.content_type, len(_AS_TAKEN)) for member in members}
    chosen = min(members, key=lambda m: (ranks[m.key], -_content_pixels(m), -m.bytes, m.key))
    is_alone = sum(rank == ranks[chosen.key] for rank in ranks.values()) == 1 < len(members)
    return chosen.key, "original format" if is_alone else "equal in quality"


def _content_pixels(member: Member) -> int:
    return member.content_pixels or member.width * member.height


def _bytes_per_pixel(member: Member) -> float:
    """Compute file size per pixel, at most that of a fine JPEG: lossless formats are large for another reason than
    quality."""
    per_pixel = member.bytes / max(1, member.width * member.height)
    return min(per_pixel, _FINE_BYTES_PER_PIXEL)


_FINE_BYTES_PER_PIXEL = 1.0
