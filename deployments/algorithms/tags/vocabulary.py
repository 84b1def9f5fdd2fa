"""Tag vocabulary: class probabilities as everyday words, and the selection of those that an image gets.

The words stand in `assets/vocabulary/tags.toml`, reviewed by hand; docs/tags.md shows them with their classes.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from deployments.contracts.arrays import VIEWS, Vectors

DATA = Path(__file__).parents[2] / "assets" / "vocabulary"
"""Folder of the vocabulary's files."""
IMAGENET_CLASSES = 1000
TAG_VIEWS = tuple(VIEWS.index(view) for view in ("whole", "crop"))
"""Indices of the views that are tagged. Their mean says as much as more views do; the turned views say less."""


PEOPLE_WORDS = {
    "person": {"persons", "people", "human", "humans", "someone", "somebody", "face", "faces"},
    "portrait": {"portraits", "headshot", "headshots"},
    "group": {"groups", "group photo", "group picture", "group portrait", "group of people"},
}
"""Other words for the tags that faces decide."""


@dataclass(frozen=True, slots=True)
class Tag:
    """A word and the ImageNet classes it stands for."""

    name: str
    classes: tuple[int, ...]
    """Classes whose probabilities add up to the tag's."""
    words: tuple[str, ...] = ()
    """Other words for the same thing."""
    listed: bool = True
    """Whether an image gets it without being asked about it."""
    trust: float = 1.0
    """Factor of its sum, 0 to 1. Less than 1 for a word whose classes look like nothing in common: what a network does
    not know spreads over helmets, sledges and balls as easily as over sports."""


@dataclass(frozen=True, slots=True)
class TagRules:
    """Thresholds and number of the tags that an image gets."""

    threshold: float = 0.5
    top_k: int = 10
    fallback: float = 0.3
    """Probability from which on the likeliest tag is given where none reaches the threshold."""


@dataclass(frozen=True, slots=True)
class PeopleRules:
    """Limits at which faces make an image one of people. Shares are of the image's area, 0 to 1."""

    min_share: float = 0.004
    """Smaller faces do not count."""
    portrait_share: float = 0.05
    """One face at least this large is a portrait ..."""
    bystander_share: float = 0.25
    """... unless the next face is larger than this share of the first."""
    people_size: int = 2
    """Faces that make it "people" ..."""
    group_size: int = 3
    """... and "group"."""


def load_tags(path: Path = DATA / "tags.toml") -> tuple[Tag, ...]:
    """Load the reviewed tags."""
    sections = tomllib.loads(path.read_text())
    return tuple(
        Tag(
            name,
            expand_ranges(entry["classes"]),
            tuple(entry.get("words", ())),
            bool(entry.get("listed", True)),
            float(entry.get("trust", 1.0)),
        )
        for section in sections.values()
        for name, entry in section.items()
    )


def load_class_names(path: Path = DATA / "imagenet.txt") -> tuple[str, ...]:
    """Load the name of each ImageNet class, in their order."""
    return tuple(line.split(" ", 1)[1] for line in path.read_text().splitlines()[1:])


def expand_ranges(ranges: str) -> tuple[int, ...]:
    """Expand `"3 7-9"` to `(3, 7, 8, 9)`."""
    numbers: list[int] = []
    for part in ranges.split():
        first, _, last = part.partition("-")
        numbers += range(int(first), int(last or first) + 1)
    return tuple(numbers)


def class_ranges(classes: Iterable[int]) -> str:
    """Contract `(3, 7, 8, 9)` to `"3 7-9"`."""
    runs: list[list[int]] = []
    for number in sorted(classes):
        if runs and number == runs[-1][1] + 1:
            runs[-1][1] = number
        else:
            runs.append([number, number])
    return " ".join(str(first) if first == last else f"{first}-{last}" for first, last in runs)


def class_probabilities(logits: Vectors, temperature: float) -> Vectors:
    """Average over V views the softmax of each: logits `float32[N, V, C]` -> `float32[N, C]`.

    A temperature under 1 sharpens: a network trained with label smoothing is less sure than it could be.
    """
    scaled = logits / temperature
    exponentials = np.exp(scaled - scaled.max(axis=-1, keepdims=True))
    return np.asarray((exponentials / exponentials.sum(axis=-1, keepdims=True)).mean(axis=1), np.float32)


