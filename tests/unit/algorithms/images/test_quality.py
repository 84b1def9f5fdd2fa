"""Image quality assessment: technical faults are named, and images that only look unusual are left alone."""

import cv2
import numpy as np
import pytest

from bench.quality.damages import KINDS, LEVELS, damage, to_full_range
from deployments.algorithms.images.quality import ISSUES, QualityReport, assess
from deployments.contracts.arrays import Image
from tests.support.builders import a_flat_image, a_photo, an_image

PHOTOS = ("astronaut", "chelsea", "coffee", "rocket")


def _blurred(image: Image, share: float = 0.008) -> Image:
    """`share`: standard deviation relative to the longer side."""
    return np.asarray(cv2.GaussianBlur(image, (0, 0), share * max(image.shape)))


def _exposed(image: Image, stops: float) -> Image:
    light = (image / 255.0) ** 2.2 * 2.0**stops
    return (np.clip(light, 0, 1) ** (1 / 2.2) * 255).astype(np.uint8)


def _large(image: Image) -> QualityReport:
    return assess(image, width=4000, height=3000)


@pytest.mark.parametrize("name", PHOTOS)
def test_a_good_photograph_has_no_issue(name: str) -> None:
    quality = _large(a_photo(name))
    assert quality.issues == ()
    assert quality.score > 0.7


@pytest.mark.parametrize("name", PHOTOS)
def test_a_blurred_photograph_is_blurry_and_worse(name: str) -> None:
    photo = a_photo(name)
    assert "blurry" in _large(_blurred(photo)).issues
    sharpness = [_large(image).sharpness for image in (photo, _blurred(photo, 0.003), _blurred(photo))]
    assert sharpness == sorted(sharpness, reverse=True)


def test_noise_does_not_make_a_blurred_photograph_sharp() -> None:
    blurred = _blurred(a_photo("astronaut"))
    noise = np.random.default_rng(0).normal(0, 5, blurred.shape)
    assert "blurry" in _large(np.clip(blurred + noise, 0, 255).astype(np.uint8)).issues


def test_a_camera_that_moved_makes_a_blurry_image() -> None:
    kernel = np.zeros((21, 21), np.float32)
    kernel[10] = 1 / 21
    for photo in (a_photo("astronaut"), a_photo("rocket")):
        moved = np.asarray(cv2.filter2D(photo, -1, kernel))
        assert "blurry" in _large(moved).issues
        assert "blurry" in _large(np.ascontiguousarray(moved.transpose(1, 0, 2))).issues


def test_a_sharp_subject_before_a_soft_background_is_not_blurry() -> None:
    photo = a_photo("astronaut")
    portrait = _blurred(photo, 0.015)
    portrait[20:220, 150:310] = photo[20:220, 150:310]
    assert "blurry" not in _large(portrait).issues


def test_a_small_object_on_a_plain_table_is_not_blurry() -> None:
    table = a_flat_image((800, 600), (205, 195, 180))
    table[250:330, 350:470] = a_photo("chelsea")[80:160, 120:240]
    assert "blurry" not in _large(table).issues


def test_sharpness_is_judged_at_the_size_of_the_screen() -> None:
    photo = a_photo("coffee")
    enlarged = np.asarray(cv2.resize(photo, None, fx=2, fy=2, interpolation=cv2.INTER_CUBIC))
    assert abs(_large(enlarged).sharpness - _large(photo).sharpness) < 0.1


@pytest.mark.parametrize("name", PHOTOS)
def test_a_photograph_with_too_little_light_is_dark(name: str) -> None:
    quality = _large(_exposed(a_photo(name), -4))
    assert "dark" in quality.issues
    assert quality.exposure < 0.5


@pytest.mark.parametrize("name", ["astronaut", "chelsea", "coffee"])
def test_a_photograph_with_too_much_light_is_overexposed(name: str) -> None:
    assert "overexposed" in _large(_exposed(a_photo(name), 4)).issues


def test_a_bright_thing_in_the_night_is_not_too_dark() -> None:
    night = np.full((480, 640, 3), 8, np.uint8)
    night[150:330, 200:440] = a_photo("chelsea")[60:240, 100:340]
    assert "dark" not in _large(night).issues


def test_a_cut_out_on_white_is_not_overexposed() -> None:
    page = np.full((600, 800, 3), 255, np.uint8)
    page[150:450, 200:600] = cv2.resize(a_photo("coffee"), (400, 300))
    assert "overexposed" not in _large(page).issues


def test_fog_has_low_contrast() -> None:
    fog = (a_photo("coffee") * 0.15 + 110).astype(np.uint8)
    assert "low_contrast" in _large(fog).issues


def test_resolution_is_that_of_the_original_and_not_of_the_preview() -> None:
    preview = a_photo("coffee", 320)
    assert "low_resolution" in assess(preview).issues
    assert "low_resolution" not in _large(preview).issues
    assert _large(preview).score > assess(preview).score


@pytest.mark.parametrize("size", [(1, 1), (1, 700), (900, 2), (3, 3), (33, 31)])
def test_quality_of_every_size_and_every_flat_colour_is_in_range(size: tuple[int, int]) -> None:
    for image in (an_image(size), a_flat_image(size, (0, 0, 0)), a_flat_image(size, (255, 255, 255))):
        quality = assess(image)
        for value in (quality.sharpness, quality.exposure, quality.score):
            assert 0 <= value <= 1
        assert list(quality.issues) == [issue for issue in ISSUES if issue in quality.issues]


def test_a_black_image_is_dark_and_a_white_one_overexposed() -> None:
    assert "dark" in assess(a_flat_image((64, 64), (0, 0, 0))).issues
    assert "overexposed" in assess(a_flat_image((64, 64), (255, 255, 255))).issues


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind != "moved"])
def test_quality_falls_with_every_strength_of_damage(kind: str) -> None:
    photo = to_full_range(a_photo("chelsea"))
    scores = [assess(damage(kind, photo, level, np.random.default_rng(level))).score for level in LEVELS]
    assert scores == sorted(set(scores), reverse=True)


def test_quality_of_a_photograph_whose_camera_moved_is_lower_in_every_direction() -> None:
    photo = a_photo("chelsea")
    for seed in range(6):
        assert assess(damage("moved", photo, 2, np.random.default_rng(seed))).score < assess(photo).score


def test_texture_all_over_an_image_is_not_taken_for_noise() -> None:
    gravel = a_photo("gravel")
    assert assess(gravel).score > assess(_blurred(gravel, 0.002)).score


def test_white_that_fades_at_an_images_border_is_lost_light_and_no_page() -> None:
    assert "overexposed" in _large(_exposed(a_photo("gravel"), 4)).issues
