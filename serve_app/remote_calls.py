"""What goes with calls over handles: the user they are made for, the ids of what they are part of, and refusals, which
come back as values.

Serve writes a traceback into its log for whatever a replica raises, and that an unknown word finds nothing, or that an
image shows no face, is an answer and no fault of the replica.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import aclosing
from dataclasses import dataclass
from typing import Any, TypeVar

from deployments.errors import DarkroomError
from deployments.kit.turns import acting_for
from serve_app import call_context
from serve_app.served_calls import ServedCalls
from serve_app.telemetry import Metrics

T = TypeVar("T")
_LIFE_CYCLE = frozenset({"check_health", "aclose"})


@dataclass(frozen=True, slots=True)
class Refusal:
    """What a capability answers instead of raising its error."""

    error: DarkroomError


def remotely_callable(cls: type[T], watch: Callable[[], ServedCalls] | None = None) -> type[T]:
    """Make a deployment class whose public methods return a `Refusal` where those of `cls` raise an error under 500.

    A stream ends with it. Health checks raise as before. The methods take two more arguments: `user`, whose turns the
    call takes (`kit.turns`), and `context`, the ids that its log lines and spans carry (`call_context`).
    `watch`: called on the replica before `cls` is opened; what it returns sees each call.
    """
    wrapped: dict[str, Any] = {"__init__": _watching(cls.__init__, watch or functools.partial(_unread, cls.__name__))}
    for name, method in inspect.getmembers(cls, inspect.isfunction):
        if name.startswith("_") or name in _LIFE_CYCLE:
            continue
        if inspect.iscoroutinefunction(method):
            wrapped[name] = _returning(method)
        elif inspect.isasyncgenfunction(method):
            wrapped[name] = _yielding(method)
    names = {"__module__": cls.__module__, "__qualname__": cls.__qualname__, "__doc__": cls.__doc__}
    return type(cls.__name__, (cls,), wrapped | names)


def opened(answer: Any) -> Any:
    """The answer of a replica. Raises the error of a refusal."""
    if isinstance(answer, Refusal):
        raise answer.error
    return answer


def _unread(name: str) -> ServedCalls:
    """Watch calls for a log only: outside of a replica nobody reads the metrics."""
    return ServedCalls(Metrics("replica"), name)


def _watching(init: Callable[..., None], watch: Callable[[], ServedCalls]) -> Callable[..., None]:
    @functools.wraps(init)
    def opened_and_watched(self: Any, *arguments: Any, **options: Any) -> None:
        self._served_calls = watch()
        init(self, *arguments, **options)

    return opened_and_watched


def _returning(method: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(method)
    async def call(
        self: Any, *arguments: Any, user: str | None = None, context: Mapping[str, str] | None = None, **options: Any
    ) -> Any:
        try:
            with (
                acting_for(user),
                call_context.bound(context or {}),
                self._served_calls.watched(method.__name__, arguments, context or {}),
            ):
                return await method(self, *arguments, **options)
        except DarkroomError as error:
            return _refusal(error)

    return call


def _yielding(method: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(method)
    async def stream(
        self: Any, *arguments: Any, context: Mapping[str, str] | None = None, **options: Any
    ) -> AsyncGenerator[Any, None]:
        call_context.bind(context or {})  # for good: the task serves this call alone, and may end in another context
        try:
            with self._served_calls.watched(method.__name__, arguments, context or {}):
                async with aclosing(method(self, *arguments, **options)) as events:
                    async for event in events:
                        yield event
        except DarkroomError as error:
            yield _refusal(error)

    return stream


def _refusal(error: DarkroomError) -> Refusal:
    if error.is_fault:
        raise error
    return Refusal(error)
