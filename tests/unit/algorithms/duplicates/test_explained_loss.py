"""Losses of structure that an edit explains."""

import cv2
import numpy as np
import pytest

from deployments.algorithms.duplicates.block_match import CommonFrame, block_agreement, lost_blocks
from deployments.algorithms.duplicates.explained_loss import is_explained
from tests.support import duplicate_pictures as pictures


@pytest.fixture
def gray():
    return cv2.cvtColor(pictures.resized(pictures.photo("astronaut"), 384), cv2.COLOR_RGB2GRAY).astype(np.float32)


def judged(left, right):
    frame = CommonFrame(left, right, np.ones(left.shape, np.float32))
    blocks = lost_blocks(frame, block_px=15, lost_share=0.5, hidden_by=1.5)
    assert blocks.shares.both > 0.005
    other = CommonFrame(right, left, frame.valid)
    return tuple(
        is_explained(one, lost_blocks(one, 15, 0.5, hidden_by=1.5), block_agreement(one)) for one in (frame, other)
    )


def sticker(gray, at):
    result = gray.copy()
    cv2.circle(result, at, 38, 200, -1)
    cv2.circle(result, at, 38, 20, 3)
    cv2.line(result, (at[0] - 15, at[1]), (at[0] + 15, at[1] + 10), 20, 3)
    return result


def test_a_sticker_explains_what_both_lost_whichever_side_has_it(gray):
    assert judged(gray, sticker(gray, (190, 260))) == (True, True)


def test_stickers_on_both_sides_explain_nothing(gray):
    assert judged(sticker(gray, (90, 260)), sticker(gray, (250, 120))) == (False, False)


def test_a_pixelated_part_explains_what_both_lost(gray):
    part = gray[180:290, 130:240]
    result = gray.copy()
    small = cv2.resize(part, (10, 10), interpolation=cv2.INTER_AREA)
    result[180:290, 130:240] = cv2.resize(small, (110, 110), interpolation=cv2.INTER_NEAREST)
    assert judged(gray, result) == (True, True)


def test_another_thing_in_its_place_is_not_explained(gray):
    result = gray.copy()
    result[180:290, 130:240] = gray[20:130, 100:210]
    assert judged(gray, result) == (False, False)
