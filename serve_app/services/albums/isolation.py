"""Failures of single images, kept from the others that were worked on with them."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import TypeVar

import structlog

from deployments.errors import CapabilityFailed, DarkroomError, ImageError, NotFound, image_error

log = structlog.get_logger(__name__)

T = TypeVar("T")
R = TypeVar("R")


async def run_isolated(
    inputs: Sequence[T], work: Callable[[Sequence[T]], Awaitable[Sequence[R]]]
) -> list[R | Exception]:
    """Run `work` over all inputs; where it breaks unexpectedly, over each by itself, so that only the bad ones fail.

    -> for each input its result or what it raised. Raises what is no input's fault: a dependency that is down, a full
    queue, a deadline.
    """
    try:
        return list(await work(inputs)) if inputs else []
    except Exception as error:
        if not blames_input(error):
            raise
        if len(inputs) == 1:
            return [error]
    return [result for one in inputs for result in await run_isolated([one], work)]


def blames_input(error: Exception) -> bool:
    """Tell whether an error may be the fault of the very image: unusable, or nothing that anybody expected."""
    return not isinstance(error, DarkroomError) or isinstance(error, ImageError | CapabilityFailed)


def image_failure(error: Exception, image: str) -> ImageError:
    """Make the failure of an image out of what working on it raised. Raises the error where the image is not to blame.

    An unexpected one is logged under the name `image`, with its traceback, and becomes `analysis_failed`; a stored file
    that is gone is `not_found`.
    """
    if isinstance(error, ImageError):
        return error
    if isinstance(error, NotFound):
        return image_error("not_found", "The stored file is gone")
    if not blames_input(error):
        raise error
    log.error("an image broke its analysis", image=image, exc_info=error)
    return image_error("analysis_failed", "Something broke on our side when this image was analysed")
