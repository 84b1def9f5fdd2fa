"""Faces cut out for restoration, and laid over the image again."""

from __future__ import annotations

import numpy as np
import pytest

from deployments.algorithms.a1111.face_pasting import FACE_PX, align_faces, lay_faces_over
from deployments.contracts.albums import Face
from deployments.contracts.arrays import Image
from tests.support.builders import an_image

_FIVE = np.array([[193, 240], [319, 240], [256.5, 314], [201, 371.3], [313, 371.3]], np.float32)
"""The five points of an upright face of 512 pixels."""


def a_face(left: float, top: float, side: float, turned: float = 0.0) -> Face:
    """A face that fills a square, turned around its middle by degrees."""
    angle, middle = np.deg2rad(turned), np.full(2, FACE_PX / 2, np.float32)
    turn = np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]], np.float32)
    points = ((_FIVE - middle) @ turn + middle) * (side / FACE_PX) + np.array([left, top], np.float32)
    box = (left, top, left + side, top + side)
    return Face(box, 0.9, 1.0, points.astype(np.float32), np.zeros(4, np.float32))


def smooth(size: tuple[int, int]) -> Image:
    """A ramp, which resampling does not change."""
    across = np.linspace(40, 200, size[0])[None, :] + np.linspace(0, 50, size[1])[:, None]
    return np.repeat(np.rint(across).astype(np.uint8)[..., None], 3, axis=2)


@pytest.mark.parametrize(("side", "turned"), [(60, 0), (160, 25), (400, -10)])
def test_a_face_that_nobody_changed_comes_back_as_it_was(side: int, turned: float) -> None:
    image = smooth((500, 480))
    aligned, more = align_faces(image, [a_face(50, 40, side, turned)], 20)
    assert (len(aligned), more) == (1, 0)
    assert aligned[0].pixels.shape == (FACE_PX, FACE_PX, 3)
    out = lay_faces_over(image, aligned, [aligned[0].pixels], 1.0)
    assert np.abs(out.astype(int) - image).max() <= 2


def test_a_restored_face_lies_where_the_face_was_and_nowhere_else() -> None:
    image = an_image((300, 200))
    aligned, _ = align_faces(image, [a_face(100, 40, 120)], 20)
    out = lay_faces_over(image, aligned, [np.full((FACE_PX, FACE_PX, 3), 250, np.uint8)], 1.0)
    assert (out[70:130, 130:190] == 250).all()
    changed = (out != image).any(axis=2)
    changed[39:162, 99:222] = False
    assert not changed.any()


def test_visibility_is_the_share_of_the_restored_face() -> None:
    image = np.full((200, 200, 3), 100, np.uint8)
    aligned, _ = align_faces(image, [a_face(40, 40, 120)], 20)
    white = [np.full((FACE_PX, FACE_PX, 3), 200, np.uint8)]
    assert lay_faces_over(image, aligned, white, 0.5)[100, 100].tolist() == [150, 150, 150]
    assert np.array_equal(lay_faces_over(image, aligned, white, 0.0), image)


def test_the_rim_fades_into_the_image() -> None:
    image = np.zeros((512, 512, 3), np.uint8)
    aligned, _ = align_faces(image, [a_face(0, 0, 512)], 20)
    row = lay_faces_over(image, aligned, [np.full((FACE_PX, FACE_PX, 3), 255, np.uint8)], 1.0)[256, :, 0].astype(int)
    assert row[0] < 3
    assert row[70] > 252
    assert (np.diff(row[:80]) >= 0).all()
    assert np.diff(row[:80]).max() < 10


def test_the_largest_faces_are_taken_and_the_others_counted() -> None:
    faces = [a_face(10, 10, side) for side in (20, 80, 50)]
    aligned, more = align_faces(an_image((200, 200)), faces, 2)
    assert more == 1
    scales = [np.hypot(one.matrix[0, 0], one.matrix[0, 1]) for one in aligned]
    assert scales == pytest.approx([FACE_PX / 80, FACE_PX / 50], rel=0.01)


def test_faces_that_cannot_be_placed_are_left_out() -> None:
    good, image = a_face(10, 10, 50), an_image((100, 100))
    for points in (np.zeros((0, 2)), np.zeros((5, 2)), np.full((5, 2), np.nan), np.zeros((7, 2))):
        bad = Face(good.bbox, 0.9, 1.0, points.astype(np.float32), good.embedding)
        assert align_faces(image, [bad], 20) == ([], 0)


def test_a_face_over_the_edge_of_the_image_is_laid_over_what_there_is_of_it() -> None:
    image = an_image((100, 100))
    for left, top in ((-40, -40), (60, 60), (400, 400)):
        aligned, _ = align_faces(image, [a_face(left, top, 80)], 20)
        out = lay_faces_over(image, aligned, [np.full((FACE_PX, FACE_PX, 3), 9, np.uint8)] * len(aligned), 1.0)
        assert out.shape == image.shape
