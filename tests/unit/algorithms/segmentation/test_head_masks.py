"""Head masks, and blending an edited image into the photograph by them."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from deployments.algorithms.faces.frame import frame_of
from deployments.algorithms.segmentation.head_masks import blend, head_mask
from deployments.contracts.portraits import AvatarMode, Segmentation, SegmentedFace, empty_segmentation
from tests.support.builders import a_flat_image, an_image
from tests.support.faces import a_face

SIDE = 300


def a_segmentation(*faces: SegmentedFace, person: int = 0) -> Segmentation:
    nothing = np.zeros((SIDE, SIDE), np.uint8)
    return Segmentation(faces, nothing, np.full_like(nothing, person))


def at(mask: np.ndarray, face: SegmentedFace, right: float, down: float) -> int:
    """The mask at a place in the face's own units."""
    x, y = np.round(frame_of(face).point(right, down)).astype(int)
    return int(mask[y, x])


@given(st.floats(-180, 180), st.sampled_from(["overlay", "character"]))
@settings(max_examples=30)
def test_a_head_mask_covers_face_forehead_and_the_place_of_ears_at_any_roll(roll: float, mode: AvatarMode) -> None:
    face = a_face(150, 150, 50, roll)
    mask = head_mask(a_segmentation(face), mode)
    for place in ((0, 0), (0, 0.8), (0, -0.8), (-0.7, -1.2), (0.7, -1.2)):
        assert at(mask, face, *place) == 255
    for place in ((0, 1.6), (-1.8, 0), (1.8, 0), (0, -2.3)):
        assert at(mask, face, *place) == 0


@given(st.floats(-180, 180))
@settings(max_examples=30)
def test_a_characters_head_mask_takes_the_hair_beside_the_head_but_not_the_shoulders(roll: float) -> None:
    face = a_face(150, 150, 50, roll)
    person = a_segmentation(face, person=255)
    assert at(head_mask(person, "character"), face, 1.45, 0.4) == 255
    assert at(head_mask(person, "overlay"), face, 1.45, 0.4) == 0
    assert at(head_mask(person, "character"), face, 0.0, 1.7) == 0
    assert at(head_mask(person, "character"), face, 1.6, 1.6) == 0


def test_the_edge_of_a_head_mask_is_soft() -> None:
    mask = head_mask(a_segmentation(a_face(150, 150, 50)), "overlay")
    assert len(np.unique(mask)) > 50
    steps = np.abs(np.diff(mask.astype(int), axis=1))
    assert steps.max() < 60


def test_two_heads_are_both_in_the_head_mask() -> None:
    faces = a_face(80, 150, 40), a_face(220, 150, 40, roll=90)
    mask = head_mask(a_segmentation(*faces), "overlay")
    assert all(at(mask, face, 0, 0.3) == 255 for face in faces)


@pytest.mark.parametrize("mode", ["overlay", "character"])
def test_an_image_without_faces_has_a_black_head_mask(mode: AvatarMode) -> None:
    assert not head_mask(empty_segmentation(an_image((40, 30))), mode).any()


@given(st.floats(-400, 700), st.floats(-400, 700), st.floats(0, 900), st.floats(-180, 180))
@settings(max_examples=50)
def test_a_head_mask_over_the_border_is_cut_there(x: float, y: float, size: float, roll: float) -> None:
    for mode in ("overlay", "character"):
        mask = head_mask(a_segmentation(a_face(x, y, size, roll), person=255), mode)
        assert (mask.shape, mask.dtype) == ((SIDE, SIDE), np.uint8)


@given(st.integers(1, 40), st.integers(1, 600), st.integers(0, 9))
@settings(max_examples=30)
def test_a_blend_is_exact_at_both_ends_and_between_the_two(width: int, height: int, seed: int) -> None:
    photograph, made = an_image((width, height), seed), an_image((width, height), seed + 50)
    mask = np.random.default_rng(seed).integers(0, 256, (height, width)).astype(np.uint8)
    mask[::3], mask[1::3] = 0, 255
    before = photograph.copy()
    blended = blend(photograph, made, mask)
    np.testing.assert_array_equal(blended[mask == 0], photograph[mask == 0])
    np.testing.assert_array_equal(blended[mask == 255], made[mask == 255])
    low, high = np.minimum(photograph, made), np.maximum(photograph, made)
    assert ((blended >= low) & (blended <= high)).all()
    np.testing.assert_array_equal(photograph, before)


def test_a_blend_stretches_an_image_of_another_size_over_the_photograph() -> None:
    photograph, made = an_image((64, 48)), a_flat_image((512, 300), (10, 200, 30))
    blended = blend(photograph, made, np.full((48, 64), 255, np.uint8))
    np.testing.assert_array_equal(blended, a_flat_image((64, 48), (10, 200, 30)))


def test_a_blend_by_a_mask_of_another_size_is_refused() -> None:
    with pytest.raises(ValueError, match="mask"):
        blend(an_image((64, 48)), an_image((64, 48)), np.zeros((64, 48), np.uint8))
