"""Routes below an album, whose id may hold slashes."""

from __future__ import annotations

from fastapi.routing import APIRoute
from starlette.routing import Match
from starlette.types import Scope


class BelowAlbum(APIRoute):
    """A route below an album: `a%2Fsearch` is the album `a/search`, not a search in `a`."""

    def matches(self, scope: Scope) -> tuple[Match, Scope]:
        sent: bytes | None = scope.get("raw_path")
        verb = self.path.rpartition("/")[2].encode()
        if sent is not None and not sent.partition(b"?")[0].endswith(b"/" + verb):
            return Match.NONE, {}
        return super().matches(scope)
