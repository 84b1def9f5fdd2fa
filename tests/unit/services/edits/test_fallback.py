"""Which failure goes on to the next engine, and what is said when none is left."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from deployments.errors import (
    DeadlineExceeded,
    InvalidRequest,
    NotDeployed,
    Overloaded,
    ProviderRejected,
    ProviderTimeout,
    ProviderUnavailable,
    Unavailable,
    WeightsMissing,
)
from serve_app.services.edits.fallback import check_by, choose_engines, first_success


def scripted(**outcomes: BaseException | str | None) -> Callable[[str], Awaitable[str]]:
    """Engines by name: an exception to raise, a text to give, None to hang."""

    async def attempt(engine: str) -> str:
        outcome = outcomes[engine]
        if outcome is None:
            await asyncio.Event().wait()
        if isinstance(outcome, BaseException):
            raise outcome
        return str(outcome)

    return attempt


async def test_the_first_engine_that_succeeds_is_named_and_no_later_one_is_asked() -> None:
    told: list[tuple[str, str]] = []
    attempt = scripted(a=Unavailable("x"), b="picture")  # c is not even known
    made = await first_success(
        ["a", "b", "c"], attempt, deadline_s=10, each_s=10, note=lambda *outcome: told.append(outcome)
    )
    assert made == ("b", "picture")
    assert told == [("a", "unavailable"), ("b", "ok")]


async def test_a_logical_failure_is_raised_as_it_is() -> None:
    error = ProviderRejected("no")
    with pytest.raises(ProviderRejected) as raised:
        await first_success(["a", "b"], scripted(a=error, b="picture"), deadline_s=10, each_s=10)
    assert raised.value is error


async def test_the_only_engine_fails_with_its_own_error() -> None:
    with pytest.raises(Overloaded) as raised:
        await first_success(["a"], scripted(a=Overloaded("full", extra={"retry_after_s": 9})), deadline_s=10, each_s=10)
    assert raised.value.retry_after_s == 9
    assert raised.value.extra["engines"] == [{"engine": "a", "type": "/problems/overloaded", "detail": "full"}]


async def test_engines_share_one_deadline() -> None:
    with pytest.raises(ProviderTimeout) as raised:
        await first_success(["a", "b", "c"], scripted(a=None, b="late", c="late"), deadline_s=0.01, each_s=10)
    said = [one["detail"] for one in raised.value.extra["engines"]]
    assert said[1:] == ["The engines before it left no time."] * 2


class Answering:
    """Capabilities that answer checks, or raise."""

    def __init__(self, error: Exception | None = None) -> None:
        self.error = error
        self.asked: list[str] = []

    async def check(self, capability: str) -> None:
        self.asked.append(capability)
        if self.error:
            raise self.error


async def test_a_late_engine_that_answers_checks_was_too_slow() -> None:
    there = Answering()
    with pytest.raises(ProviderTimeout) as raised:
        await first_success(
            ["a", "diffusers"], scripted(a=None, diffusers=None), deadline_s=5, each_s=0.01, check=check_by(there, "x")
        )
    assert there.asked == ["x", "diffusion"]
    assert not raised.value.is_outage


async def test_a_late_engine_that_answers_no_check_is_away() -> None:
    away = Answering(Unavailable("no replica"))
    with pytest.raises(Unavailable, match="no replica") as raised:
        await first_success(["a"], scripted(a=None), deadline_s=5, each_s=0.01, check=check_by(away, "x"))
    assert raised.value.is_outage


async def test_failures_of_several_kinds_are_unavailability() -> None:
    attempt = scripted(a=DeadlineExceeded("late"), b=ProviderUnavailable("full"))
    with pytest.raises(ProviderUnavailable) as raised:
        await first_success(["a", "b"], attempt, deadline_s=10, each_s=10)
    assert type(raised.value) is ProviderUnavailable
    assert raised.value.message == "None of the engines succeeded. a: late b: full"


async def test_engines_of_which_one_was_away_are_waited_for() -> None:
    attempt = scripted(a=ProviderUnavailable("quota"), b=Overloaded("full"))
    with pytest.raises(ProviderUnavailable) as raised:
        await first_success(["a", "b"], attempt, deadline_s=10, each_s=10)
    assert raised.value.is_outage


async def test_engines_without_weights_are_not_tried_again() -> None:
    attempt = scripted(a=WeightsMissing("no file"), b=NotDeployed("no engine"))
    with pytest.raises(WeightsMissing) as raised:
        await first_success(["a", "b"], attempt, deadline_s=10, each_s=10)
    assert not raised.value.is_transient
    assert [one["engine"] for one in raised.value.extra["engines"]] == ["a", "b"]


async def test_one_engine_that_may_come_back_makes_the_failure_transient() -> None:
    attempt = scripted(a=WeightsMissing("no file"), b=Overloaded("full"))
    with pytest.raises(ProviderUnavailable) as raised:
        await first_success(["a", "b"], attempt, deadline_s=10, each_s=10)
    assert raised.value.is_transient


async def test_a_timeout_inside_an_engine_is_a_bug_not_our_deadline() -> None:
    with pytest.raises(TimeoutError):
        await first_success(["a", "b"], scripted(a=TimeoutError(), b="x"), deadline_s=10, each_s=10)


async def test_cancellation_is_no_failure_of_an_engine() -> None:
    work = asyncio.ensure_future(first_success(["a", "b"], scripted(a=None, b="x"), deadline_s=10, each_s=10))
    await asyncio.sleep(0)
    work.cancel()
    with pytest.raises(asyncio.CancelledError):
        await work


def test_all_engines_are_tried_unless_one_is_named() -> None:
    assert choose_engines(("a", "b"), None) == ("a", "b")
    assert choose_engines(("a", "b"), "b") == ("b",)


def test_an_engine_that_is_not_configured_is_refused_with_those_that_are() -> None:
    with pytest.raises(InvalidRequest) as raised:
        choose_engines(("a", "b"), "c")
    assert raised.value.extra == {"engines": ["a", "b"]}
