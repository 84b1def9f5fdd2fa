"""URLs of this server in answers and messages."""

from __future__ import annotations

PREFIX = "/api/v1"


class ServerLinks:
    """URLs of this server: the serialization context of results (`services.jobs.results.Links`)."""

    def __init__(self, base: str) -> None:
        """Begin URLs of files with `base`; all others are paths."""
        self._base = base.rstrip("/")

    def file(self, key: str) -> str:
        """URL of a stored file. `key`: `ImageView.key`."""
        return f"{self._base}{PREFIX}/files/{key}"

    def job(self, job_id: str) -> str:
        """URL of a job."""
        return f"{PREFIX}/jobs/{job_id}"

    def image(self, image_id: str) -> str:
        """URL of what is known of an image."""
        return f"{PREFIX}/images/{image_id}"

    def album(self, path: str) -> str:
        """URL of something of an album. `path`: the album's id, quoted, and what follows it."""
        return f"{PREFIX}/albums/{path}"

    def person(self, person_id: str) -> str:
        """URL of a person."""
        return f"{PREFIX}/people/{person_id}"

    def face_crop(self, face_id: str) -> str:
        """URL of a square crop of a face."""
        return f"{self._base}{PREFIX}/faces/{face_id}/crop?size=256"
