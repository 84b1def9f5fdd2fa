"""Variation of an animal by seed: markings and hairs mirrored and moved, the coat lighter or warmer."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from deployments.algorithms.avatars.lighting import Light
from deployments.contracts.arrays import Floats

_MOVE = 0.035
"""Units by which markings are moved, at most."""


@dataclass(frozen=True, slots=True)
class Variation:
    """Differences of one seed's animal."""

    mirrored: bool
    """True for odd seeds: one of two successive ones differs for sure."""
    phases: Floats
    """`float32[4]`, of the waves along which markings are moved."""
    tone: Floats
    """`float32[3]`: gains of red, green and blue."""

    @classmethod
    def of(cls, seed: int) -> Variation:
        """Derive the variation of a seed."""
        rng = np.random.default_rng((seed, 7))
        brightness, warmth = 1 + rng.uniform(-0.08, 0.08), rng.uniform(-0.04, 0.04)
        tone = brightness * np.array([1 + warmth, 1, 1 - warmth])
        return cls(seed % 2 == 1, rng.uniform(0, 2 * np.pi, 4).astype(np.float32), tone.astype(np.float32))

    def moved(self, x: Floats, y: Floats) -> tuple[Floats, Floats]:
        """Find the place on the drawing that colours a place of the head."""
        a, b, c, d = self.phases
        there_x = x + np.float32(_MOVE / 2) * (np.sin(3.1 * y + a) + np.sin(5.3 * y + 1.7 * x + b))
        there_y = y + np.float32(_MOVE / 2) * (np.sin(2.9 * x + c) + np.sin(4.7 * x + 1.9 * y + d))
        return np.asarray(-there_x if self.mirrored else there_x, np.float32), np.asarray(there_y, np.float32)

    def tint(self, light: Light) -> Light:
        """Tint the light, so that every colour of the animal is a little different."""
        return replace(light, cast=np.asarray(light.cast * self.tone, np.float32))
