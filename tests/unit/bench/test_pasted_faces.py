"""Ground truth of `bench.quality.portraits`: pasted faces lie where they are said to lie."""

from __future__ import annotations

import cv2
import numpy as np

from bench.quality.pasted_faces import ROLLS, Paste, Portrait, paste_faces
from tests.support.builders import a_flat_image

MARKS = np.array([[100, 110], [150, 115], [125, 140], [108, 165], [142, 168]], np.float32)
COLOURS = [(255, 0, 0), (0, 255, 0), (255, 255, 0), (255, 0, 255), (0, 255, 255)]


def a_portrait() -> Portrait:
    image = a_flat_image((250, 250), (120, 120, 120))
    for (x, y), colour in zip(MARKS.astype(int).tolist(), COLOURS, strict=True):
        cv2.circle(image, (x, y), 8, colour, -1)
    mask = np.zeros((250, 250), np.uint8)
    cv2.circle(mask, (125, 135), 50, 255, -1)
    return Portrait(image, MARKS, mask)


def pastes() -> list[Paste]:
    return list(paste_faces([a_portrait()] * 4, [a_flat_image((400, 300), (30, 60, 90))], seed=3))


def test_each_portrait_is_pasted_once_at_each_turn() -> None:
    assert [paste.roll for paste in pastes()] == list(ROLLS) * 4


def test_marks_lie_where_they_are_said_to_lie_at_every_turn_and_size() -> None:
    for paste in pastes():
        for (x, y), colour in zip(np.round(paste.marks).astype(int).tolist(), COLOURS, strict=True):
            assert np.abs(paste.image[y, x].astype(int) - colour).max() < 40


def test_the_eyes_are_turned_by_the_roll_whatever_the_portraits_own_was() -> None:
    for paste in pastes():
        right, down = paste.marks[1] - paste.marks[0]
        turned = np.degrees(np.arctan2(down, right)) - paste.roll
        assert abs((turned + 180) % 360 - 180) < 0.5


def test_sizes_are_drawn_over_the_whole_range() -> None:
    eyes = [float(np.linalg.norm(paste.marks[1] - paste.marks[0])) for paste in pastes()]
    assert 19 <= min(eyes) < 35
    assert 80 < max(eyes) <= 121


def test_the_mask_moves_with_the_face() -> None:
    for paste in pastes():
        x, y = np.round(paste.marks.mean(axis=0)).astype(int)
        assert paste.mask[y, x] == 255


def test_the_background_stays_around_the_face() -> None:
    for paste in pastes():
        assert (paste.image == (30, 60, 90)).all(axis=2).mean() > 0.3
