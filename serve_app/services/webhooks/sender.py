"""Sending of events to webhooks: at least once each, in order, with growing pauses where it fails.

Every worker does it; a claim in the database keeps two of them from telling one webhook at once.
"""

from __future__ import annotations

import asyncio
import json
import ssl
import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import structlog

from configs.settings import Settings
from deployments.errors import ImageError, Unavailable
from serve_app.services.events import Change, describe_events, last_of_each
from serve_app.services.guarded_http import GuardedHttp
from serve_app.services.links import ServerLinks
from serve_app.services.webhooks.signatures import sign
from serve_app.store.queue.claims import backoff_s
from serve_app.store.queue.events import EVERYTHING, JobEvents, Listener
from serve_app.store.repositories import events, webhooks
from serve_app.store.repositories.events import Event, Position
from serve_app.store.repositories.webhooks import StoredWebhook
from serve_app.store.session import Database

log = structlog.get_logger(__name__)

_AT_ONCE = 8
_LEASE_S = 120.0
"""Seconds after which a claim lapses: longer than a request may take."""
_PAUSE_S = 1.0
"""Seconds between two messages to one webhook, which else would hear of each hundredth of a job."""
_SOON_S = 0.2
"""Seconds until events are looked for again that a transaction which still runs holds back."""
_LONGEST_PAUSE_S = 3600.0
_GONE = 410


@dataclass(frozen=True, slots=True)
class _News:
    """What a webhook has not been told yet."""

    end: Position
    changes: Sequence[tuple[Event, Change]]
    is_reset: bool
    """Whether events were removed before they were told."""
    is_held_back: bool
    """Whether there is nothing yet but of a transaction that still runs."""


class WebhookSender:
    """Loop that tells webhooks what is new."""

    def __init__(self, database: Database, notices: JobEvents, http: GuardedHttp, settings: Settings) -> None:
        self._database = database
        self._notices = notices
        self._http = http
        self._links = ServerLinks(settings.public_url or "")
        self._give_up_s = settings.events.keep_s
        self._timeout_s = min(settings.fetch.timeout_s, _LEASE_S / 2)
        self._sending: set[asyncio.Task[None]] = set()

    async def run(self) -> None:
        """Send until cancelled; rides out a database that is away."""
        slots = asyncio.Semaphore(_AT_ONCE)
        hooked: set[str] = set()
        is_due, due_s = True, None
        try:
            with self._notices.everyone() as listener:
                while True:
                    noted = listener.take()
                    if is_due or listener.is_behind or noted & (hooked | {webhooks.CHANGED, EVERYTHING}):
                        try:
                            hooked, due_s = await self._send_all(listener, slots)
                        except Unavailable:
                            due_s = _PAUSE_S
                    is_due = not await listener.wait(due_s)
        finally:
            for task in self._sending:
                task.cancel()
            await asyncio.gather(*self._sending, return_exceptions=True)

    async def _send_all(self, listener: Listener, slots: asyncio.Semaphore) -> tuple[set[str], float | None]:
        """Begin to tell all that are due. -> users with webhooks, seconds until the next one is due"""
        while True:
            await slots.acquire()
            hook = None
            try:
                async with self._database.transaction() as session:
                    hook = await webhooks.claim_due(session, _LEASE_S)
                    if hook is None:
                        hooked = await webhooks.load_hooked_users(session)
                        return hooked, await webhooks.seconds_until_due(session)
            finally:
                if hook is None:
                    slots.release()
            task = asyncio.create_task(self._tell(hook), name=hook.id)
            self._sending.add(task)
            task.add_done_callback(self._sending.discard)
            task.add_done_callback(lambda _: slots.release())
            task.add_done_callback(lambda _: listener.hear(webhooks.CHANGED))  # it may be due again

    async def _tell(self, hook: StoredWebhook) -> None:
        """Tell a claimed webhook what is new, and record how that ended."""
        try:
            news = await self._read(hook)
            told = news.is_reset or bool(news.changes)
            failure = await self._post(hook, news) if told else None
            async with self._database.transaction() as session:
                if not told:
                    pause_s = _SOON_S if news.is_held_back else 0.0
                    await webhooks.record_wait(session, hook, news.end, pause_s)
                elif failure is None:
                    await webhooks.record_success(session, hook, news.end, _PAUSE_S)
                else:
                    pause_s = backoff_s(hook.failures + 1, cap_s=_LONGEST_PAUSE_S)
                    is_last = failure.is_final or self._has_failed_for_long(hook)
                    await webhooks.record_failure(session, hook, failure.reason, pause_s, is_last=is_last)
                    log.warning("webhook failed", webhook=hook.id, reason=failure.reason, given_up=is_last)
        except Unavailable as error:  # the claim lapses, and it is told again
            log.warning("webhook was not recorded", webhook=hook.id, reason=error.message)

    async def _read(self, hook: StoredWebhook) -> _News:
        async with self._database.transaction() as session:
            now = await events.load_now(session)
            if hook.transaction > now.transaction or await events.has_missed(
                session, hook.user_id, hook.position, hook.kinds
            ):
                return _News(now, (), is_reset=True, is_held_back=False)
            page = await events.load_after(session, hook.user_id, hook.position, kinds=hook.kinds)
            if not page.events:
                return _News(hook.position, (), is_reset=False, is_held_back=not page.is_settled)
            changes = await describe_events(session, hook.user_id, last_of_each(page))
        return _News(page.events[-1].position, changes, is_reset=False, is_held_back=False)

    async def _post(self, hook: StoredWebhook, news: _News) -> _Failure | None:
        """Send the message. -> why that failed"""
        body = json.dumps(self._message(hook, news), ensure_ascii=False).encode()
        headers = sign(hook.secret, f"{hook.id}.{news.end}", int(time.time()), body)
        headers |= {"Content-Type": "application/json", "User-Agent": "darkroom", "Accept-Encoding": "identity"}
        try:
            async with asyncio.timeout(self._timeout_s):
                target = self._http.guard.check_url(hook.url)
                response = await self._http.send("POST", target, headers, body)
                await response.aclose()
        except TimeoutError:
            return _Failure(f"It did not answer within {self._timeout_s:g} s")
        except (httpx.HTTPError, httpx.StreamError, ssl.SSLError):
            return _Failure("The connection failed")
        except ImageError as error:
            return _Failure(error.message)
        if response.is_success:
            return None
        return _Failure(f"It answered with status {response.status_code}", is_final=response.status_code == _GONE)

    def _message(self, hook: StoredWebhook, news: _News) -> dict[str, Any]:
        told = [
            {"event_id": str(event.position), **change.model_dump(mode="json", context=self._links)}
            for event, change in news.changes
        ]
        return {"webhook_id": hook.id, "reset": news.is_reset, "events": told}

    def _has_failed_for_long(self, hook: StoredWebhook) -> bool:
        since = hook.failing_since
        return since is not None and datetime.now(UTC) - since > timedelta(seconds=self._give_up_s)


@dataclass(frozen=True, slots=True)
class _Failure:
    """Why a webhook could not be told."""

    reason: str
    is_final: bool = False
    """Whether the receiver says that it wants no more."""
