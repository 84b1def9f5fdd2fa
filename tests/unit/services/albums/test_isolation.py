"""Isolation of images that break the work on their batch."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deployments.errors import CapabilityFailed, DeadlineExceeded, NotFound, Overloaded, Unavailable, image_error
from serve_app.services.albums.isolation import image_failure, run_isolated


class Work:
    """Doubles numbers, breaks on negative ones, and counts its calls."""

    def __init__(self, error: Exception) -> None:
        self._error = error
        self.calls = 0

    async def __call__(self, numbers: Sequence[int]) -> list[int]:
        self.calls += 1
        if any(number < 0 for number in numbers):
            raise self._error
        return [2 * number for number in numbers]


@given(numbers=st.lists(st.integers(-3, 9)))
async def test_every_good_input_has_its_result_whatever_the_bad_ones_raise(numbers: list[int]) -> None:
    results = await run_isolated(numbers, Work(ValueError("bad")))
    assert len(results) == len(numbers)
    for number, result in zip(numbers, results, strict=True):
        assert isinstance(result, ValueError) if number < 0 else result == 2 * number


async def test_work_that_goes_well_is_done_in_one_call() -> None:
    work = Work(ValueError("bad"))
    assert await run_isolated([1, 2, 3], work) == [2, 4, 6]
    assert work.calls == 1


async def test_a_replica_that_breaks_on_an_input_is_asked_for_the_others() -> None:
    error = CapabilityFailed("find_faces failed.")
    assert await run_isolated([1, -1, 2], Work(error)) == [2, error, 4]


@pytest.mark.parametrize("error", [Unavailable("down"), Overloaded("full"), DeadlineExceeded("late")])
async def test_an_outage_is_no_inputs_fault(error: Exception) -> None:
    with pytest.raises(type(error)):
        await run_isolated([1, -1, 2], Work(error))


def test_an_unexpected_error_is_a_failed_analysis() -> None:
    failure = image_failure(ValueError("secret path"), "abc")
    assert failure.code == "analysis_failed"
    assert "secret" not in failure.message


def test_an_unusable_image_keeps_its_code() -> None:
    assert image_failure(image_error("corrupt", "damaged"), "abc").code == "corrupt"


def test_a_file_that_storage_has_lost_is_not_found() -> None:
    assert image_failure(NotFound("gone"), "abc").code == "not_found"


def test_an_outage_is_raised_again() -> None:
    with pytest.raises(Unavailable):
        image_failure(Unavailable("down"), "abc")
