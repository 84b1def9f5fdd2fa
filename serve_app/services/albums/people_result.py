"""From cluster labels to the answer about people. Pure: the same faces and labels give the same answer."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from serve_app.services.albums.items import Item


@dataclass(frozen=True, slots=True)
class AlbumFace:
    """A face of some content; its box is in pixels of the upright original."""

    id: str
    sha256: str
    bbox: tuple[float, float, float, float]
    score: float
    quality: float


def people_payload(
    items: Sequence[Item],
    faces: Sequence[AlbumFace],
    person_of: Mapping[str, str],
    failed: list[dict[str, str]],
    min_images: int,
) -> dict[str, Any]:
    """The detailed answer. `person_of`: face id -> person id; a face that is missing there belongs to nobody.

    Persons are named `person1`, `person2` ... by the number of their pictures, then by the pictures' references.
    """
    refs: dict[str, list[str]] = defaultdict(list)
    for item in items:
        refs[item.sha256].append(item.ref)
    members: dict[str, list[AlbumFace]] = defaultdict(list)
    unassigned = []
    for face in faces:
        if face.id in person_of:
            members[person_of[face.id]].append(face)
        else:
            unassigned += _views(face, refs)

    pictures = {person: sorted({ref for face in of for ref in refs[face.sha256]}) for person, of in members.items()}
    order = sorted(
        (person for person in members if len(pictures[person]) >= min_images),
        key=lambda person: (-len(pictures[person]), pictures[person], person),
    )
    clusters: dict[str, list[str]] = {}
    people: list[dict[str, Any]] = []
    for number, person in enumerate(order, 1):
        name = f"person{number}"
        clusters[name] = pictures[person]
        views = [view for face in members[person] for view in _views(face, refs)]
        best = max(members[person], key=lambda face: (face.quality, face.score, face.id))
        people.append(
            {
                "id": person,
                "name": name,
                "faces": sorted(views, key=_place),
                "representative_face": _views(best, refs)[0],
            }
        )
    unassigned.sort(key=_place)
    return {"people_clusters": clusters, "failed": failed, "people": people, "unassigned_faces": unassigned}


def _place(view: dict[str, Any]) -> tuple[str, list[float]]:
    return view["image"], view["bbox"]


def _views(face: AlbumFace, refs: Mapping[str, list[str]]) -> list[dict[str, Any]]:
    return [
        {
            "image": ref,
            "bbox": [round(value, 1) for value in face.bbox],
            "score": round(face.score, 4),
            "quality": round(face.quality, 4),
        }
        for ref in sorted(refs[face.sha256])
    ]
