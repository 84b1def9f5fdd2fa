"""Fallback over engines in order: a technical failure goes on to the next, a logical one stops."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TypeVar

from deployments.contracts.checks import Checkable
from deployments.errors import (
    DarkroomError,
    DeadlineExceeded,
    EnginesAway,
    InvalidRequest,
    Overloaded,
    ProviderTimeout,
    ProviderUnavailable,
    Unavailable,
)

T = TypeVar("T")
Note = Callable[[str, str], None]
"""Callback with an engine and its outcome: ok, unavailable, overloaded, deadline, rejected."""

Check = Callable[[str], Awaitable[None]]
"""Check whether anybody answers for an engine; raises `Unavailable` where nobody does."""

_CHECK_S = 10.0
_LATE = (ProviderTimeout, DeadlineExceeded)


@dataclass(frozen=True, slots=True)
class EngineFailure:
    """An engine's error, as the last answer lists it."""

    engine: str
    error: DarkroomError

    def view(self) -> dict[str, str]:
        return {"engine": self.engine, "type": f"/problems/{self.error.slug}", "detail": self.error.message}


def check_by(capabilities: Checkable, capability: str) -> Check:
    """Make the check of a capability's engines, of which `diffusers` is the diffusion engine's."""

    async def check(engine: str) -> None:
        try:
            async with asyncio.timeout(_CHECK_S):
                await capabilities.check("diffusion" if engine == "diffusers" else capability)
        except TimeoutError:
            raise Unavailable("Nobody answers just now.") from None

    return check


def choose_engines(configured: Sequence[str], asked: str | None) -> Sequence[str]:
    """Choose the engines to try: all that are configured, or the one asked for. Raises `InvalidRequest` when it is
    none of them."""
    if asked is None:
        return configured
    if asked not in configured:
        raise InvalidRequest(
            f"The engine '{asked}' is not configured here. There are: {', '.join(configured)}.",
            extra={"engines": list(configured)},
        )
    return (asked,)


async def first_success(
    engines: Sequence[str],
    attempt: Callable[[str], Awaitable[T]],
    *,
    deadline_s: float,
    each_s: float,
    note: Note = lambda engine, outcome: None,
    check: Check | None = None,
) -> tuple[str, T]:
    """Try engines until one succeeds. -> its name, its result.

    All of them together have `deadline_s`, each at most `each_s`. `check` tells an engine that is late from one that is
    not there.

    Raises an error that is not technical as it is. When all fail, the error of the only one; the first one's where none
    is transient; `EnginesAway` where one was away or full; `ProviderTimeout` where all were late; else
    `ProviderUnavailable`. `extra["engines"]` lists each
    engine's error.
    """
    end = asyncio.get_running_loop().time() + deadline_s
    failures: list[EngineFailure] = []
    for engine in engines:
        left_s = end - asyncio.get_running_loop().time()
        if left_s <= 0:
            failures.append(EngineFailure(engine, ProviderTimeout("The engines before it left no time.")))
            continue
        try:
            made = await _within(attempt(engine), min(each_s, left_s), check and partial(check, engine))
        except DarkroomError as error:
            note(engine, _outcome(error))
            if not error.is_technical:
                raise
            failures.append(EngineFailure(engine, error))
        else:
            note(engine, "ok")
            return engine, made
    raise _all_failed(failures)


async def _within(work: Awaitable[T], seconds: float, check: Callable[[], Awaitable[None]] | None) -> T:
    try:
        async with asyncio.timeout(seconds) as limit:
            return await work
    except TimeoutError:
        if not limit.expired():
            raise
        if check is not None:
            await check()
        raise ProviderTimeout(f"It took longer than {seconds:.3g} s.") from None


def _outcome(error: DarkroomError) -> str:
    if isinstance(error, _LATE):
        return "deadline"
    if isinstance(error, Overloaded):
        return "overloaded"
    return "unavailable" if error.is_technical else "rejected"


def _all_failed(failures: Sequence[EngineFailure]) -> DarkroomError:
    said = {"engines": [failure.view() for failure in failures]}
    if len(failures) == 1:
        [only] = failures
        return type(only.error)(only.error.message, extra={**only.error.extra, **said})
    told = " ".join(f"{failure.engine}: {failure.error.message}" for failure in failures)
    return _common_kind([failure.error for failure in failures])(f"None of the engines succeeded. {told}", extra=said)


def _common_kind(errors: Sequence[DarkroomError]) -> type[DarkroomError]:
    if not any(error.is_transient for error in errors):
        return type(errors[0])
    if any(error.is_outage for error in errors):
        return EnginesAway
    return ProviderTimeout if all(isinstance(error, _LATE) for error in errors) else ProviderUnavailable
