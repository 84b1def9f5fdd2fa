"""The guess from edges: pages at any slant look like writing, and photographs mostly do not."""

from __future__ import annotations

import numpy as np
import pytest

from configs.settings import Texts
from deployments.algorithms.texts.likelihood import measure_writing
from tests.support.builders import a_flat_image, a_photo
from tests.support.pages import a_page

LEAST = Texts().min_writing
LINES = [["Departures from the main hall"], ["Berlin 10:40, Prague 11:15, Vienna"], ["Please keep your ticket ready"]]


@pytest.mark.parametrize("degrees", [0, 3, 12, 30, 90, 180])
def test_a_page_looks_like_writing_whichever_way_it_is_turned(degrees: float) -> None:
    assert measure_writing(a_page(LINES, degrees=degrees)) >= 2 * LEAST


def test_a_page_as_large_as_cameras_make_them_does_too() -> None:
    page = a_page(LINES, px=96, size=(2400, 900))
    assert measure_writing(page) >= 2 * LEAST


@pytest.mark.parametrize("name", ["chelsea", "coffee", "rocket", "astronaut"])
def test_a_photograph_without_text_does_not(name: str) -> None:
    assert measure_writing(a_photo(name)) < LEAST


@pytest.mark.parametrize("size", [(1, 1), (1, 500), (500, 1), (64, 64)])
def test_flat_pictures_of_any_size_have_none(size: tuple[int, int]) -> None:
    assert measure_writing(a_flat_image(size)) == 0.0


def test_it_is_a_share_of_the_picture() -> None:
    page = a_page(LINES)
    wide = np.pad(page, ((0, 0), (0, page.shape[1]), (0, 0)), mode="edge")
    assert measure_writing(wide) == pytest.approx(measure_writing(page) / 2, rel=0.35)
