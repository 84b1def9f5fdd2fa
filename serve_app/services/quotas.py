"""Checks of what one user may keep: bytes, images, albums, answers to repeated requests."""

from __future__ import annotations

from sqlalchemy.ext.asyncio import AsyncSession

from configs.settings import Quotas
from deployments.errors import ImageQuotaExceeded, Overloaded, QuotaExceeded
from serve_app.store.repositories import albums, idempotency, images

_RETRY_S = 3600


def limits_images(quotas: Quotas) -> bool:
    """Whether there is a quota of images or of their bytes."""
    return quotas.images is not None or quotas.stored_bytes is not None


async def check_images(session: AsyncSession, quotas: Quotas, user_id: str, more_bytes: int) -> None:
    """Check that the user may store another image of so many bytes. Raises `ImageQuotaExceeded`."""
    if not limits_images(quotas):
        return
    count, stored_bytes = await images.measure(session, user_id)
    if quotas.images is not None and count >= quotas.images:
        _refuse_image("images", quotas.images, f"You have {count} images, and {quotas.images} is the quota.")
    if quotas.stored_bytes is not None and stored_bytes + more_bytes > quotas.stored_bytes:
        said = f"You store {stored_bytes} bytes, and with {more_bytes} more it would be over the quota of"
        _refuse_image("stored_bytes", quotas.stored_bytes, f"{said} {quotas.stored_bytes}.")


async def check_albums(session: AsyncSession, quotas: Quotas, user_id: str, name: str | None) -> None:
    """Check that the user may open an album of this name: one that is there, or another one. Raises `QuotaExceeded`."""
    if quotas.albums is None:
        return
    if name is not None and await albums.find(session, user_id, name, any_by_id=True) is not None:
        return
    if await albums.count(session, user_id) >= quotas.albums:
        message = f"You have {quotas.albums} albums, which is the quota: delete one first."
        raise QuotaExceeded(message, extra={"quota": "quotas.albums", "limit": quotas.albums})


async def check_kept_answers(session: AsyncSession, quotas: Quotas, user_id: str) -> None:
    """Check the number of answers kept for the user, the one that was just begun included. Raises `Overloaded`."""
    if quotas.kept_answers is not None and await idempotency.count(session, user_id) > quotas.kept_answers:
        extra = {"quota": "quotas.kept_answers", "limit": quotas.kept_answers, "retry_after_s": _RETRY_S}
        message = "As many answers as the quota allows are kept for you: leave the Idempotency-Key out, or wait."
        raise Overloaded(message, extra=extra)


def _refuse_image(quota: str, limit: int, message: str) -> None:
    extra = {"code": "quota_exceeded", "quota": f"quotas.{quota}", "limit": limit}
    raise ImageQuotaExceeded(f"{message} Delete some first.", extra=extra)
