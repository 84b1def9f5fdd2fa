"""Errors that the product raises on purpose.

    DarkroomError
    ├── InvalidRequest            422  the request cannot be understood
    │   ├── NoFace                422  a face was needed and none was found
    │   ├── AllImagesFailed       422  not one image of the call was usable
    │   └── NotSupported          422  this profile's models cannot do that
    ├── BadRequest                400  a part that the rest of the request needs is missing
    ├── ImageError                400  one image is unusable; `code` says why
    │   ├── ImageTooLarge         413
    │   ├── UnsupportedImage      415
    │   └── ImageQuotaExceeded    403  another image would be over a quota; also a `QuotaExceeded`
    ├── Unauthenticated           401
    ├── Forbidden                 403
    │   └── CrossOrigin           403  a web page of another site sent the request
    ├── QuotaExceeded             403  the user keeps as much as it may; `extra["quota"]`
    ├── NotFound                  404
    ├── Conflict                  409
    ├── ChangedMeanwhile          412  `If-Match` names another state
    ├── RequestTimeout            408  the front door waited in vain for the rest of a request
    ├── PayloadTooLarge           413
    ├── UnsupportedMediaType      415
    ├── Misdirected               421  the request names a host that this server does not serve
    ├── Overloaded                429  a queue is full; `extra["retry_after_s"]`   technical, transient, outage
    │   └── OutOfMemory           429  too little memory for the request           technical, transient
    ├── Unavailable               503  a dependency is down                        technical, transient, outage
    │   ├── ConnectionsInUse      429  the process has no connection to spare      technical, transient, outage
    │   ├── CapabilityFailed      503  a replica broke on what it was given        technical, transient
    │   ├── WeightsMissing        503  names the file and the setting              technical
    │   └── NotDeployed           503  names how to switch the engine on           technical
    ├── DeadlineExceeded          504  a call took longer than it may              technical, transient
    ├── ProviderError             502  an outside vendor failed
    │   ├── ProviderUnavailable   503  quota, network, the vendor's own fault      technical, transient
    │   │   ├── EnginesAway       503  of several engines, one was away or full    technical, transient, outage
    │   │   └── ProviderTimeout   504  it took longer than it was given            technical, transient
    │   └── ProviderRejected      422  the vendor refused the image or the prompt
    └── JobCancelled              409  the job ended because it was asked to

A technical error is no fault of the request: another engine may succeed with it. A transient one may be gone a little
later: the job is tried again. Missing weights are not, for nobody brings them in the meantime. An outage is no failure
of the job at all: what it needs is away or full, and it waits until that is back.

One positional message and keyword extras with defaults: any other signature does not survive the pickling between
Ray actors. A message is shown to clients, so it names no path, no host of ours and no secret.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar


class DarkroomError(Exception):
    """Base of all errors: `slug` is the problem type, `status` its HTTP status, `extra` becomes problem members."""

    slug: ClassVar[str] = "internal-error"
    title: ClassVar[str] = "Internal error"
    status: ClassVar[int] = 500
    is_technical: ClassVar[bool] = False
    """Whether another engine may succeed with the same request."""
    is_transient: ClassVar[bool] = False
    """Whether the same call may succeed a little later."""
    is_outage: ClassVar[bool] = False
    """Whether the work was never tried, because what it needs is away or full."""

    def __init__(self, message: str, *, extra: Mapping[str, Any] | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.extra: dict[str, Any] = dict(extra or {})

    @property
    def is_fault(self) -> bool:
        """Whether it is the server's, and belongs into the log: a status under 500 refuses what was asked for."""
        return self.status >= 500

    def __reduce__(self) -> tuple[Any, ...]:
        return (_rebuild, (type(self), self.message, self.extra))


def _rebuild(cls: type[DarkroomError], message: str, extra: dict[str, Any]) -> DarkroomError:
    return cls(message, extra=extra)


class InvalidRequest(DarkroomError):
    """A request that cannot be understood."""

    slug, title, status = "invalid-request", "Invalid request", 422


class NoFace(InvalidRequest):
    """An image without the face that the request needs."""

    slug, title = "no-face", "No face found"


class AllImagesFailed(InvalidRequest):
    """A call of which not one image was usable."""

    slug, title = "all-images-failed", "No usable image"


class NotSupported(InvalidRequest):
    """A request that this profile's models cannot fulfil."""

    slug, title = "not-supported", "Not supported by the configured models"


class BadRequest(DarkroomError):
    """A request that lacks a part which the rest of it needs."""

    slug, title, status = "bad-request", "Bad request", 400


class ImageError(DarkroomError):
    """One unusable image. `extra["code"]` is a rejection code (docs/images.md); see `code`."""

    slug, title, status = "bad-image", "Unusable image", 400

    @property
    def code(self) -> str:
        """Rejection code of the HTTP contract; `corrupt` where none was given."""
        return str(self.extra.get("code", "corrupt"))


