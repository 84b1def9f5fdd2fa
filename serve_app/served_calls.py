"""What a capability replica did: a log line, metrics and a span for each call that it served."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import structlog

from deployments.contracts.arrays import VIEWS
from deployments.errors import DarkroomError
from deployments.kit import batch_sizes
from serve_app import tracing
from serve_app.telemetry import Metrics

log = structlog.get_logger("darkroom.capability")

_QUIET = frozenset({"check", "peek"})
"""Verbs of health checks and previews, which come every few seconds and are no work for anybody."""
_BY_ARGUMENT = {
    "tag_images": 0,
    "search_images": 1,
    "find_faces": 0,
    "find_candidates": 0,
    "train_index": 0,
    "extend_index": 1,
    "ask_index": 1,
    "compare_vectors": 0,
    "describe_images": 0,
    "read_texts": 0,
    "compare_images": 0,
}
"""Verb -> argument that has an entry for each picture."""
_ONE = frozenset(
    {
        *("stylize", "write_prompt", "segment_portrait", "make_avatar"),
        *("decode_latents", "make_hint", "upscale", "restore_faces", "generate"),
    }
)
"""Verbs about one picture."""


def pictures_of(verb: str, arguments: Sequence[Any]) -> int:
    """Count the pictures that a call is about; 0 where it is about faces, texts or models."""
    if verb == "embed_images" and arguments:  # a few views of each picture, one behind the other
        return -(-len(arguments[0]) // len(VIEWS))
    place = _BY_ARGUMENT.get(verb)
    if place is not None and place < len(arguments):
        return len(arguments[place])
    return int(verb in _ONE)


class ServedCalls:
    """Watches the calls of one replica."""

    def __init__(self, metrics: Metrics, deployment: str) -> None:
        self._metrics = metrics
        self._deployment = deployment
        batch_sizes.heard_by(lambda verb, calls: metrics.served_together.labels(verb).observe(calls))

    @contextmanager
    def watched(self, verb: str, arguments: Sequence[Any], context: Mapping[str, str]) -> Iterator[None]:
        """Count, time, trace and log the block, in which `verb` is served; `_QUIET` ones are logged at debug level."""
        started, outcome, pictures = time.monotonic(), "failed", pictures_of(verb, arguments)
        name = f"{self._deployment}.{verb}"
        with tracing.span(name, "server", parent=context, darkroom__pictures=pictures or None):
            try:
                yield
                outcome = "ok"
            except DarkroomError as error:
                outcome = "failed" if error.is_fault else "refused"
                raise
            except (asyncio.CancelledError, GeneratorExit):
                outcome = "cancelled"
                raise
            finally:
                self._record(verb, outcome, pictures, time.monotonic() - started)

    def _record(self, verb: str, outcome: str, pictures: int, seconds: float) -> None:
        self._metrics.served_calls.labels(verb, outcome).inc()
        self._metrics.served_seconds.labels(verb).observe(seconds)
        if outcome == "ok":
            self._metrics.served_pictures.labels(verb).inc(pictures)
        level = logging.WARNING if outcome == "failed" else logging.DEBUG if verb in _QUIET else logging.INFO
        log.log(
            level,
            "call served",
            deployment=self._deployment,
            verb=verb,
            outcome=outcome,
            pictures=pictures,
            milliseconds=round(1000 * seconds),
        )
