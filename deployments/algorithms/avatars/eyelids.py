"""Eyelids: the geometry of an eye between its lids."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from deployments.contracts.arrays import Floats


@dataclass(frozen=True, slots=True)
class Lids:
    """An eye between its lids, which are arcs over the line from corner to corner."""

    centre: Floats
    """`float32[2]`, pixels, on that line."""
    along: Floats
    """`float32[2]`, unit length, to the viewer's right."""
    half: float
    above: float
    below: float
    """`half`, `above` and `below`: pixels from the centre to a corner and to the lids."""
    bow: float = 1.0
    """Exponent of the arcs: 1 almonds, 0.5 ellipses."""

    @property
    def down(self) -> Floats:
        """Unit vector `float32[2]` at right angles to `along`."""
        return np.array([-self.along[1], self.along[0]], np.float32)

    def local(self, x: Floats, y: Floats) -> tuple[Floats, Floats]:
        """Convert image coordinates to pixels along and down from the centre."""
        dx, dy = x - self.centre[0], y - self.centre[1]
        return dx * self.along[0] + dy * self.along[1], dy * self.along[0] - dx * self.along[1]

    def arcs(self, share: Floats) -> tuple[Floats, Floats]:
        """Compute upper and lower lid, pixels down, at `share` -1 to 1 of the way to the corners."""
        arc = np.maximum(1 - share * share, 1e-4) ** np.float32(self.bow)
        return np.asarray(-self.above * arc, np.float32), np.asarray(self.below * arc, np.float32)

    def polygon(self, longer: float = 1.0) -> Floats:
        """Outline the eye, `float32[N, 2]`, pixels, `longer` times as long."""
        share = np.sin(np.linspace(-np.pi / 2, np.pi / 2, 33)).astype(np.float32)
        upper, lower = self.arcs(share)
        a = np.concatenate([share, share[::-1]]) * np.float32(self.half * longer)
        d = np.concatenate([upper, lower[::-1]])
        return np.asarray(self.centre + a[:, None] * self.along + d[:, None] * self.down, np.float32)
