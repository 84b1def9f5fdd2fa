"""What the client raises.

DarkroomError
├── Unreachable               no server answers at the address
├── AnswerLost                the server went away while it answered, and asking again is not safe or did not help
├── JobStillRunning           a job outlasted the wait for it; it goes on (a `TimeoutError` too)
├── UploadRefused             none of the files that were sent could be used
└── ApiError                  the server answered with a problem document: a class for each `/problems/<slug>`
"""

from __future__ import annotations

from typing import Any, ClassVar


class DarkroomError(Exception):
    """Anything that the client raises on purpose."""


class Unreachable(DarkroomError):
    """No server answers at the address."""


class AnswerLost(DarkroomError):
    """The answer was lost, and the request is not safe to repeat or was repeated in vain."""


class JobStillRunning(DarkroomError, TimeoutError):
    """A job outlasted the wait for it. It goes on in the server."""


class UploadRefused(DarkroomError):
    """None of the files could be used. `rejected`: what the server said of each."""

    def __init__(self, message: str, rejected: list[Any] | None = None) -> None:
        super().__init__(message)
        self.rejected = rejected or []


class ApiError(DarkroomError):
    """A problem document (RFC 9457) as an exception; problems of a type without a class are of this one."""

    slug: ClassVar[str] = ""

    def __init__(self, problem: dict[str, Any], retry_after_s: float | None = None) -> None:
        self.problem = problem
        """The whole document; some carry more members."""
        self.status = int(problem.get("status", 500))
        self.title = str(problem.get("title", "Error"))
        self.detail = str(problem.get("detail", ""))
        self.type = str(problem.get("type", ""))
        self.instance = str(problem.get("instance", ""))
        """Names the request: the server's log has this id."""
        self.retry_after_s = retry_after_s
        super().__init__(f"{self.title}: {self.detail}" if self.detail else self.title)

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.problem, self.retry_after_s)


class BadImage(ApiError):
    """The file is no image that can be read; `problem["code"]` says why."""

    slug = "bad-image"


class BadRequest(ApiError):
    """The request is no HTTP that the server understands, or lacks a part that the rest of it needs."""

    slug = "bad-request"


class Unauthenticated(ApiError):
    """The server asks for a key, and this is none of its keys."""

    slug = "unauthenticated"


class Forbidden(ApiError):
    """The key is valid, but not for this; or the address is not among those that may ask for it."""

    slug = "forbidden"


class QuotaExceeded(ApiError):
    """The user keeps as much as they may."""

    slug = "quota-exceeded"


class CrossOrigin(ApiError):
    """A browser sent the request from a page of another site."""

    slug = "cross-origin"


class NotFound(ApiError):
    """There is no such thing, or it is another user's."""

    slug = "not-found"


class MethodNotAllowed(ApiError):
    """The path has no such method."""

    slug = "method-not-allowed"


class Conflict(ApiError):
    """The request contradicts what is there."""

    slug = "conflict"


class ChangedMeanwhile(ApiError):
    """What is to be changed is another one now than the change was based on."""

    slug = "changed-meanwhile"


class JobCancelled(ApiError):
    """The job was cancelled."""

    slug = "job-cancelled"


class PayloadTooLarge(ApiError):
    """The request is larger than the server takes."""

    slug = "payload-too-large"


class ImageTooLarge(ApiError):
    """The image has more bytes or pixels than the server takes."""

    slug = "image-too-large"


class UnsupportedMediaType(ApiError):
    """The body is of a type that the route does not take."""

    slug = "unsupported-media-type"


class UnsupportedImage(ApiError):
    """The file is no image of a kind that the server takes."""

    slug = "unsupported-image"


class RangeNotSatisfiable(ApiError):
    """The file has no such bytes."""

    slug = "range-not-satisfiable"


class Misdirected(ApiError):
    """The server is not served under this host name."""

    slug = "misdirected"


class InvalidRequest(ApiError):
    """A field or a parameter is wrong; `problem["errors"]` names it."""

    slug = "invalid-request"


class NoFace(ApiError):
    """No face was found where one is needed."""

    slug = "no-face"


class AllImagesFailed(ApiError):
    """No image of the request could be used."""

    slug = "all-images-failed"


class NotSupported(ApiError):
    """The models of the server cannot do this."""

    slug = "not-supported"


class ProviderRejected(ApiError):
    """A vendor refused the request."""

    slug = "provider-rejected"


class Overloaded(ApiError):
    """The server has more to do than it takes on; `retry_after_s` says when to come back."""

    slug = "overloaded"


class InternalError(ApiError):
    """Something broke in the server; its log has it under `instance`."""

    slug = "internal-error"


class ProviderError(ApiError):
    """A vendor failed."""

    slug = "provider-error"


class Unavailable(ApiError):
    """Something that the server needs is away for a moment."""

    slug = "unavailable"


class WeightsMissing(ApiError):
    """The weights of a model are not installed on the server."""

    slug = "weights-missing"


class NotDeployed(ApiError):
    """The server runs without what is needed for this."""

    slug = "not-deployed"


class NotReady(ApiError):
    """The server has started, but not all of it answers yet."""

    slug = "not-ready"


class ProviderUnavailable(ApiError):
    """A vendor cannot be reached."""

    slug = "provider-unavailable"


class RequestTimeout(ApiError):
    """The request came too slowly."""

    slug = "request-timeout"


class DeadlineExceeded(ApiError):
    """The work took longer than the server allows."""

    slug = "deadline-exceeded"


class ProviderTimeout(ApiError):
    """A vendor took too long."""

    slug = "provider-timeout"


BY_SLUG: dict[str, type[ApiError]] = {kind.slug: kind for kind in ApiError.__subclasses__()}


def error_of(problem: dict[str, Any], retry_after_s: float | None = None) -> ApiError:
    """Make the exception of a problem document."""
    slug = str(problem.get("type", "")).rpartition("/")[2]
    return BY_SLUG.get(slug, ApiError)(problem, retry_after_s)
