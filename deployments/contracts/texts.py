"""Contract of text in pictures: inputs, results and errors. Needs only numpy.

Images are `uint8[H, W, 3]`, RGB, upright. Reading is a function of its inputs; it may raise `errors.DeadlineExceeded`,
`errors.Overloaded` and `errors.Unavailable`, and `errors.NotDeployed` where the package that reads is not installed.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from deployments.contracts.arrays import Image

Point = tuple[float, float]
Corners = tuple[Point, Point, Point, Point]


@dataclass(frozen=True, slots=True)
class TextOptions:
    """What counts as text, and how closely it is looked for."""

    min_score: float = 0.5
    """Detection score from which on something is text at all, 0 to 1."""
    min_text_score: float = 0.5
    """Recognition score from which on what was read is given, 0 to 1."""
    glance_px: int | None = None
    """Longest side at which the picture is looked at first, at least 32: where nothing is found there, it has no text,
    and how small the text is decides how much closer it is looked for, up to `max_px`. None: it is not."""
    max_px: int | None = None
    """Longest side in pixels at which text is looked for, at least 32; None: the setting `texts.max_px`. What is found
    is read at the full size of the picture in any case."""

    def __post_init__(self) -> None:
        """Raise `ValueError` for what is out of range."""
        if not (0 <= self.min_score <= 1 and 0 <= self.min_text_score <= 1):
            raise ValueError("scores are from 0 to 1")
        if min(self.max_px or SMALLEST_MAX_PX, self.glance_px or SMALLEST_MAX_PX) < SMALLEST_MAX_PX:
            raise ValueError(f"max_px and glance_px are at least {SMALLEST_MAX_PX}")


SMALLEST_MAX_PX = 32
"""Side of the smallest picture that the detection network takes, pixels."""
ANY_TEXT = TextOptions()
"""Options of a call that names none."""


@dataclass(frozen=True, slots=True)
class Text:
    """One line or cell of text in one picture."""

    corners: Corners
    """Corners `(x, y)` in pixels of the picture, as who reads the text sees them: top left, top right, bottom right,
    bottom left. The first edge runs along the writing, so that its angle is that of the text; of text that stands on
    its head the first corner is at the bottom right of the picture."""
    score: float
    """Detection score, 0 to 1."""
    text: str
    """What it says, one line without line breaks, not empty."""
    text_score: float
    """Recognition score, 0 to 1: the mean over the characters."""


class TextReader(Protocol):
    """Capability that reads text in pictures."""

    async def read_texts(self, images: Sequence[Image], options: TextOptions = ANY_TEXT) -> list[list[Text]]:
        """Read the texts of each picture, in reading order: the rows of a page from its top, cells of a row from the
        side at which it begins. A picture without text has an empty list."""
        ...
