"""What comes of corrections about duplicates."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy.ext.asyncio import AsyncSession

from deployments.errors import Conflict
from serve_app.store.repositories import albums, duplicates, trash
from serve_app.store.repositories.corrections import Correction


class DuplicateEffect:
    """What comes of corrections about duplicates (`corrections.CorrectionEffect`): albums are searched anew, and a
    decision that is taken back leaves its group open and its images where they were. One whose images are not all there
    any more is not taken back: `Conflict`."""

    async def made(self, session: AsyncSession, user_id: str, made: Sequence[Correction]) -> None:
        await self._touch(session, user_id, made)

    async def undone(self, session: AsyncSession, user_id: str, undone: Sequence[Correction]) -> None:
        await albums.lock_holders(session, user_id, None)
        values = [one.value for one in undone if one.kind == "resolve"]
        if values:
            thrown = {image for value in values for image in value["trashed"]}
            gone = thrown - (await trash.restore(session, user_id, sorted(thrown))).there
            if gone:  # the tags, albums and times that the kept took over are all that is left of these
                raise Conflict(
                    f"{len(gone)} of the {len(thrown)} images that this decision threw away were deleted: it stays. "
                    "Those that still lie in the trash can be restored there."
                )
            tags, items, times = (
                [entry for value in values for entry in value[name]] for name in ("tags", "items", "times")
            )
            await duplicates.unmerge(session, user_id, tags, items, times)
        await self._touch(session, user_id, undone)
        await duplicates.remove(session, sorted({one.action_id for one in undone}))

    async def _touch(self, session: AsyncSession, user_id: str, some: Sequence[Correction]) -> None:
        pairs = [one for one in some if one.kind == "not_duplicate"]
        shas = {place.sha256 for one in pairs for place in (one.a, one.b) if place}
        if shas:
            await duplicates.touch_albums(session, user_id, sorted(shas))
