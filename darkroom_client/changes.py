"""What a stream of events tells: something changed, and where it is."""

from __future__ import annotations

from darkroom_client.models import JobSummary, Model


class Change(Model):
    """Something of yours that changed; what it is now is at `href`."""

    kind: str
    """job, album or image."""
    id: str
    gone: bool
    """Whether it is not there any more."""
    album_id: str | None = None
    href: str | None = None
    job: JobSummary | None = None
    """Of a job: how far it is."""
