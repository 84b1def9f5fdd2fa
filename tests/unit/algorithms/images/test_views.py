"""Views of an image, and the detection of flat borders."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from deployments.algorithms.images.borders import content_box
from deployments.algorithms.images.views import distinct_views, make_views
from deployments.contracts.arrays import VIEWS
from tests.support import duplicate_pictures as pictures


def view(image, name, size=64):
    return make_views(image, size)[VIEWS.index(name)]


@pytest.mark.parametrize("shape", [(300, 500), (500, 300), (1, 1), (3, 900), (20, 20)])
def test_every_image_gives_all_views_at_the_asked_size(shape):
    noise = np.random.default_rng(0).integers(0, 255, (*shape, 3), dtype=np.uint8)
    views = make_views(noise, 64)
    assert views.shape == (len(VIEWS), 64, 64, 3)
    assert views.dtype == np.uint8


def test_turned_views_are_the_whole_turned_counter_clockwise():
    image = pictures.photo("coffee")
    whole = view(image, "whole")
    for turns, name in enumerate(("quarter", "half", "three_quarters"), start=1):
        assert (view(image, name) == np.rot90(whole, turns)).all()


def test_the_quarter_view_of_an_image_is_the_whole_view_of_the_turned_image():
    image = pictures.photo("astronaut")
    assert np.abs(view(image, "quarter").astype(int) - view(np.rot90(image), "whole")).mean() < 1


def test_the_centre_view_shows_the_middle_70_percent():
    image = np.zeros((200, 300, 3), np.uint8)
    image[30:170, 45:255] = 200
    assert (view(image, "centre") == 200).all()


def test_the_crop_view_is_square_in_the_image():
    image = np.zeros((256, 512, 3), np.uint8)
    image[16:240, 144:368] = 200
    assert (view(image, "crop") == 200).all()


def test_without_a_flat_border_the_trimmed_view_is_the_whole():
    image = pictures.photo("coffee")
    assert (view(image, "trimmed") == view(image, "whole")).all()


def test_with_a_flat_border_the_trimmed_view_shows_the_image_inside():
    image = pictures.photo("coffee")
    inside = view(pictures.bordered(image), "trimmed")
    assert np.abs(inside.astype(int) - view(image, "whole")).mean() < 6


def test_the_box_of_a_framed_image_is_found_to_a_few_pixels():
    image = pictures.photo("astronaut")
    height, width = image.shape[:2]
    pad = width // 12
    box = content_box(pictures.bordered(image))
    assert box is not None
    assert np.abs(np.array(box) - (pad, pad, pad + width, pad + height)).max() <= 4


@pytest.mark.parametrize(
    "image",
    [
        pictures.photo("coffee"),
        np.full((100, 150, 3), 255, np.uint8),
        pictures.text_page(0),
        pictures.form(0, 1),
        pictures.bordered(pictures.form(0, 1)),
    ],
    ids=["photo", "blank", "text page", "form", "form on white"],
)
def test_an_image_without_a_frame_has_no_box(image):
    assert content_box(image) is None


def test_a_round_thing_on_white_is_no_framed_image():
    y, x = np.mgrid[:300, :300]
    image = np.full((300, 300, 3), 255, np.uint8)
    image[np.hypot(x - 150, y - 150) < 100] = (200, 30, 30)
    assert content_box(image) is None


@given(st.lists(st.integers(0, 3), max_size=9))
def test_distinct_views_are_each_there_once_and_give_all_views_back(levels):
    views = np.array([np.full((4, 4, 3), level, np.uint8) for level in levels], np.uint8).reshape(-1, 4, 4, 3)
    kept, places = distinct_views(views)
    assert len(kept) == len(set(levels))
    assert (views[kept][places] == views).all()


def test_views_that_differ_in_one_pixel_are_distinct():
    views = np.zeros((2, 8, 8, 3), np.uint8)
    views[1, 7, 7, 2] = 1
    assert len(distinct_views(views)[0]) == 2


def test_views_of_one_checksum_are_told_apart_by_their_pixels(monkeypatch):
    monkeypatch.setattr("zlib.crc32", lambda _: 0)
    views = np.array([np.full((2, 2, 3), level, np.uint8) for level in (1, 2, 2, 1)])
    kept, places = distinct_views(views)
    assert (views[kept][places] == views).all()
