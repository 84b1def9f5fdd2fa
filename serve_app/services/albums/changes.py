"""Changes of albums by their users: made, given a title, images taken out."""

from __future__ import annotations

from collections.abc import Sequence

from configs.settings import Quotas
from deployments.errors import ChangedMeanwhile, Conflict
from serve_app.services.albums.results import AlbumSummary, NotInAlbum, RemovedImages
from serve_app.services.images.references import own_image_id
from serve_app.services.quotas import check_albums
from serve_app.store.repositories import albums
from serve_app.store.session import Database


class AlbumChanges:
    """Use cases of albums that change. Albums are found by the user's name for them, or by our id."""

    def __init__(self, database: Database, quotas: Quotas) -> None:
        self._database = database
        self._quotas = quotas

    async def remove_images(self, user_id: str, name: str, refs: Sequence[str]) -> RemovedImages:
        """Take images out of an album; they stay. References are as they were sent to it, or name the user's images.

        Raises `NotFound`.
        """
        refs = list(dict.fromkeys(refs))
        named = {ref: image_id for ref in refs if (image_id := own_image_id(ref))}
        async with self._database.transaction() as session:
            album = await albums.find_own(session, user_id, name)
            await albums.lock(session, album.id)
            by_ref = {item.ref: item.id for item in await albums.load_items(session, album.id, refs=refs)}
            by_image = await albums.find_items(session, album.id, list(named.values()))
            found = {ref: by_ref.get(ref, by_image.get(named.get(ref, ""))) for ref in refs}
            items = sorted({item for item in found.values() if item is not None})
            await albums.remove_items(session, album.id, items)
        return RemovedImages(
            removed=[ref for ref in refs if found[ref] is not None],
            failed=[NotInAlbum(image=ref) for ref in refs if found[ref] is None],
        )

    async def create(self, user_id: str, name: str | None, title: str | None) -> AlbumSummary:
        """Make an album without images. Raises `Conflict` where the user has one of this name, `QuotaExceeded`."""
        async with self._database.transaction() as session:
            await check_albums(session, self._quotas, user_id, name)
            album = await albums.create(session, user_id, name, title)
        if album is None:
            raise Conflict(f"There is an album '{name}' already.")
        return AlbumSummary.of(album)

    async def change_title(
        self, user_id: str, name: str, title: str | None, revisions: Sequence[str] | None = None
    ) -> AlbumSummary:
        """Give an album another title; None: none.

        `revisions`: change it only in one of these states, else raise `ChangedMeanwhile`. Raises `NotFound`.
        """
        async with self._database.transaction() as session:
            album = await albums.find_own(session, user_id, name)
            await albums.lock(session, album.id)
            now = await albums.get(session, album.id) or album
            if revisions is not None and AlbumSummary.of(now).revision not in revisions:
                raise ChangedMeanwhile("The album was changed meanwhile: get it again, and decide anew.")
            return AlbumSummary.of(await albums.change_title(session, album.id, title))
