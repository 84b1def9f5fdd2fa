"""File names of pictures, which answers name by URL."""

from __future__ import annotations

from darkroom_client import Darkroom
from darkroom_client.errors import NotFound
from darkroom_client.files import id_of, key_of


class Names(dict[str, str]):
    """File name of each picture by its URL; one that is not known is asked for once."""

    def __init__(self, client: Darkroom, known: dict[str, str] | None = None) -> None:
        super().__init__(known or {})
        self._client = client

    def __missing__(self, url: str) -> str:
        self[url] = name = self._ask(url) or key_of(url) or url
        return name

    def _ask(self, url: str) -> str | None:
        image_id = id_of(url)
        if image_id is None:
            return None
        try:
            return self._client.get_image(image_id).filename
        except NotFound:
            return None
