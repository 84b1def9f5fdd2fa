"""ControlNet maps that need no network."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from deployments.algorithms.a1111 import control_maps
from deployments.algorithms.a1111.resizing import resize_map
from tests.support.builders import a_flat_image, an_image


@pytest.mark.parametrize(("size", "short_side"), [((100, 70), 64), ((640, 480), 512), ((300, 1000), 128)])
def test_preprocessors_see_multiples_of_64_padded_by_their_edge(size: tuple[int, int], short_side: int) -> None:
    seen: list[np.ndarray] = []

    def draw(work: np.ndarray) -> np.ndarray:
        seen.append(work)
        return work

    drawn = control_maps.at_resolution(an_image(size), short_side, draw)
    assert drawn.shape == (size[1], size[0], 3)
    height, width = seen[0].shape[:2]
    assert (height % 64, width % 64) == (0, 0)
    assert short_side <= min(height, width) < short_side + 64
    scale = short_side / min(size)
    used = round(size[0] * scale)
    np.testing.assert_array_equal(seen[0][:, used:], np.repeat(seen[0][:, used - 1 : used], width - used, axis=1))


def test_a_map_of_few_colours_keeps_them() -> None:
    drawn = np.zeros((20, 30, 3), np.uint8)
    drawn[:10], drawn[10:, :15] = (255, 0, 0), (0, 180, 10)
    colours = {tuple(colour) for colour in resize_map(drawn, (77, 51)).reshape(-1, 3)}
    assert colours == {(255, 0, 0), (0, 180, 10), (0, 0, 0)}


@pytest.mark.parametrize("size", [(64, 64), (300, 300)])
def test_a_map_of_two_values_keeps_them(size: tuple[int, int]) -> None:
    drawn = np.zeros((128, 128, 3), np.uint8)
    cv2.circle(drawn, (64, 64), 40, (255, 255, 255), -1)
    assert set(np.unique(resize_map(drawn, size))) == {0, 255}


def test_lines_of_one_pixel_stay_that_thin_when_a_map_grows() -> None:
    edges = control_maps.draw_canny(an_image((96, 96)), 100, 200)
    grown = resize_map(edges, (256, 256))
    assert grown.any()
    assert not cv2.erode(grown[..., 0], np.ones((3, 3), np.uint8)).any()


@settings(max_examples=30)
@given(st.integers(1, 90), st.integers(1, 90), st.integers(0, 5))
def test_every_map_takes_every_size(width: int, height: int, seed: int) -> None:
    drawn = an_image((40, 30), seed) if seed else control_maps.draw_canny(an_image((40, 30)), 100, 200)
    resized = resize_map(drawn, (width, height))
    assert (resized.shape, resized.dtype) == ((height, width, 3), np.uint8)


def test_canny_sees_the_edge_of_a_square() -> None:
    image = a_flat_image((64, 64), (0, 0, 0))
    image[16:48, 16:48] = 255
    edges = control_maps.draw_canny(image, 100, 200)
    assert edges[32, 14:18].any()
    assert not edges[28:36, 28:36].any()


def test_a_scribble_is_where_it_is_darker_than_around() -> None:
    image = a_flat_image((64, 64), (255, 255, 255))
    image[30:34] = 0
    scribble = control_maps.draw_xdog(image, 32)
    assert scribble[32].all()
    assert not scribble[8].any()


def a_face(width: float, at: tuple[float, float]) -> np.ndarray:
    """468 points on a circle: where each is does not matter to what is drawn."""
    angles = np.linspace(0, 2 * np.pi, 468, endpoint=False)
    return (np.stack([np.cos(angles), np.sin(angles)], axis=1) * width / 2 + at).astype(np.float32)


def test_a_face_is_drawn_in_the_colours_of_the_training_pictures() -> None:
    drawn = control_maps.draw_faces((200, 200), [a_face(120, (100, 100))])
    colours = {tuple(int(part) for part in colour) for colour in np.unique(drawn.reshape(-1, 3), axis=0)}
    assert {(0, 0, 0), (10, 200, 10), (10, 180, 10), (10, 200, 180), (180, 200, 10)} <= colours
    assert {(10, 220, 180), (180, 220, 10)} <= colours


def test_small_faces_and_faces_outside_are_no_trouble() -> None:
    assert not control_maps.draw_faces((200, 200), [a_face(50, (100, 100))]).any()
    assert control_maps.draw_faces((200, 200), [a_face(120, (0, 0))]).any()
    assert not control_maps.draw_faces((200, 200), [a_face(120, (-500, 900))]).any()