def concept_probabilities(probabilities: Vectors, concepts: Sequence[Sequence[int]], max_prior: float) -> Vectors:
    """Sum class probabilities `float32[N, C]` over each concept's classes: `float32[N, len(concepts)]`.

    Four ImageNet classes in ten are animals, and in no album are four images in ten. A concept's odds are therefore
    multiplied by the odds of `max_prior` over the odds of its share of all classes, where that share is larger.
    """
    members = np.zeros((probabilities.shape[1], len(concepts)), np.float32)
    for column, classes in enumerate(concepts):
        members[list(classes), column] = 1
    share = members.mean(axis=0)
    summed = np.clip(probabilities @ members, 0, 1)
    ratio = np.minimum(1, _odds(max_prior) / np.maximum(_odds(share), np.float32(1e-9)))
    return np.asarray(summed * ratio / (1 - summed + summed * ratio), np.float32)


def _odds(probability: float | Vectors) -> Vectors:
    limited = np.clip(np.asarray(probability, np.float32), 0, 1 - 1e-6)
    return np.asarray(limited / (1 - limited), np.float32)


def select_tags(
    scores: Mapping[str, float], rules: TagRules, *, top_k: int | None = None, threshold: float | None = None
) -> dict[str, float]:
    """Select the tags that one image gets, the likeliest first, equal ones by name.

    Where none reaches the threshold, the likeliest one alone from the rules' fallback on. A client's `threshold` and
    `top_k` replace those of the rules; with a threshold of the client's there is no fallback. A threshold of 0 gives
    every tag that has a score.
    """
    least = rules.threshold if threshold is None else threshold
    most = rules.top_k if top_k is None else top_k
    ranked = sorted(scores.items(), key=lambda item: (-item[1], item[0]))
    chosen = [(tag, score) for tag, score in ranked if score >= least]
    if not chosen and threshold is None:
        chosen = [(tag, score) for tag, score in ranked[:1] if score >= rules.fallback]
    return dict(chosen[:most])


def merge_scores(*scores: Mapping[str, float]) -> dict[str, float]:
    """Merge several sources' scores of one image: the highest of each tag."""
    merged: dict[str, float] = {}
    for source in scores:
        for tag, score in source.items():
            merged[tag] = max(score, merged.get(tag, 0.0))
    return merged


def people_tags(
    boxes: Sequence[tuple[float, float, float, float]] | NDArray[np.float32],
    scores: Sequence[float],
    width: int,
    height: int,
    rules: PeopleRules = PeopleRules(),
) -> dict[str, float]:
    """Derive tags from the faces of an image of `width` x `height` pixels: `{tag: probability}`, empty without faces.

    "person": there is one. "people": there are two or more, as sure as the second surest of them. "group": three or
    more. "portrait": one face dominates. A label or query for people means any of these: see `queries.people_tag`.
    """
    area = float(width * height)
    shares = [max(0.0, x2 - x1) * max(0.0, y2 - y1) / area for x1, y1, x2, y2 in boxes]
    faces = sorted(
        ((share, float(score)) for share, score in zip(shares, scores, strict=True) if share >= rules.min_share),
        reverse=True,
    )
    if not faces:
        return {}
    surest = sorted((score for _, score in faces), reverse=True)
    tags = {"person": surest[0]}
    for tag, size in (("people", rules.people_size), ("group", rules.group_size)):
        if len(surest) >= size:
            tags[tag] = surest[size - 1]
    next_share = faces[1][0] if len(faces) > 1 else 0.0
    if faces[0][0] >= rules.portrait_share and next_share <= rules.bystander_share * faces[0][0]:
        tags["portrait"] = faces[0][1]
    return tags


def normalise(phrase: str) -> str:
    """Normalise a phrase for comparison: lower case, words apart by one space, without punctuation."""
    return " ".join(re.sub(r"[^\w']+|_", " ", phrase.lower()).split())
