"""Overlays on one of two copies."""

import numpy as np
import pytest

from bench.quality.copies import overlays, tones
from deployments.algorithms.duplicates.block_match import CommonFrame
from deployments.algorithms.duplicates.features import describe
from deployments.algorithms.duplicates.overlays import overlay_side
from deployments.algorithms.duplicates.verdict import verify_pair
from tests.support import duplicate_pictures as pictures

PHOTOS = ("astronaut", "coffee", "chelsea")


def verdict_of(name, edit, seed=0):
    original = pictures.photo(name)
    return verify_pair(describe(original), describe(edit(original, np.random.default_rng(seed))))


@pytest.mark.parametrize("name", PHOTOS)
@pytest.mark.parametrize("edit", [overlays.caption_across, overlays.scribbles], ids=lambda edit: edit.__name__)
def test_the_copy_that_was_written_on_is_named(name, edit):
    verdict = verdict_of(name, edit)
    assert verdict.is_copy
    assert verdict.overlay == "right"


@pytest.mark.parametrize("name", PHOTOS)
def test_the_copy_with_stickers_is_named(name):
    assert verdict_of(name, overlays.stickers, seed=2).overlay == "right"


def test_the_copy_that_was_written_on_is_named_in_either_order():
    original = pictures.photo("coffee")
    edit = overlays.caption_across(original, np.random.default_rng(0))
    assert verify_pair(describe(edit), describe(original)).overlay == "left"


@pytest.mark.parametrize("name", PHOTOS)
@pytest.mark.parametrize(
    "edit",
    [
        overlays.pixelated_part,
        overlays.framed,
        tones.portrait_blur,
        tones.overexposed,
        tones.darkened,
        tones.hdr,
    ],
    ids=lambda edit: edit.__name__,
)
def test_other_edits_name_neither(name, edit):
    assert verdict_of(name, edit).overlay is None


def test_equal_pictures_name_neither():
    original = describe(pictures.photo("astronaut"))
    assert verify_pair(original, original).overlay is None


def test_pictures_that_share_no_pixel_name_neither():
    levels = np.full((40, 40), 100, np.float32)
    assert overlay_side(CommonFrame(levels, levels, np.zeros_like(levels))) is None


def test_pictures_that_are_no_copies_name_neither():
    verdict = verify_pair(describe(pictures.photo("astronaut")), describe(pictures.photo("coffee")))
    assert not verdict.is_copy
    assert verdict.overlay is None
