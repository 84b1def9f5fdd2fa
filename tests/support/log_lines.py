"""Log lines as the machines that read them have them."""

from __future__ import annotations

import io
import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stderr
from typing import Any, Literal

import structlog

from configs.settings import Settings
from serve_app.telemetry import configure_logging

Read = Callable[[], list[dict[str, Any]]]


@contextmanager
def logged(level: Literal["DEBUG", "INFO"] = "INFO") -> Iterator[Read]:
    """Log as JSON within the block. -> reads the lines since the last reading"""
    stream = io.StringIO()
    with redirect_stderr(stream):
        configure_logging(Settings(log_format="json", log_level=level))

    def read() -> list[dict[str, Any]]:
        lines = stream.getvalue().splitlines()
        stream.seek(0)
        stream.truncate()
        return [json.loads(line) for line in lines]

    try:
        yield read
    finally:
        structlog.reset_defaults()
