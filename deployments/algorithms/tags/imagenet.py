"""Tagging, labels and search over ImageNet class probabilities, with the two models passed in as functions."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import chain

import numpy as np

from deployments.algorithms.tags.lexicon import Lexicon, Meaning, relevance
from deployments.algorithms.tags.vocabulary import TAG_VIEWS, Tag, class_probabilities, concept_probabilities
from deployments.contracts.arrays import Vectors
from deployments.errors import NotSupported

_MIN_SCORE = 0.01
"""Probability under which a tag is not worth ranking."""
_EVEN = 0.5
"""Probability from which on a tag is likelier than not."""


@dataclass(frozen=True, slots=True)
class TaggerRules:
    """Calibration and thresholds of the tagger."""

    temperature: float = 0.8
    """Divisor of the logits: see `class_probabilities`."""
    max_prior: float = 0.18
    """See `concept_probabilities`."""
    min_relevance: float = 0.2
    """Relevance under which an image does not show what a query asks for."""
    rival_share: float = 0.5
    """Share of a tag's probability that the image's likeliest class must exceed, outside the tag, to be its rival."""
    rival_factor: float = 0.5
    """Factor of the probability of a tag that has a rival: half a truck and nearly half a jeep is a jeep."""
    min_familiarity: float = 0.44
    """Familiarity (see `familiarity`) under which an image is like nothing that the network learnt. Set on
    scikit-image's pictures: the moon, bricks, a retina and pages reach .43; of photographs with a tag over one half
    nineteen in twenty have more than .47."""
    unfamiliar_factor: float = 0.5
    """Factor of probabilities of less than one half in such an image."""


class ImageNetTagger:
    """Tagger that reads the classifier's classes through the reviewed vocabulary and the lexicon."""

    def __init__(
        self, classify: Callable[[Vectors], Vectors], tags: Sequence[Tag], lexicon: Lexicon, rules: TaggerRules
    ) -> None:
        """Keep the listed tags. `classify`: raw features `float32[..., D]` -> logits `float32[..., 1000]`."""
        self._classify = classify
        self._tags = tuple(tag for tag in tags if tag.listed)
        self._lexicon = lexicon
        self._rules = rules

    def tag(self, vectors: Vectors) -> list[dict[str, float]]:
        """Score every listed tag worth ranking, a dict an image; `vectors`: view vectors `float32[N, V, D]`."""
        concepts = [tag.classes for tag in self._tags]
        viewed = vectors[:, TAG_VIEWS]
        logits = self._classify(viewed)
        probabilities = class_probabilities(logits, self._rules.temperature)
        scores = concept_probabilities(probabilities, concepts, self._rules.max_prior)
        scores *= np.array([tag.trust for tag in self._tags], np.float32)
        scores = self._doubt(scores, probabilities, concepts)
        is_unfamiliar = familiarity(logits, viewed) < self._rules.min_familiarity
        scores[is_unfamiliar[:, None] & (scores < _EVEN)] *= self._rules.unfamiliar_factor
        names = [tag.name for tag in self._tags]
        return [
            {name: float(score) for name, score in zip(names, row, strict=True) if score >= _MIN_SCORE}
            for row in scores
        ]

    def judge(self, vectors: Vectors, labels: Sequence[str]) -> list[dict[str, float]]:
        """Judge each label that the lexicon understands in full, as probabilities; the others are missing."""
        meanings = {label: meaning for label in labels if (meaning := self._lexicon.label(label))}
        probabilities = self._probabilities(vectors)
        concepts = [tuple(chain.from_iterable(meaning.parts)) for meaning in meanings.values()]
        found = [self._relevance(probabilities, meaning) for meaning in meanings.values()]
        scores = self._doubt(np.stack(found, axis=1), probabilities, concepts) if found else None
        if scores is None:
            return [{} for _ in vectors]
        return [{label: float(score) for label, score in zip(meanings, row, strict=True)} for row in scores]

    def search(self, query: str, vectors: Vectors) -> Vectors:
        """Compute relevance `float32[N]`, exactly 0 for an image that does not show the query. Raises
        `NotSupported`."""
        meaning = self._lexicon.query(query)
        if meaning is None:
            raise NotSupported(
                "The local models know no such thing: search for a tag or another everyday word for what pictures show."
            )
        found = self._relevance(self._probabilities(vectors), meaning)
        return np.where(found >= self._rules.min_relevance * meaning.understood, found, np.float32(0))

    def _probabilities(self, vectors: Vectors) -> Vectors:
        return class_probabilities(self._classify(vectors[:, TAG_VIEWS]), self._rules.temperature)

    def _doubt(self, scores: Vectors, probabilities: Vectors, concepts: Sequence[Sequence[int]]) -> Vectors:
        """Lower scores `float32[N, T]` of concepts that do not hold the image's likeliest class, where it rivals them.

        What has no class here spreads over the classes that look a little like it; a sum of such crumbs is no evidence
        beside a class that is likelier than most of them together.
        """
        best = probabilities.argmax(axis=1)
        holds = np.zeros((probabilities.shape[1], len(concepts)), bool)
        for column, classes in enumerate(concepts):
            holds[list(classes), column] = True
        rivalled = ~holds[best] & (probabilities.max(axis=1)[:, None] > self._rules.rival_share * scores)
        return np.asarray(np.where(rivalled, scores * self._rules.rival_factor, scores), np.float32)

    def _relevance(self, probabilities: Vectors, meaning: Meaning) -> Vectors:
        return relevance(meaning, concept_probabilities(probabilities, meaning.parts, self._rules.max_prior))


def familiarity(logits: Vectors, vectors: Vectors) -> Vectors:
    """Measure how far each image is like something that the network learnt, `float32[N]`.

    The largest logit over the length of the vector, both of the mean over views: a cosine to the nearest class but for
    the length of that class's weights. Softmax hides it: where no class fits, the least unfit may get half.
    `logits`: `float32[N, V, C]`; `vectors`: raw features `float32[N, V, D]`.
    """
    length = np.linalg.norm(vectors.mean(axis=1), axis=-1)
    return np.asarray(logits.mean(axis=1).max(axis=-1) / np.maximum(length, 1e-6), np.float32)
