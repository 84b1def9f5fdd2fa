"""Image references: the user's own images, and URLs whose images become the user's."""

from __future__ import annotations

import re

from deployments.errors import ImageError, image_error
from serve_app.services.images.fetch import Fetcher
from serve_app.services.images.names import name_in_url
from serve_app.services.images.store import FetchedFor, ImageStore, ReceivedFile
from serve_app.store.repositories import images
from serve_app.store.repositories.images import StoredImage
from serve_app.store.session import Database


class ImageReferences:
    """Opener of references as stored images. Every method raises `ImageError` with one of the contract's codes."""

    def __init__(self, database: Database, pictures: ImageStore, fetcher: Fetcher) -> None:
        self._database = database
        self._pictures = pictures
        self._fetcher = fetcher

    async def open(self, user_id: str, ref: str, *, temporary: bool = False) -> StoredImage:
        """Load the user's image that the reference names, else fetch the URL and store its image as the user's.

        `temporary`: a fetched image goes by itself after a while.
        """
        image_id = own_image_id(ref)
        if image_id is not None:
            async with self._database.transaction() as session:
                own = await images.get(session, user_id, image_id)
            if own is not None and own.trashed_at is None:
                return own
        return await self.fetch(user_id, ref, temporary=temporary)

    async def fetch(
        self, user_id: str, ref: str, fetched_for: FetchedFor | None = None, *, temporary: bool = False
    ) -> StoredImage:
        """Fetch a reference that is none of the user's images, guarded, and store it."""
        if ref.partition("://")[0].lower() not in {"http", "https", "s3", "gs"}:
            raise image_error("not_found", "There is no such image, and it is no URL")
        try:
            fetched = await self._fetcher.fetch(ref)
        except ImageError as error:
            # A URL of this server whose image is another user's or was deleted: it is not opened from here.
            if error.code in {"forbidden_address", "fetch_failed"} and own_image_id(ref):
                raise image_error("not_found", "There is no such image") from error
            raise
        file = ReceivedFile(fetched.data, fetched.sha256, len(fetched.data))
        name = name_in_url(ref)
        return await self._pictures.add(user_id, file, filename=name, fetched_for=fetched_for, temporary=temporary)


EXAMPLE_REF = "http://127.0.0.1:8000/api/v1/files/img_0198c3f2a1b27c3d.jpg"
"""An image reference as this server issues them, for the OpenAPI document."""
_OWN_REF = re.compile(r"(?:https?://[^?#]+/api/v1/files/)?(img_[0-9a-z]{10,64})(?:\.[a-z0-9]{1,5})?")


def own_image_id(ref: str) -> str | None:
    """Parse the image id in a reference that this server issues: a bare id, or the URL of a stored file.

    Any host name will do, since a server may be known by several. Ids are long and random, so a URL with one that is
    the user's is this server's.
    """
    match = _OWN_REF.fullmatch(ref)
    return match[1] if match else None
