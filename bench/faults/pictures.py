"""Pictures of the traffic: each number is another file, and the same in every process that makes it."""

from __future__ import annotations

import io

from PIL import Image as PillowImage

from bench.speed import album, avatars

_SIDE = 800
"""Longest side in pixels. Faults are about what is kept, and the less a picture costs the more of them meet a fault."""
_SCENES = 12
_PORTRAITS = 4
_COMMENT = b"\xff\xfe"
"""Marker of a JPEG comment."""


class Pictures:
    """Photographs by user and number: shipped ones, cut and lit by the seed, each with a comment that makes it new."""

    def __init__(self, seed: int, side: int = _SIDE) -> None:
        """`side`: pixels of the longest one; the originals have 1600 and 1200."""
        self._seed = seed
        self._scenes = [_reduced(file, side) for file in album.photographs(_SCENES, seed)]
        self._portraits = [_reduced(file, side) for file in avatars.photographs(_PORTRAITS, seed)]

    def scene(self, user: int, number: int) -> bytes:
        """Make a photograph of things, animals or people, a JPEG."""
        return self._numbered(self._scenes[(number + 5 * user) % _SCENES], user, number)

    def portrait(self, user: int, number: int) -> bytes:
        """Make a photograph with one face, a JPEG."""
        return self._numbered(self._portraits[(number + user) % _PORTRAITS], user, number)

    def __call__(self, user: int, number: int) -> bytes:
        """Make the picture of a number; every third is a portrait."""
        return self.portrait(user, number) if number % 3 == 0 else self.scene(user, number)

    def _numbered(self, jpeg: bytes, user: int, number: int) -> bytes:
        comment = f"seed {self._seed}, user {user}, number {number}".encode()
        return jpeg[:2] + _COMMENT + (len(comment) + 2).to_bytes(2, "big") + comment + jpeg[2:]


def _reduced(jpeg: bytes, side: int) -> bytes:
    picture = PillowImage.open(io.BytesIO(jpeg))
    if max(picture.size) <= side:
        return jpeg
    picture.thumbnail((side, side), PillowImage.Resampling.BICUBIC)
    file = io.BytesIO()
    picture.save(file, "JPEG", quality=90)
    return file.getvalue()
