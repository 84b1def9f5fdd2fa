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
    of = {item: set(clusters.get(item) or ()) or {("alone", item)} for item in labels}
    members: dict[Hashable, set[str]] = defaultdict(set)
    for item, names in of.items():
        for name in names:
            members[name].add(item)
    classes: dict[Hashable, set[str]] = defaultdict(set)
    for item, label in labels.items():
        classes[label].add(item)

    precision = recall = 0.0
    for item, label in labels.items():
        mates = set().union(*(members[name] for name in of[item]))
        shares = [min(len(of[item] & of[mate]), labels[mate] == label) / len(of[item] & of[mate]) for mate in mates]
        precision += sum(shares) / len(shares)
        recall += sum(bool(of[item] & of[mate]) for mate in classes[label]) / len(classes[label])
    return Score(precision / len(labels), recall / len(labels))


def pairwise(labels: Mapping[str, Hashable], clusters: Mapping[str, Collection[Hashable]]) -> Score:
    """Score precision and recall over pairs of items that share a cluster."""
    right = given = true = 0
    for a, b in itertools.combinations(sorted(labels), 2):
        same = labels[a] == labels[b]
        together = bool(set(clusters.get(a) or ()) & set(clusters.get(b) or ()))
        right, given, true = right + (same and together), given + together, true + same
    return Score(right / given if given else 1.0, right / true if true else 1.0)


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
