"""Replicas in this process, called over handles and pickled as Serve's are."""

from __future__ import annotations

import asyncio
from collections.abc import Generator
from contextvars import Context
from typing import Any

from ray import cloudpickle

from serve_app.remote_calls import remotely_callable
from serve_app.served_calls import ServedCalls
from serve_app.telemetry import Metrics


def watch() -> ServedCalls:
    return ServedCalls(Metrics("replica"), "Bundle")


class LocalHandle:
    """Handle of a replica of `cls`. Nothing of the caller's context reaches it but what the call carries."""

    def __init__(self, cls: type[Any]) -> None:
        self.replica = cloudpickle.loads(cloudpickle.dumps(remotely_callable(cls, watch)))()

    def __getattr__(self, verb: str) -> LocalVerb:
        return LocalVerb(getattr(self.replica, verb))


class LocalVerb:
    """A method of the handle."""

    def __init__(self, method: Any) -> None:
        self._method = method

    def remote(self, *arguments: Any, **options: Any) -> LocalResponse:
        return LocalResponse(self._method(*arguments, **options))


class LocalResponse:
    """Awaited and cancelled as Serve's are."""

    def __init__(self, call: Any) -> None:
        self._task = asyncio.create_task(call, context=Context())

    def __await__(self) -> Generator[Any, None, Any]:
        return self._task.__await__()

    def cancel(self) -> None:
        self._task.cancel()
