"""Routes of people and of what was decided about them, one method an operation of the document, of its name."""

from __future__ import annotations

from typing import Literal
from urllib.parse import quote

from darkroom_client._async.http import AsyncHttp, given
from darkroom_client.models import CorrectionList, Undone

CorrectionKind = Literal["must", "cannot", "name", "hide", "not_duplicate", "tag"]


class AsyncPeopleRoutes:
    """Routes of people and corrections."""

    _http: AsyncHttp

    async def list_corrections(
        self, kind: CorrectionKind | None = None, limit: int | None = None, cursor: str | None = None
    ) -> CorrectionList:
        """List what you decided, the newest first."""
        query = given(kind=kind, limit=limit, cursor=cursor)
        return await self._http.read(CorrectionList, "GET", "/corrections", params=query)

    async def undo_correction(self, correction_id: str) -> None:
        """Take a decision back."""
        await self._http.send("DELETE", f"/corrections/{quote(correction_id, safe='')}")

    async def undo_last(self) -> Undone:
        """Take back your last decision. Raises `NotFound` where there is none."""
        return await self._http.read(Undone, "POST", "/undo")
