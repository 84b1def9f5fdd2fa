"""Poses of animals by RTMPose: the 17 points of AP-10K."""

from __future__ import annotations

import numpy as np

from deployments.algorithms.a1111.animal_poses import ANIMAL_POINTS, draw_animal
from deployments.contracts.arrays import Image
from deployments.engines.diffusion.pose_networks import PoseNetworks


class AnimalPose(PoseNetworks):
    """Draws the animals of an image: birds, cats, dogs, horses, sheep, cows, elephants, bears, zebras and giraffes."""

    kinds = range(14, 24)
    size = (256, 256)
    points = ANIMAL_POINTS

    def __call__(self, image: Image, **_: object) -> Image:
        """Draw the poses on black of the image's size; as in the original doubtful points too."""
        canvas = np.zeros_like(image)
        for box in self.find_bodies(image):
            draw_animal(canvas, self.find_body_points(image, box)[:, :2])
        return canvas
