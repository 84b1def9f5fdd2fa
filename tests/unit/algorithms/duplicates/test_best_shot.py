"""The best shot of a burst, and what makes a burst."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from deployments.algorithms.duplicates.best_shot import (
    FaceLook,
    Shot,
    choose_shots,
    eyes_open,
    face_sharpness,
    is_burst,
)
from tests.support.builders import an_image

START = datetime(2026, 3, 1, tzinfo=UTC)


def at(*seconds: float) -> list[datetime | None]:
    return [START + timedelta(seconds=second) for second in seconds]


@pytest.mark.parametrize(
    ("times", "expected"),
    [(at(0, 9, 18), True), (at(18, 0, 9), True), (at(0, 11), False), (at(0, 1, 30), False), ([*at(0), None], False)],
)
def test_shots_are_a_burst_where_none_is_long_after_another(times: list[datetime | None], expected: bool) -> None:
    assert is_burst(times, 10) is expected


def test_a_shot_alone_is_no_burst() -> None:
    assert not is_burst(at(0), 10)
    assert not is_burst([], 10)


def test_open_eyes_count_before_sharp_faces_and_these_before_quality() -> None:
    shut = Shot("a", 1.0, [FaceLook(0.1, 0.9)])
    soft = Shot("b", 1.0, [FaceLook(1.0, 0.4)])
    good = Shot("c", 0.6, [FaceLook(1.0, 0.7)])
    assert choose_shots([shut, soft, good]) == (["c"], "sharpest faces")
    assert choose_shots([shut, good]) == (["c"], "eyes open")
    assert choose_shots([good, Shot("d", 0.9, good.faces)]) == (["d"], "best quality")


def test_a_face_that_a_shot_lacks_counts_as_shut() -> None:
    both = Shot("a", 0.5, [FaceLook(1.0, 0.6), FaceLook(1.0, 0.6)])
    one = Shot("b", 1.0, [FaceLook(1.0, 0.6)])
    assert choose_shots([one, both])[0] == ["a"]


def test_shots_that_nothing_tells_apart_are_all_the_best() -> None:
    assert choose_shots([Shot("b", 0.7), Shot("a", 0.7)]) == (["a", "b"], "as good as the others")


shots = st.lists(
    st.builds(
        Shot,
        st.uuids().map(str),
        st.floats(0, 1),
        st.lists(st.builds(FaceLook, st.floats(0, 1), st.floats(0, 1)), max_size=3).map(tuple),
    ),
    min_size=2,
    max_size=6,
)


@given(shots, st.randoms(use_true_random=False))
def test_the_best_shot_does_not_depend_on_the_order(found: list[Shot], shuffle: object) -> None:
    mixed = list(found)
    shuffle.shuffle(mixed)  # type: ignore[attr-defined]
    assert choose_shots(mixed) == choose_shots(found)


@given(shots)
def test_no_shot_beats_the_best_in_everything(found: list[Shot]) -> None:
    keys, _ = choose_shots(found)
    most = max(len(shot.faces) for shot in found)

    def merits(shot: Shot) -> tuple[float, float, float]:
        share = max(most, 1)
        return (
            sum(face.eyes for face in shot.faces) / share,
            sum(face.sharpness for face in shot.faces) / share,
            shot.quality,
        )

    best = [merits(shot) for shot in found if shot.key in keys]
    for other in found:
        assert not all(all(x > 1.06 * y + 1e-9 for x, y in zip(merits(other), one, strict=True)) for one in best)


def a_mesh(openness: float) -> np.ndarray:
    """Make a mesh whose eyes are 20 px wide and `openness` of that high."""
    mesh = np.zeros((468, 2), np.float32)
    for (upper, lower), (left, right), x in (((159, 145), (33, 133), 0), ((386, 374), (362, 263), 60)):
        mesh[left], mesh[right] = (x, 50), (x + 20, 50)
        mesh[upper], mesh[lower] = (x + 10, 50 - 10 * openness), (x + 10, 50 + 10 * openness)
    return mesh


def test_eyes_are_measured_by_their_lids() -> None:
    assert eyes_open(a_mesh(0.05)) == 0.0
    assert eyes_open(a_mesh(0.3)) == 1.0
    assert 0.3 < eyes_open(a_mesh(0.18)) < 0.7


def test_landmarks_that_tell_nothing_of_lids_are_taken_for_open_eyes() -> None:
    assert eyes_open(np.zeros((5, 2), np.float32)) == 1.0


def test_a_blurred_face_is_less_sharp_and_one_outside_of_the_image_not_at_all() -> None:
    image = an_image((300, 300), seed=4)
    box = np.array([40, 40, 240, 240], np.float32)
    assert face_sharpness(image, box) > face_sharpness(cv2.GaussianBlur(image, (0, 0), 6), box)
    assert face_sharpness(image, box + 400) == 0.0