class ImageTooLarge(ImageError):
    slug, title, status = "image-too-large", "Image too large", 413


class UnsupportedImage(ImageError):
    slug, title, status = "unsupported-image", "Unsupported image type", 415


class QuotaExceeded(DarkroomError):
    """A quota of the user's that is used up; `extra["quota"]` names its setting, `extra["limit"]` its value."""

    slug, title, status = "quota-exceeded", "Quota exceeded", 403


class ImageQuotaExceeded(QuotaExceeded, ImageError):
    """An image that would be over a quota: one of several files is rejected, the others are not."""


class Unauthenticated(DarkroomError):
    slug, title, status = "unauthenticated", "Authentication needed", 401


class Forbidden(DarkroomError):
    slug, title, status = "forbidden", "Forbidden", 403


class CrossOrigin(Forbidden):
    """A request that a web page of another site made the browser send."""

    slug, title = "cross-origin", "Request from another site"


class NotFound(DarkroomError):
    slug, title, status = "not-found", "Not found", 404


class Conflict(DarkroomError):
    slug, title, status = "conflict", "Conflict", 409


class ChangedMeanwhile(DarkroomError):
    """A change of something that is no longer in the state that `If-Match` names."""

    slug, title, status = "changed-meanwhile", "Changed meanwhile", 412


class RequestTimeout(DarkroomError):
    slug, title, status = "request-timeout", "Request timed out", 408


class PayloadTooLarge(DarkroomError):
    slug, title, status = "payload-too-large", "Payload too large", 413


class UnsupportedMediaType(DarkroomError):
    slug, title, status = "unsupported-media-type", "Unsupported media type", 415


class Misdirected(DarkroomError):
    """A request for a host that this server does not serve."""

    slug, title, status = "misdirected", "Not the host that is served here", 421


class Overloaded(DarkroomError):
    """A full queue; `extra["retry_after_s"]` says when to try again."""

    slug, title, status = "overloaded", "Too many requests", 429
    is_technical = is_transient = is_outage = True

    @property
    def retry_after_s(self) -> int:
        """Seconds after which to try again; 5 where none were given."""
        return int(self.extra.get("retry_after_s", 5))


class OutOfMemory(Overloaded):
    """Exhausted memory of an engine. Not waited for without end: the request itself may be what is too large."""

    is_outage = False


class Unavailable(DarkroomError):
    """A dependency that is down."""

    slug, title, status = "unavailable", "Temporarily unavailable", 503
    is_technical = is_transient = is_outage = True


class ConnectionsInUse(Unavailable):
    """No connection to the database in time, since the requests of this very process have all: an overload of its own,
    and no fault of the database."""

    slug, title, status = Overloaded.slug, Overloaded.title, Overloaded.status


class CapabilityFailed(Unavailable):
    """An unexpected exception in a replica that answers: of several inputs, one may be to blame."""

    is_outage = False


class WeightsMissing(Unavailable):
    """Missing model weights; the message names the file and the setting."""

    slug, title = "weights-missing", "Model weights missing"
    is_transient = is_outage = False


class NotDeployed(Unavailable):
    """An engine that is not switched on; the message names how to do it."""

    slug, title = "not-deployed", "Not deployed"
    is_transient = is_outage = False


class DeadlineExceeded(DarkroomError):
    slug, title, status = "deadline-exceeded", "Deadline exceeded", 504
    is_technical = is_transient = True


class ProviderError(DarkroomError):
    """Failure of an outside vendor."""

    slug, title, status = "provider-error", "Provider failed", 502


class ProviderUnavailable(ProviderError):
    """Technical failure of a vendor: the next engine may be tried."""

    slug, title, status = "provider-unavailable", "Provider unavailable", 503
    is_technical = is_transient = True


class EnginesAway(ProviderUnavailable):
    """Failure of several engines, one of which was away or full: it may be the one that succeeds."""

    is_outage = True


class ProviderTimeout(ProviderUnavailable):
    """A vendor that took longer than it was given."""

    slug, title, status = "provider-timeout", "Provider took too long", 504


class ProviderRejected(ProviderError):
    """Logical refusal by a vendor: trying elsewhere would not help."""

    slug, title, status = "provider-rejected", "Provider rejected the request", 422


class JobCancelled(DarkroomError):
    """Cancellation, raised inside a job that was asked to stop."""

    slug, title, status = "job-cancelled", "Job cancelled", 409


def image_error(code: str, message: str) -> ImageError:
    """Make the `ImageError` that fits one of the rejection codes of the HTTP contract."""
    if code in {"too_large", "too_many_pixels"}:
        return ImageTooLarge(message, extra={"code": code})
    if code == "unsupported_type":
        return UnsupportedImage(message, extra={"code": code})
    return ImageError(message, extra={"code": code})
