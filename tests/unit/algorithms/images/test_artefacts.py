"""Noise, compression's blocks and smeared directions, measured without a reference."""

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.quality.copies.drawing import jpeg
from deployments.algorithms.images.artefacts import blockiness, measure_blur, measure_loss, noise
from deployments.contracts.arrays import Gray
from tests.support.builders import a_photo


def _grey(name: str = "coffee") -> Gray:
    return np.asarray(cv2.cvtColor(a_photo(name), cv2.COLOR_RGB2GRAY), np.uint8)


@given(st.floats(4, 40))
def test_noise_on_a_flat_image_is_measured_as_its_deviation(deviation: float) -> None:
    flat = np.random.default_rng(0).normal(128, deviation, (256, 256))
    assert noise(np.clip(flat, 0, 255).astype(np.uint8)) == pytest.approx(deviation, rel=0.25)


def test_texture_that_remains_at_half_of_the_size_is_no_noise() -> None:
    assert noise(_grey("gravel")) < 2


@given(st.integers(0, 7), st.integers(0, 7))
def test_blocks_are_found_wherever_a_crop_begins(top: int, left: int) -> None:
    stored = cv2.cvtColor(jpeg(a_photo("coffee"), 10), cv2.COLOR_RGB2GRAY)[top:, left:]
    assert blockiness(np.asarray(stored)) > 0.4 > 0.1 > blockiness(_grey())


def test_blocks_are_found_where_the_original_was_shrunk() -> None:
    stored = cv2.cvtColor(jpeg(a_photo("coffee"), 10), cv2.COLOR_RGB2GRAY)
    small = cv2.resize(stored, None, fx=0.8, fy=0.8, interpolation=cv2.INTER_AREA)
    assert blockiness(np.asarray(small), 1.25) > 2 * blockiness(np.asarray(small)) + 0.05


def test_lines_of_one_direction_are_no_blocks() -> None:
    lines = np.full((256, 256), 200, np.uint8)
    lines[::8] = 20
    assert blockiness(lines) == 0


@pytest.mark.parametrize("degrees", [0, 30, 50, 75, 90, 140])
def test_a_camera_that_moved_smears_the_image_and_one_out_of_focus_does_not(degrees: int) -> None:
    kernel = np.zeros((17, 17), np.float32)
    kernel[8] = 1
    turn = cv2.getRotationMatrix2D((8, 8), degrees, 1)
    kernel = cv2.warpAffine(kernel, turn, (17, 17))
    grey = _grey("gravel")
    moved = np.asarray(cv2.filter2D(grey, -1, kernel / kernel.sum()))
    blurred = np.asarray(cv2.GaussianBlur(grey, (0, 0), 3))
    assert measure_blur(moved).smear < 0.85 < measure_blur(blurred).smear


@pytest.mark.parametrize("shape", [(1, 1), (1, 300), (300, 1), (2, 2), (31, 33)])
def test_measures_of_images_of_every_size_are_finite(shape: tuple[int, int]) -> None:
    grey = np.random.default_rng(0).integers(0, 256, shape, np.uint8)
    blur = measure_blur(grey)
    for value in (blur.loss, blur.smear, noise(grey), blockiness(grey)):
        assert 0 <= value < 1000


@pytest.mark.parametrize("name", ["coffee", "gravel"])
def test_the_loss_alone_is_that_of_both_measures(name: str) -> None:
    assert measure_loss(_grey(name)) == measure_blur(_grey(name)).loss
