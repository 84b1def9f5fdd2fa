"""Routes below an album, whose id may hold slashes."""

from __future__ import annotations

from itertools import zip_longest

from fastapi.routing import APIRoute
from starlette.routing import Match
from starlette.types import Scope

from serve_app.api.slashes import ends_in_slash


class BelowAlbum(APIRoute):
    """A route below an album: `a%2Fsearch` is the album `a/search`, not a search in `a`.

    What follows the id in the route's path has to have been sent with slashes of its own."""

    def matches(self, scope: Scope) -> tuple[Match, Scope]:
        sent: bytes | None = scope.get("raw_path")
        if sent is not None:
            words = self.path.partition("{album_id:path}/")[2].split("/")
            end = sent.partition(b"?")[0].decode("latin-1").split("/")[-len(words) :]
            if any(not word.startswith("{") and word != part for word, part in zip_longest(words, end, fillvalue="")):
                return Match.NONE, {}
        return super().matches(scope)


class OneAlbum(APIRoute):
    """A route of an album itself: slashes in its id have to be sent as `%2F`; `a/search` is the search in `a`, and `a/`
    is redirected, as for `albums._Album`."""

    def matches(self, scope: Scope) -> tuple[Match, Scope]:
        sent: bytes | None = scope.get("raw_path")
        if sent is not None:
            before = self.path.partition("{album_id:path}")[0].encode()
            if b"/" in sent.partition(b"?")[0].partition(before)[2] or ends_in_slash(scope):
                return Match.NONE, {}
        return super().matches(scope)
