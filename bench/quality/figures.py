"""Figures with bootstrap intervals: how far a figure would move if other people, pictures or groups had been drawn."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Collection, Hashable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import ArrayLike, NDArray

from bench.quality.metrics import bcubed_by_item, pairwise_by_item

_RESAMPLES = 2000


@dataclass(frozen=True, slots=True)
class Figure:
    """A figure with its interval of 95 %; both bounds are the value where nothing was resampled."""

    value: float
    low: float
    high: float
    asked: int = 0
    """Answers that the figure is made of; 0: it is no share."""

    @staticmethod
    def exact(value: float) -> Figure:
        """Make a figure that is a count or a measurement, not an estimate."""
        return Figure(value, value, value)


Figures = dict[str, Figure]
Sets = dict[str, Figures]
"""Set -> name of the figure -> figure."""


def bootstrap(parts: ArrayLike, figure: Callable[[NDArray[np.float64]], NDArray[np.float64]]) -> Figure:
    """Resample units, and take the 2.5 and 97.5 percentiles of the figure.

    `parts`: what each unit adds to the sums, `[N, K]`. `figure`: sums `float64[R, K]` -> figures `float64[R]`.
    """
    units = np.asarray(parts, np.float64)
    drawn = np.random.default_rng(0).integers(0, len(units), (_RESAMPLES, len(units)))
    low, high = np.percentile(figure(units[drawn].sum(axis=1)), (2.5, 97.5))
    return Figure(float(figure(units.sum(axis=0, keepdims=True))[0]), float(low), float(high))


def rate(right: Sequence[float], asked: Sequence[float]) -> Figure:
    """Estimate a share: each unit has so many right of so many. Of none asked, all are right."""
    if not sum(asked):
        return Figure.exact(1.0)
    return replace(bootstrap(np.column_stack([right, asked]), _ratio), asked=round(sum(asked)))


def _ratio(sums: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.where(sums[:, 1] > 0, sums[:, 0] / np.maximum(sums[:, 1], 1e-9), 1.0)


def _f(precision: NDArray[np.float64], recall: NDArray[np.float64]) -> NDArray[np.float64]:
    return 2 * precision * recall / np.maximum(precision + recall, 1e-9)


def bcubed_f(labels: Mapping[str, Hashable], clusters: Mapping[str, Collection[Hashable]]) -> Figure:
    """Estimate BCubed F, with people (labels) as units: the images of one person are not independent."""
    scores = bcubed_by_item(labels, clusters)
    parts = _by_label(labels, {item: (*score, 1.0) for item, score in scores.items()})
    found = bootstrap(parts, lambda sums: _f(sums[:, 0] / sums[:, 2], sums[:, 1] / sums[:, 2]))
    return replace(found, asked=len(labels))


def pairwise_f(labels: Mapping[str, Hashable], clusters: Mapping[str, Collection[Hashable]]) -> Figure:
    """Estimate pairwise F, with people (labels) as units; a pair of two people counts half for each."""
    parts = _by_label(labels, pairwise_by_item(labels, clusters))
    return bootstrap(parts, lambda sums: _f(_ratio(sums[:, [0, 1]]), _ratio(sums[:, [0, 2]])))


def _by_label(labels: Mapping[str, Hashable], parts: Mapping[str, tuple[float, ...]]) -> list[NDArray[np.float64]]:
    sums: dict[Hashable, list[tuple[float, ...]]] = defaultdict(list)
    for item, label in labels.items():
        sums[label].append(parts[item])
    return [np.sum(of, axis=0) for of in sums.values()]
