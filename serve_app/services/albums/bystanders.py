"""Bystanders: faces that a photograph shows by chance, by their place among its other faces."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence

from serve_app.services.albums.album_faces import AlbumFace

BEHIND = 0.6
"""Width, as a share of the widest face in the image, under which a face is far behind: a person nearly twice as far
from the camera. Friends on one sofa, a parent and a child differ by less."""
CUT_SHARE = 0.85
"""Share of a face's box inside the image under which the border cuts it. The boxes of whole faces at a border reach
over it by up to a tenth."""
POOR = 0.5
"""Quality under which a face beside a better one was not what the camera was pointed at."""
TINY = 0.03
"""Width, as a share of the image's longer side, under which even the widest face is somebody in a landscape."""
Size = tuple[int, int]


def find_bystanders(faces: Iterable[AlbumFace], sizes: Mapping[str, Size]) -> set[str]:
    """Find the ids of the faces that are bystanders'; `sizes`: file content -> width and height of the upright image.

    The face with the largest part inside its image is never one for being behind, cut or poor: something was
    photographed. Any face may be tiny.
    """
    by_image: dict[str, list[AlbumFace]] = defaultdict(list)
    for face in faces:
        by_image[face.sha256].append(face)
    found: set[str] = set()
    for sha, together in by_image.items():
        found |= _in_image(together, sizes[sha])
    return found


def _in_image(faces: Sequence[AlbumFace], size: Size) -> set[str]:
    main = max(faces, key=lambda face: (_inside(face, size), face.quality, face.id))
    widest = max(_width(face) for face in faces)
    return {
        face.id
        for face in faces
        if _width(face) < TINY * max(size)
        or (
            face is not main
            and (_width(face) < BEHIND * widest or _inside(face, size) < CUT_SHARE * _area(face) or face.quality < POOR)
        )
    }


def _width(face: AlbumFace) -> float:
    return face.bbox[2] - face.bbox[0]


def _area(face: AlbumFace) -> float:
    return _width(face) * (face.bbox[3] - face.bbox[1])


def _inside(face: AlbumFace, size: Size) -> float:
    """Measure the area of the face's box that lies inside the image, in square pixels."""
    x1, y1, x2, y2 = face.bbox
    wide, high = min(x2, size[0]) - max(x1, 0.0), min(y2, size[1]) - max(y1, 0.0)
    return max(wide, 0.0) * max(high, 0.0)
