"""What an image file says of the moment at which it was taken."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta, timezone


@dataclass(frozen=True, slots=True)
class Capture:
    """Time, camera and place of a photograph; None: not known."""

    taken_at: datetime | None = None
    """In UTC. Where the time zone is not known, the camera's clock is taken for UTC, so that pictures can be sorted."""
    zone_min: int | None = None
    """Minutes by which the camera's clock was ahead of UTC; None: not known."""
    camera: str | None = None
    latitude: float | None = None
    """Degrees north, -90 to 90, known with `longitude` only."""
    longitude: float | None = None
    """Degrees east, -180 to 180."""

    @property
    def local_time(self) -> datetime | None:
        """The time on the camera's clock, with its zone where that is known and without one where it is not."""
        if self.taken_at is None:
            return None
        if self.zone_min is None:
            return self.taken_at.replace(tzinfo=None)
        return self.taken_at.astimezone(timezone(timedelta(minutes=self.zone_min)))
