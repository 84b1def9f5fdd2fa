"""Comparison of two pages by what is written where: whether one is a copy of the other, or another page of the form.

A copy says the same at the same places, however it was turned, photographed or compressed. Another page of a form, or
the form with other entries, agrees in much and says something else at some places. What both say lays the one over the
other; then each row is compared letter by letter. What reading gets wrong now and then is no difference: letters that
look alike, and what was read with a low score.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray
from rapidfuzz.distance import Levenshtein

from deployments.algorithms.tags.translations import plain
from deployments.contracts.texts import Text

Points = NDArray[np.float32]
_LOOKALIKES = str.maketrans("oqiljtszbg", "0011115280")
"""Letters -> the digit that reading takes them for, or they for it. Two digits are never alike."""
_MOST_PLACES = 3
"""Places of a word on a page up to which it helps to lay pages over one another."""
_FEWEST_ANCHORS = 4
_ENOUGH_FOR_PERSPECTIVE = 12
_SLACK = 1.0
"""Distance between the places of one word, in heights of its line: where it stands in that is guessed by letters."""
_SAME_ROW = 0.6
"""The same across two lines, in their mean height, up to which they are one row."""
_MOST_LINES = 400
"""Lines of a page that are compared; a page of a newspaper has as many."""


@dataclass(frozen=True, slots=True)
class PageRules:
    """From when on two pages are said to differ; docs/duplicates.md says on what pages this was set."""

    min_score: float = 0.93
    """Recognition score of both rows from which on a difference counts."""
    min_letters: int = 3
    """Letters of one place that are others on the other page; a single digit is enough."""
    min_agreed: int = 8
    """Letters that both pages say at the same places, at least: less tells nothing about where they lie ..."""
    min_agreed_share: float = 0.3
    """... and their share of all that was compared: where less agrees, the one was laid wrongly over the other."""


@dataclass(frozen=True, slots=True)
class PageComparison:
    """What two pages say at the same places."""

    agreed: int
    """Letters that are the same."""
    changes: tuple[tuple[str, str], ...]
    """What clearly differs: what the first page says, what the second does."""

    @property
    def differ(self) -> bool:
        """Whether they are two pages."""
        return bool(self.changes)


def compare_pages(left: Sequence[Text], right: Sequence[Text], rules: PageRules | None = None) -> PageComparison:
    """Compare what is written on two pages; neither order nor turn matters.

    Of pages that have too little in common to be laid over one another nothing is said, and nothing of what only one of
    them shows: a part that was cut out, a stamp.
    """
    rules = rules or PageRules()
    one, two = _Lines.of(left[:_MOST_LINES]), _Lines.of(right[:_MOST_LINES])
    laid = _lay_over(one, two)
    if laid is None:
        return PageComparison(0, ())
    agreed, compared, changes = 0, 0, []
    for mine, theirs in _rows(one.moved(laid), two):
        score = min(*(one.scores[line] for line in mine), *(two.scores[line] for line in theirs))
        said = ["".join(fold(page.texts[line]) for line in lines) for page, lines in ((one, mine), (two, theirs))]
        same, differing = _differences(*said)
        agreed += same
        compared += max(map(len, said))
        if score >= rules.min_score:
            changes += [
                change
                for change in [*differing, *_moved_digits(differing, *said)]
                if _is_other(*change, rules.min_letters)
            ]
    is_laid = agreed >= max(rules.min_agreed, rules.min_agreed_share * compared)
    return PageComparison(agreed, tuple(changes) if is_laid else ())


def fold(text: str) -> str:
    """Put a text in the form in which pages are compared: letters and digits alone, without case and accents."""
    return re.sub(r"[\W_]+", "", plain(text))


@dataclass(frozen=True, slots=True)
class _Lines:
    """Lines of a page."""

    texts: tuple[str, ...]
    scores: tuple[float, ...]
    ends: Points
    """Middle of the left and of the right end of each, `float32[N, 2, 2]`."""
    heights: Points
    """`float32[N]`."""

    @classmethod
    def of(cls, texts: Sequence[Text]) -> _Lines:
        corners = np.array([text.corners for text in texts], np.float32).reshape(-1, 4, 2)
        ends = np.stack([(corners[:, 0] + corners[:, 3]) / 2, (corners[:, 1] + corners[:, 2]) / 2], axis=1)
        heights = np.linalg.norm(corners[:, 3] - corners[:, 0], axis=1)
        return cls(
            tuple(text.text for text in texts),
            tuple(text.text_score for text in texts),
            np.asarray(ends, np.float32),
            np.asarray(heights, np.float32),
        )

    def moved(self, to: NDArray[np.float64]) -> _Lines:
        """The same lines where a projective map `float64[3, 3]` takes them."""
        if not self.texts:
            return self
        along = self.ends[:, 1] - self.ends[:, 0]
        lengths = np.maximum(np.linalg.norm(along, axis=1, keepdims=True), 1e-6)
        across = np.stack([-along[:, 1], along[:, 0]], axis=1) / lengths * self.heights[:, None] / 2
        middles = self.ends.mean(axis=1)
        top, bottom = _project(middles - across, to), _project(middles + across, to)
        ends = _project(self.ends.reshape(-1, 2), to).reshape(-1, 2, 2)
        return _Lines(self.texts, self.scores, ends, np.asarray(np.linalg.norm(bottom - top, axis=1), np.float32))

    def words(self) -> Iterator[tuple[str, int, Points]]:
        """Yield each word that may be found again, its line, and about where its middle is."""
        for line, text in enumerate(self.texts):
            for match in re.finditer(r"\S+", text):
                if len(word := fold(match[0])) >= 2:
                    share = (match.start() + match.end()) / 2 / len(text)
                    yield word, line, self.ends[line, 0] + share * (self.ends[line, 1] - self.ends[line, 0])


def _lay_over(left: _Lines, right: _Lines) -> NDArray[np.float64] | None:
    """Find the map from the first page onto the second by the words that both have; None where these are too few."""
    places: tuple[dict[str, list[Points]], dict[str, list[Points]]] = (defaultdict(list), defaultdict(list))
    for page, of in zip((left, right), places, strict=True):
        for word, _, at in page.words():
            of[word].append(at)
    pairs = [
        (here, there)
        for word, of in places[0].items()
        if len(of) <= _MOST_PLACES and len(places[1].get(word, ())) <= _MOST_PLACES
        for here in of
        for there in places[1].get(word, ())
    ]
    if len(pairs) < _FEWEST_ANCHORS:
        return None
    here, there = (np.array([pair[side] for pair in pairs], np.float32) for side in (0, 1))
    slack = _SLACK * float(np.median(right.heights))
    found, inliers = cv2.estimateAffinePartial2D(here, there, method=cv2.RANSAC, ransacReprojThreshold=2 * slack)
    if found is None or (count := int(inliers.sum())) < _FEWEST_ANCHORS:
        return None
    laid = np.vstack([found, [0.0, 0.0, 1.0]])
    if len(pairs) >= _ENOUGH_FOR_PERSPECTIVE:
        projective, inliers = cv2.findHomography(here, there, cv2.RANSAC, slack)
        if projective is not None and int(inliers.sum()) >= max(count, _ENOUGH_FOR_PERSPECTIVE):
            laid = np.asarray(projective, np.float64)
    return laid


def _project(points: Points, to: NDArray[np.float64]) -> Points:
    return np.asarray(cv2.perspectiveTransform(points[None].astype(np.float32), to)[0], np.float32)


def _rows(left: _Lines, right: _Lines) -> Iterator[tuple[list[int], list[int]]]:
    """Yield the lines of both pages that lie in one place, from its beginning. Those of one page only are left out.

    A line of one page may be several of the other, where its words stand far apart.
    """
    if not left.texts or not right.texts:
        return
    along = right.ends[:, 1] - right.ends[:, 0]
    lengths = np.maximum(np.linalg.norm(along, axis=1), 1e-6)
    axes = along / lengths[:, None]
    normals = np.stack([-axes[:, 1], axes[:, 0]], axis=1)
    from_start = left.ends[:, None] - right.ends[None, :, None, 0]  # [N, M, end, 2]
    u = np.einsum("nmed,md->nme", from_start, axes)
    v = np.einsum("nmed,md->nme", from_start, normals)
    first, last = np.maximum(u[..., 0], 0), np.minimum(u[..., 1], lengths)
    middle = (first + last) / 2
    share = (middle - u[..., 0]) / np.maximum(u[..., 1] - u[..., 0], 1e-6)
    aside = np.abs(v[..., 0] + share * (v[..., 1] - v[..., 0]))
    height = (left.heights[:, None] + right.heights) / 2
    meets = (last - first > 0.5 * height) & (aside <= _SAME_ROW * height)
    for mine, theirs in _connected(meets):
        row = theirs[int(np.argmax(lengths[theirs]))]
        starts = (
            (left.ends[mine, 0] - right.ends[row, 0]) @ axes[row],
            (right.ends[theirs, 0] - right.ends[row, 0]) @ axes[row],
        )
        yield (
            [mine[place] for place in np.argsort(starts[0], kind="stable")],
            [theirs[place] for place in np.argsort(starts[1], kind="stable")],
        )


def _connected(meets: NDArray[np.bool_]) -> Iterator[tuple[list[int], list[int]]]:
    """Yield groups of rows and columns of a matrix that are connected by it."""
    seen: set[int] = set()
    for start in range(meets.shape[0]):
        if start in seen or not meets[start].any():
            continue
        rows, columns = {start}, set[int]()
        while True:
            more_columns = set(np.flatnonzero(meets[sorted(rows)].any(axis=0)).tolist())
            more_rows = set(np.flatnonzero(meets[:, sorted(more_columns)].any(axis=1)).tolist())
            if more_rows == rows and more_columns == columns:
                break
            rows, columns = more_rows, more_columns
        seen |= rows
        yield sorted(rows), sorted(columns)


def _differences(left: str, right: str) -> tuple[int, list[tuple[str, str]]]:
    """Compare two rows letter by letter. -> how many are the same, and what differs inside

    What one has more at its ends lies beyond the edge of the other page, or beside the row.
    """
    spots: list[tuple[str, str]] = []
    agreed, gap = 0, 2
    steps = Levenshtein.opcodes(left, right)
    for step in steps:
        mine, theirs = left[step.src_start : step.src_end], right[step.dest_start : step.dest_end]
        if step.tag == "equal":
            agreed += len(mine)
            gap = len(mine)
            held = mine
            continue
        if spots and gap < 2:  # a letter that happens to be the same
            mine, theirs = spots[-1][0] + held + mine, spots[-1][1] + held + theirs
            spots.pop()
        spots.append((mine, theirs))
        gap, held = 0, ""
    return agreed, spots


def _moved_digits(spots: Sequence[tuple[str, str]], left: str, right: str) -> list[tuple[str, str]]:
    """Compare all digits of two rows where each has some that the other lacks: 13:36 is 61:33 but for a digit at
    either end, and of what one row has more at an end nothing is said."""
    for side in (0, 1):
        if not any(re.search(r"\d", spot[side]) and not spot[1 - side] for spot in spots):
            return []
    return [(re.sub(r"\D", "", left), re.sub(r"\D", "", right))]


def _is_other(left: str, right: str, min_letters: int) -> bool:
    """Tell whether what stands at one place of two pages is another thing, not the same read differently."""
    if left.translate(_LOOKALIKES) == right.translate(_LOOKALIKES) or not (left and right):
        return False
    digits = [re.sub(r"\D", "", side) for side in (left, right)]
    if all(digits) and digits[0] != digits[1]:
        return True
    return min(len(left), len(right)) >= 2 and max(len(left), len(right)) >= min_letters
