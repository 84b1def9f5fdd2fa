"""Verdicts on pairs of edited copies, other shots and pages of text."""

from dataclasses import replace

import cv2
import numpy as np
import pytest

from bench.quality.copies import geometry, overlays, shots, tones
from deployments.algorithms.duplicates.features import describe
from deployments.algorithms.duplicates.text_pages import looks_like_page
from deployments.algorithms.duplicates.verdict import verify_pair
from tests.support import duplicate_pictures as pictures

PHOTOS = ("astronaut", "coffee", "chelsea")


@pytest.mark.parametrize("name", PHOTOS)
@pytest.mark.parametrize("edit", pictures.EDITS)
def test_an_edited_photo_is_a_copy(name, edit):
    original = pictures.photo(name)
    verdict = verify_pair(describe(original), describe(pictures.EDITS[edit](original)))
    assert verdict.is_copy
    assert 0.5 < verdict.score <= 1


@pytest.mark.parametrize("name", PHOTOS)
@pytest.mark.parametrize(
    "shoot",
    [pictures.subject_moved, pictures.other_viewpoint, pictures.photographed],
    ids=["subject_moved", "other_viewpoint", "photographed"],
)
def test_another_shot_of_the_scene_is_no_copy(name, shoot):
    original = pictures.photo(name)
    assert not verify_pair(describe(original), describe(shoot(original))).is_copy


def squeezed(image, ratio):
    height, width = image.shape[:2]
    return pictures.cv2.resize(image, (round(width / ratio), height), interpolation=pictures.cv2.INTER_AREA)


def askew(image, degrees, ground=(0, 0, 0)):
    """Turn an image in its frame, the corners of which become flat."""
    height, width = image.shape[:2]
    matrix = pictures.cv2.getRotationMatrix2D((width / 2, height / 2), degrees, 1)
    return pictures.jpeg(pictures.cv2.warpAffine(image, matrix, (width, height), borderValue=ground), 85)


@pytest.mark.parametrize("name", PHOTOS)
def test_a_whole_photo_that_was_squeezed_is_a_copy(name):
    original = pictures.photo(name)
    assert verify_pair(describe(original), describe(squeezed(original, 1.33))).is_copy


@pytest.mark.parametrize("name", PHOTOS)
def test_a_squeezed_part_of_a_photo_is_no_copy(name):
    original = pictures.photo(name)
    part = squeezed(pictures.cropped(original, 0.7), 1.45)
    assert not verify_pair(describe(original), describe(part)).is_copy


@pytest.mark.parametrize("name", PHOTOS)
@pytest.mark.parametrize(("degrees", "ground"), [(15, (0, 0, 0)), (30, (0, 0, 0)), (-30, (255, 255, 255))])
def test_a_photo_that_was_turned_in_its_frame_is_a_copy(name, degrees, ground):
    original = pictures.photo(name)
    assert verify_pair(describe(original), describe(askew(original, degrees, ground))).is_copy


@pytest.mark.parametrize("name", PHOTOS)
@pytest.mark.parametrize("edit", [lambda image: squeezed(image, 1.33), lambda image: askew(image, 30)])
def test_another_shot_squeezed_or_turned_is_no_copy(name, edit):
    original = pictures.photo(name)
    assert not verify_pair(describe(original), describe(edit(pictures.other_viewpoint(original)))).is_copy


