"""Policy shared by all vendors: a switch for calls that cost money, and the meaning of failures."""

from __future__ import annotations

import asyncio
import ipaddress
from base64 import b64decode
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from urllib.parse import urlsplit

from configs.settings import Providers
from deployments.algorithms.images.decoding import ImageLimits, decode, encode_jpeg
from deployments.algorithms.images.resizing import shrink
from deployments.contracts.arrays import Image
from deployments.errors import ImageError, ProviderError, ProviderRejected, ProviderTimeout, ProviderUnavailable

paid_calls_possible = True
"""Second switch beside the setting, for a whole process: the test suite turns it off before anything runs."""

_MAX_ANSWER_PX = 4096
_LIMITS = ImageLimits()
SENSELESS = (ValueError, TypeError, LookupError, AttributeError, RecursionError)
"""Errors that an SDK, or our reading of an answer, raises over an answer of another shape."""
_CREDENTIALS = frozenset({401, 403})
_REFUSED = frozenset({400, 413, 415, 422})


def check_paid_call(settings: Providers, vendor: str, base_url: str | None) -> None:
    """Refuse calls that would cost money unless they are allowed; called first. A server on this machine costs none.

    Raises `ProviderUnavailable`.
    """
    if base_url is not None and is_loopback(base_url):
        return
    if not (settings.allow_paid_calls and paid_calls_possible):
        raise ProviderUnavailable(f"{vendor}: calls that cost money are switched off (`providers.allow_paid_calls`).")


def is_loopback(url: str) -> bool:
    """Say whether a URL's host is this machine."""
    host = urlsplit(url).hostname or ""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def missing_extra(vendor: str, keyless: str) -> ProviderUnavailable:
    """Make the error of an SDK that is not installed."""
    return ProviderUnavailable(f"{vendor}: the extra `darkroom[cloud]` is not installed. `{keyless}` works without it.")


def missing_setting(vendor: str, what: str, variable: str, keyless: str) -> ProviderUnavailable:
    """Make the error of a missing key, project or address; it names what works without one."""
    return ProviderUnavailable(f"{vendor}: no {what} (set {variable}). `{keyless}` works without one.")


def error_of_status(vendor: str, status: int, credential: str, keyless: str) -> ProviderError:
    """Translate a vendor's HTTP status; `credential` names the setting to look at, `keyless` the engine that needs
    none."""
    if status == 429:
        return ProviderUnavailable(f"{vendor}: the quota is used up.")
    if status in _CREDENTIALS:
        return ProviderUnavailable(
            f"{vendor} does not accept the credentials (see {credential}). `{keyless}` works without."
        )
    if status in _REFUSED:
        return ProviderRejected(f"{vendor} refused the request.")
    return ProviderUnavailable(f"{vendor} answered with status {status}.")


def missing_credentials(vendor: str, credential: str, keyless: str) -> ProviderUnavailable:
    """Make the error of credentials that are not where the SDK looks for them."""
    return ProviderUnavailable(f"{vendor}: no credentials (see {credential}). `{keyless}` works without.")


def malformed(vendor: str) -> ProviderUnavailable:
    """Make the error of an answer that makes no sense."""
    return ProviderUnavailable(f"{vendor} sent an answer that makes no sense.")


@asynccontextmanager
async def within(seconds: float, vendor: str) -> AsyncIterator[None]:
    """Bound a block by a deadline. Raises `ProviderTimeout` at its end."""
    try:
        async with asyncio.timeout(seconds) as limit:
            yield
    except TimeoutError:
        if not limit.expired():
            raise
        raise ProviderTimeout(f"{vendor} took longer than {seconds:.3g} s.") from None


def preview_within(image: Image, max_px: int, max_bytes: int) -> tuple[bytes, float]:
    """Encode an image as a JPEG of at most `max_px` on its longest side and `max_bytes`; -> it, and the number of the
    image's pixels that one of its pixels is wide."""
    small = shrink(image, max_px)
    while len(data := encode_jpeg(small)) > max_bytes:
        small = shrink(small, max(small.shape[:2]) * 3 // 4)
    return data, image.shape[1] / small.shape[1]


async def picture_of(data: bytes | str, vendor: str) -> Image:
    """Decode the image in an answer, file content or base64 of it, in a thread, with the limits for any stranger's
    file.

    Raises `ProviderUnavailable`.
    """
    try:
        return await asyncio.to_thread(_decode, data)
    except (ImageError, ValueError) as error:  # of base64
        raise malformed(vendor) from error


def _decode(data: bytes | str) -> Image:
    return decode(b64decode(data, validate=True) if isinstance(data, str) else data, _MAX_ANSWER_PX, _LIMITS)
