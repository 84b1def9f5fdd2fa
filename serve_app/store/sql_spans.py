"""A span for each query within a trace: its text without the values, since these are people's."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Engine, event

from serve_app import tracing

_LONGEST = 2000
"""Characters of a query's text that a span keeps: a bulk insert has a hundred thousand."""


def observe(engine: Engine) -> None:
    """Record the queries of the engine from now on."""
    event.listen(engine, "before_cursor_execute", _begin)
    event.listen(engine, "after_cursor_execute", _end)
    event.listen(engine, "handle_error", _fail)


def _begin(_connection: Any, _cursor: Any, statement: str, _parameters: Any, context: Any, _is_many: bool) -> None:
    attributes = {"db__system__name": "postgresql", "db__query__text": statement[:_LONGEST]}
    context.darkroom_span = tracing.begin(statement.split(None, 1)[0].upper(), "client", **attributes)


def _end(_connection: Any, _cursor: Any, _statement: str, _parameters: Any, context: Any, _is_many: bool) -> None:
    if context.darkroom_span is not None:
        context.darkroom_span.end()


def _fail(failure: Any) -> None:
    span = getattr(failure.execution_context, "darkroom_span", None)
    if span is not None:
        span.set_attribute("error.type", type(failure.original_exception).__name__)
        span.end()
