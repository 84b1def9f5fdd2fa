"""What goes with work from process to process: for whom it is done, and the ids that its log lines and spans carry."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import structlog

from serve_app import tracing

_IDS = ("request_id", "job", "user")
"""Names of log lines' context that travel; the trace does as well."""


def carried() -> dict[str, str]:
    """What the running task takes along to another process."""
    bound = structlog.contextvars.get_contextvars()
    return {name: str(bound[name]) for name in _IDS if bound.get(name) is not None} | tracing.headers()


def bind(context: Mapping[str, str]) -> None:
    """Let the log lines of the running task name what came along. For tasks that do nothing else afterwards."""
    structlog.contextvars.bind_contextvars(**_ids(context))


@contextmanager
def bound(context: Mapping[str, str]) -> Iterator[None]:
    """Let the log lines of the block name what came along."""
    with structlog.contextvars.bound_contextvars(**_ids(context)):
        yield


def _ids(context: Mapping[str, str]) -> dict[str, str]:
    return {name: context[name] for name in _IDS if name in context}
