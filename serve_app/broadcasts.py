"""Calls to every replica of a deployment at once, for what only one of them knows.

Ray's `DeploymentHandle.broadcast` is alpha, and all that is used of it is here. It collects the answers of all replicas
or none: one that hangs, or whose `max_ongoing_requests` are all in use, would hold up the others' answers. So they are
taken one by one from where it collects them (`tests/cluster/test_diffusion.py` does so on a real Serve). Replicas that
are being shut down, and only end the calls that they have, are not asked.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from typing import Any

import structlog
from ray.serve.handle import DeploymentHandle

from deployments.errors import Unavailable
from deployments.kit.turns import acting_user
from serve_app.call_context import carried
from serve_app.remote_calls import Refusal

log = structlog.get_logger(__name__)


async def ask_all(handle: DeploymentHandle[Any], verb: str, *arguments: Any) -> AsyncGenerator[Any, None]:
    """Call a verb on each replica and yield the answers as they come; to close it cancels the calls that are left.

    Replicas that die, fail or refuse are passed over; where none answers, the error of the last one is raised. Raises
    `DeploymentUnavailableError` where there is none. Has no deadline of its own.
    """
    broadcast = handle.broadcast(verb, *arguments, user=acting_user(), context=carried())
    calls: list[Any] = await broadcast._fetch_replica_results_async()
    waits = [asyncio.ensure_future(call.get_async()) for call in calls]
    pending, failures = set(waits), list[BaseException]()
    try:
        while pending:
            done, pending = await asyncio.wait(pending, return_when=asyncio.FIRST_COMPLETED)
            for one in done:
                error = _error_of(one, verb)
                if error is None:
                    yield one.result()
                else:
                    log.info("a replica did not answer", verb=verb, error=type(error).__name__)
                    failures.append(error)
        if failures and len(failures) == len(waits):
            raise failures[-1]
    finally:
        for wait, call in zip(waits, calls, strict=True):
            if not wait.done():
                wait.cancel()
                call.cancel()  # Serve does not do it: calls that nobody waits for would fill the replica's queue
        await asyncio.gather(*waits, return_exceptions=True)


def _error_of(call: asyncio.Future[Any], verb: str) -> BaseException | None:
    """What a call that is done has ended with instead of an answer."""
    if call.cancelled():
        return Unavailable(f"{verb}: the call was cancelled.")
    if (error := call.exception()) is not None:
        return error
    answer = call.result()
    return answer.error if isinstance(answer, Refusal) else None
