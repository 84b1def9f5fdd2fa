"""Comparison of what two files show beyond one opaque picture of 8 bits: which of them can replace the other."""

from __future__ import annotations

from dataclasses import dataclass

CLEARLY = 1.05
"""Factor by which one image must beat another in pixels."""


@dataclass(frozen=True, slots=True)
class Richness:
    """What an image file shows, as far as it can be counted."""

    frames: int = 1
    """Frames or pages."""
    has_alpha: bool = False
    bits: int = 8
    """Bits of a sample."""
    pixels: int = 0
    """Pixels of one frame inside its border."""

    def covers(self, other: Richness) -> bool:
        """Tell whether nothing is lost, by these counts, where this file is kept and the other is not."""
        return (
            self.frames >= other.frames
            and self.has_alpha >= other.has_alpha
            and self.bits >= other.bits
            and self.pixels * CLEARLY >= other.pixels
        )

    @property
    def rank(self) -> tuple[int, bool, int, int]:
        """Key that sorts what shows the most first: frames before transparency, depth and size."""
        return -self.frames, not self.has_alpha, -self.bits, -self.pixels


def is_rich(shown: Richness) -> bool:
    """Tell whether a file shows more than one opaque picture of 8 bits."""
    return shown.frames > 1 or shown.has_alpha or shown.bits > 8
