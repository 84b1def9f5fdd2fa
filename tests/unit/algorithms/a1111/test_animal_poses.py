"""Animals drawn by their points."""

from __future__ import annotations

import numpy as np

from deployments.algorithms.a1111.animal_poses import draw_animal


def test_lines_between_points_have_the_colours_of_the_original() -> None:
    points = np.array([(20 * place, 50 + 90 * (place % 2)) for place in range(17)], np.float32)
    canvas = np.zeros((200, 400, 3), np.uint8)
    draw_animal(canvas, points)

    def between(one: int, other: int) -> list[int]:
        x, y = (points[one] + points[other]) / 2
        return [int(part) for part in canvas[int(y), int(x)]]

    assert between(0, 1) == [255, 255, 255]
    assert between(8, 9) == [0, 255, 255]
    assert between(12, 13) == [150, 150, 150]
    assert between(15, 16) == [255, 255, 100]
    assert not between(10, 11)[0]  # a paw and a hip are not joined


def test_points_far_outside_of_the_image_end_in_no_error() -> None:
    canvas = np.zeros((20, 20, 3), np.uint8)
    draw_animal(canvas, np.full((17, 2), 1e12, np.float32))
    assert not canvas.any()
