"""Faces of an album as the analyses of people see them."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class AlbumFace:
    """A face in a file content; its box is in pixels of the upright original."""

    id: str
    sha256: str
    bbox: tuple[float, float, float, float]
    score: float
    quality: float