@pytest.mark.parametrize("name", PHOTOS)
def test_what_was_cut_away_makes_a_cut_out_no_copy_of_its_photo(name):
    original = pictures.photo(name)
    height, width = original.shape[:2]
    cut = original.copy()
    cut[height // 3 : height * 2 // 3, width // 3 : width * 2 // 3] = 255
    cut_out = replace(describe(cut), is_cut_out=True)
    assert not verify_pair(describe(original), cut_out).is_copy
    assert verify_pair(describe(pictures.jpeg(cut, 60)), cut_out).is_copy


def test_a_stereo_pair_is_no_copy():
    left, right, _ = pictures.skimage.data.stereo_motorcycle()
    assert not verify_pair(describe(left), describe(right)).is_copy


def test_neighbours_of_a_panorama_overlap_but_are_no_copies():
    scene = pictures.photo("astronaut")
    verdict = verify_pair(describe(scene[:, :360].copy()), describe(scene[:, 150:].copy()))
    assert not verdict.is_copy
    assert verdict.overlap == pytest.approx(210 / 360, abs=0.02)


def test_different_photos_are_no_copies():
    verdict = verify_pair(describe(pictures.photo("astronaut")), describe(pictures.photo("coffee")))
    assert not verdict.is_copy
    assert verdict.score == verdict.overlap == 0


@pytest.mark.parametrize("size", [14, 20, 30])
@pytest.mark.parametrize("changed", [0.5, 0.2])
def test_pages_with_other_lines_are_no_copies(size, changed):
    page = describe(pictures.text_page(1, size=size))
    assert not verify_pair(page, describe(pictures.text_page(1, changed=changed, size=size))).is_copy


def test_pages_with_other_lines_are_no_copies_even_when_rescanned():
    page = describe(pictures.text_page(2))
    assert not verify_pair(page, describe(pictures.rescanned(pictures.text_page(2, changed=0.5)))).is_copy


@pytest.mark.parametrize("draw", [pictures.form, pictures.chat], ids=["form", "chat"])
def test_screens_that_share_a_frame_but_not_the_words_are_no_copies(draw):
    assert not verify_pair(describe(draw(3, 4)), describe(draw(3, 5))).is_copy


@pytest.mark.parametrize(
    "page", [pictures.text_page(5), pictures.form(6, 7), pictures.chat(8, 9)], ids=["text", "form", "chat"]
)
@pytest.mark.parametrize(
    "edit",
    [pictures.rescanned, lambda page: pictures.jpeg(page, 20), lambda page: pictures.resized(page, 450)],
    ids=["rescanned", "jpeg_20", "half_size"],
)
def test_an_edited_page_is_a_copy(page, edit):
    assert verify_pair(describe(page), describe(edit(page))).is_copy


@pytest.mark.parametrize("other", ["mirrored_crop_jpeg", "watermark"])
def test_the_verdict_does_not_depend_on_the_order_of_the_pair(other):
    original = pictures.photo("astronaut")
    first, second = describe(original), describe(pictures.EDITS[other](original))
    one, other = verify_pair(first, second), verify_pair(second, first)
    assert replace(one, overlay=None) == replace(other, overlay=None)
    assert {one.overlay, other.overlay} in ({None}, {"left", "right"}), "sides change with the order"


def test_images_without_structure_are_no_copies():
    gray = describe(np.full((200, 300, 3), 128, np.uint8))
    lighter = describe(np.full((200, 300, 3), 140, np.uint8))
    assert not verify_pair(gray, lighter).is_copy


def test_pages_are_told_from_photos():
    assert looks_like_page(describe(pictures.text_page(1)).pixels)
    assert looks_like_page(describe(pictures.rescanned(pictures.form(1, 2))).pixels)
    assert not any(looks_like_page(describe(pictures.photo(name)).pixels) for name in PHOTOS)


@pytest.mark.parametrize("seed", range(3))
def test_a_starry_sky_is_no_page_and_white_words_on_black_are_one(seed):
    assert not looks_like_page(describe(pictures.starry_sky(seed)).pixels)
    assert looks_like_page(describe(255 - pictures.text_page(seed)).pixels)
    assert looks_like_page(describe(pictures.turned(255 - pictures.form(seed, 2), 5)).pixels)


@pytest.mark.parametrize("seed", range(3))
def test_a_blurred_starry_sky_is_a_copy(seed):
    sky = pictures.starry_sky(seed)
    assert verify_pair(describe(sky), describe(cv2.GaussianBlur(sky, (0, 0), 2.5))).is_copy


@pytest.mark.parametrize("name", PHOTOS)
@pytest.mark.parametrize(
    "edit",
    [
        geometry.squeezed,
        geometry.stretched,
        geometry.slight_perspective,
        overlays.photographed_screen,
        overlays.stickers,
        overlays.pixelated_part,
        overlays.scribbles,
        tones.posterised,
        tones.portrait_blur,
    ],
)
def test_a_photo_edited_more_strongly_is_a_copy(name, edit):
    original = pictures.photo(name)
    edited = edit(original, np.random.default_rng(7))
    assert verify_pair(describe(original), describe(edited)).is_copy


@pytest.mark.parametrize("trap", [shots.bursts, shots.tripod_series, shots.memes])
def test_other_shots_and_other_words_are_no_copies(trap):
    photos = {name: pictures.photo(name) for name in PHOTOS}
    for members in trap(photos, np.random.default_rng(3)):
        first, second = map(describe, members[:2])
        assert not verify_pair(first, second).is_copy
