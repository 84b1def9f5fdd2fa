"""Progress bars of jobs: never back, and parts that add up to the whole."""

from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from serve_app.services.jobs.progress import Progress

shares = st.lists(st.floats(-0.5, 1.5), max_size=20)


@given(shares)
def test_progress_never_goes_back_and_stays_between_nothing_and_all(reported: list[float]) -> None:
    progress, before = Progress(), 0.0
    for share in reported:
        progress.report(share)
        assert before <= progress.share <= 1
        before = progress.share


@given(shares, st.floats(0, 1), st.floats(0, 1))
def test_a_part_moves_the_whole_between_its_ends(reported: list[float], one: float, other: float) -> None:
    begin, end = sorted((one, other))
    whole = Progress()
    whole.report(begin)
    part = whole.part(begin, end)
    for share in reported:
        part.report(share)
        assert begin <= whole.share <= end or whole.share == pytest.approx(end)
    part.report(1.0)
    assert whole.share == pytest.approx(end)


def test_the_time_left_is_unknown_at_the_beginning_and_nothing_at_the_end() -> None:
    progress = Progress(started=time.monotonic() - 10)
    assert progress.eta_s() is None
    progress.report(0.5)
    assert progress.eta_s() == pytest.approx(10, rel=0.2)
    progress.report(1.0)
    assert progress.eta_s() == 0


def test_the_time_left_goes_by_what_this_attempt_has_done() -> None:
    progress = Progress(0.5, begun=0.5, started=time.monotonic() - 10)
    assert progress.eta_s() is None
    progress.report(0.75)
    assert progress.eta_s() == pytest.approx(10, rel=0.1)
