"""Scores of groupings and tags against labels."""

from __future__ import annotations

import itertools
from collections import defaultdict
from collections.abc import Collection, Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Score:
    precision: float
    recall: float

    @property
    def f(self) -> float:
        both = self.precision + self.recall
        return 2 * self.precision * self.recall / both if both else 0.0


def bcubed(labels: Mapping[str, Hashable], clusters: Mapping[str, Collection[Hashable]]) -> Score:
    """Score by BCubed for overlapping clusters against one label each (Amigó et al. 2009, extended BCubed).

    `labels`: item -> its class. `clusters`: item -> the clusters it is in; an item without one stands alone.
    """
    scores = bcubed_by_item(labels, clusters).values()
    return Score(*(sum(of) / len(labels) for of in zip(*scores, strict=True)))


def bcubed_by_item(
    labels: Mapping[str, Hashable], clusters: Mapping[str, Collection[Hashable]]
) -> dict[str, tuple[float, float]]:
    """Score each item: BCubed precision and recall."""
    of = {item: set(clusters.get(item) or ()) or {("alone", item)} for item in labels}
    members: dict[Hashable, set[str]] = defaultdict(set)
    for item, names in of.items():
        for name in names:
            members[name].add(item)
    classes: dict[Hashable, set[str]] = defaultdict(set)
    for item, label in labels.items():
        classes[label].add(item)

    scores = {}
    for item, label in labels.items():
        mates = set().union(*(members[name] for name in of[item]))
        shares = [min(len(of[item] & of[mate]), labels[mate] == label) / len(of[item] & of[mate]) for mate in mates]
        recall = sum(bool(of[item] & of[mate]) for mate in classes[label]) / len(classes[label])
        scores[item] = sum(shares) / len(shares), recall
    return scores


def pairwise(labels: Mapping[str, Hashable], clusters: Mapping[str, Collection[Hashable]]) -> Score:
    """Score precision and recall over pairs of items that share a cluster."""
    right, given, true = (sum(of) for of in zip(*pairwise_by_item(labels, clusters).values(), strict=True))
    return Score(right / given if given else 1.0, right / true if true else 1.0)


def pairwise_by_item(
    labels: Mapping[str, Hashable], clusters: Mapping[str, Collection[Hashable]]
) -> dict[str, tuple[float, float, float]]:
    """Count pairs right, together and of one label; half of a pair for each of its items."""
    counts = {item: [0.0, 0.0, 0.0] for item in labels}
    for a, b in itertools.combinations(sorted(labels), 2):
        same = labels[a] == labels[b]
        together = bool(set(clusters.get(a) or ()) & set(clusters.get(b) or ()))
        for item in (a, b):
            for place, counted in enumerate((same and together, together, same)):
                counts[item][place] += counted / 2
    return {item: (right, given, true) for item, (right, given, true) in counts.items()}


def pairs_of(groups: Iterable[Sequence[str]]) -> set[frozenset[str]]:
    """List all pairs of different items that share a group."""
    return {frozenset(pair) for group in groups for pair in itertools.combinations(sorted(set(group)), 2)}


def normalised_tag(tag: str) -> str:
    """Normalise a tag to compare vocabularies: lower case, spaces for `_` and `-`, singular."""
    word = " ".join(tag.lower().replace("_", " ").replace("-", " ").split())
    for plural, singular in (("ies", "y"), ("sses", "ss"), ("shes", "sh"), ("ches", "ch"), ("xes", "x")):
        if word.endswith(plural) and len(word) > len(plural) + 1:
            return word[: -len(plural)] + singular
    if word.endswith("s") and not word.endswith(("ss", "us", "is")) and len(word) > 3:
        return word[:-1]
    return word
