"""Enlarged masks and segmentations, and the PNG files of masks and cut-outs."""

from __future__ import annotations

import io
import struct

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image as PillowImage

from deployments.algorithms.images.decoding import decode
from deployments.algorithms.segmentation.cutouts import cutout_on_white, cutout_png, enlarge_mask, mask_png
from deployments.algorithms.segmentation.guided_filter import steeper
from deployments.algorithms.segmentation.scaling import scale_segmentation
from deployments.contracts.portraits import Segmentation
from tests.support.builders import an_image
from tests.support.faces import a_face


def a_disc(side: int, radius: float) -> np.ndarray:
    """A white disc with a smooth edge."""
    rows, columns = np.indices((side, side))
    distance = np.hypot(rows - (side - 1) / 2, columns - (side - 1) / 2)
    return np.clip((radius - distance + 0.5) * 255, 0, 255).astype(np.uint8)


def test_an_enlarged_mask_lies_on_the_edge_of_the_large_image() -> None:
    truth = a_disc(1200, 400)
    image = cv2.cvtColor(np.where(truth > 127, 200, 60).astype(np.uint8), cv2.COLOR_GRAY2RGB)
    rough = a_disc(120, 40.6)
    large = enlarge_mask(np.asarray(image), rough)
    plain = cv2.resize(rough, (1200, 1200), interpolation=cv2.INTER_LINEAR)
    assert np.abs(large.astype(int) - truth).mean() < np.abs(plain.astype(int) - truth).mean() / 2


def test_enlarging_a_mask_in_bands_leaves_no_seams() -> None:
    image = an_image((900, 1500))
    mask = np.tile(np.linspace(0, 255, 90).astype(np.uint8), (150, 1))
    large = enlarge_mask(image, mask)
    across = np.abs(np.diff(large.astype(int), axis=0)).max(axis=1)
    at_seams = across[255::256]
    assert at_seams.max() <= np.percentile(across, 99.5) + 2


@given(st.integers(1, 300), st.integers(1, 700), st.floats(0.05, 2), st.sampled_from([0, 255]))
@settings(max_examples=40, deadline=None)
def test_a_mask_of_all_or_nothing_stays_so_at_any_size(width: int, height: int, scale: float, value: int) -> None:
    shape = max(1, round(height * scale)), max(1, round(width * scale))
    large = enlarge_mask(an_image((width, height)), np.full(shape, value, np.uint8))
    assert large.shape == (height, width)
    assert (large == value).all()


def test_enlarging_a_mask_of_the_images_size_changes_nothing() -> None:
    mask = a_disc(64, 20)
    np.testing.assert_array_equal(enlarge_mask(an_image((64, 64)), mask), mask)


def test_a_segmentation_is_enlarged_with_its_faces() -> None:
    mask = a_disc(100, 30)
    face = a_face(50, 40, 20)
    large = scale_segmentation(an_image((400, 300)), Segmentation((face,), mask, mask))
    assert large.face_mask.shape == large.person_mask.shape == (300, 400)
    (moved,) = large.faces
    assert moved.landmarks["chin"] == pytest.approx((200, 180))
    np.testing.assert_allclose(moved.outline, face.outline * [4, 3], rtol=1e-5)
    assert moved.bbox == pytest.approx(tuple(np.multiply(face.bbox, [4, 3, 4, 3])))


@given(st.integers(1, 50), st.integers(1, 400), st.integers(0, 99))
@settings(max_examples=30, deadline=None)
def test_a_cutout_keeps_what_is_seen_and_nothing_of_what_is_not(width: int, height: int, seed: int) -> None:
    image = an_image((width, height), seed)
    mask = np.random.default_rng(seed).choice(np.array([0, 1, 128, 255], np.uint8), (height, width))
    pixels = np.asarray(PillowImage.open(io.BytesIO(cutout_png(image, mask))))
    assert pixels.shape == (height, width, 4)
    np.testing.assert_array_equal(pixels[..., 3], mask)
    np.testing.assert_array_equal(pixels[mask > 0, :3], image[mask > 0])
    assert not pixels[mask == 0].any()


def test_a_mask_file_is_an_eight_bit_grey_png() -> None:
    mask = a_disc(90, 30)
    file = mask_png(mask)
    depth, colour_type = struct.unpack(">BB", file[24:26])
    assert (depth, colour_type) == (8, 0)
    np.testing.assert_array_equal(np.asarray(PillowImage.open(io.BytesIO(file))), mask)


def test_a_cutout_by_a_mask_of_another_size_is_refused() -> None:
    with pytest.raises(ValueError, match="mask"):
        cutout_png(an_image((30, 20)), np.zeros((30, 20), np.uint8))


@given(st.floats(0, 0.4), st.floats(0.6, 1))
def test_steeper_chances_keep_their_order_and_reach_both_ends(low: float, high: float) -> None:
    made = steeper(np.linspace(0, 1, 101, dtype=np.float32), low, high)
    assert (np.diff(made) >= 0).all()
    assert (made[0], made[-1]) == (0, pytest.approx(1))


def test_a_cut_out_on_white_is_what_decoding_its_file_gives() -> None:
    image, mask = an_image((300, 600)), cv2.resize(a_disc(300, 120), (300, 600))
    np.testing.assert_array_equal(cutout_on_white(image, mask), decode(cutout_png(image, mask), 600))


def test_a_cut_out_on_white_refuses_a_mask_of_another_size() -> None:
    with pytest.raises(ValueError, match="the mask is"):
        cutout_on_white(an_image((30, 20)), a_disc(30, 10))
