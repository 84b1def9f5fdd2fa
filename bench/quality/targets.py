"""Targets of `make eval`."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Target:
    """Least or greatest value that a figure should have."""

    limit: float
    at_most: bool = False

    def met(self, value: float) -> bool:
        return value <= self.limit if self.at_most else value >= self.limit

    def __str__(self) -> str:
        return f"{'<=' if self.at_most else '>='} {self.limit:g}"


TARGETS = {
    ("faces", "bcubed_f"): Target(0.985),
    ("faces", "pairwise_f"): Target(0.97),
    ("portraits", "central_face_once"): Target(0.99),
    ("portraits", "mask_in_head_boxes"): Target(0.98),
    ("portraits", "found_upright"): Target(0.99),
    ("portraits", "found_any_roll"): Target(0.95),
    ("portraits", "landmark_error_mean"): Target(6.0, at_most=True),
    ("neardup", "pair_precision"): Target(1.0),
    ("neardup", "recall_easy"): Target(1.0),
    ("neardup", "recall_medium"): Target(1.0),
    ("neardup", "recall_hard"): Target(1.0),
    ("neardup", "scenes_merged"): Target(0.0, at_most=True),
    ("tags", "top5_hit"): Target(0.95),
    ("tags", "precision"): Target(0.97),
    ("hard", "verdicts_right"): Target(1.0),
    ("hard", "answers_5xx"): Target(0.0, at_most=True),
    ("hard", "analyses_failed"): Target(0.0, at_most=True),
    ("hard", "processes_lost"): Target(0.0, at_most=True),
    ("copies", "all kinds"): Target(0.97),
    ("copies", "precision"): Target(0.995),
    ("quality", "all pairs"): Target(0.95),
    ("quality", "all kept"): Target(0.95),
}
"""Set and figure -> target."""
