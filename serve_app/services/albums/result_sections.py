"""Results of analyses as sections of entries, as they are stored and answered by page, and made whole again. Pure.

What an entry says of its neighbours (a person's number, a group's) is left out, since one image more would change it in
thousands of entries: it follows from their order.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from serve_app.services.albums.naming import name_people, sort_by_tag
from serve_app.services.albums.results import (
    AnalysisResult,
    ClustersResult,
    DuplicatesResult,
    QualityResult,
    TagsResult,
    TextsResult,
)
from serve_app.store.repositories.result_parts import Entry

Entries = Sequence[dict[str, Any]]
Sections = Mapping[str, Entries]
"""Section -> what its entries hold, in order."""
NOBODY = "~"
"""In the key of a face, in place of a person's id and after all of them: it is unassigned."""
_MOST = 10**9


Place = tuple[int, str]
"""What the keys of entries about an image are made of: the id of its item, which grows with the order in which images
came, so that what is new is at the end, and its file content, empty where it was never read. A bare tuple, since there
are as many as images and the collector of cycles leaves these alone."""
Places = Mapping[str, Place]
"""Image reference -> its place."""


def item_key(item_id: int) -> str:
    return f"{item_id:019d}"


def split(kind: str, result: AnalysisResult, places: Places) -> dict[str, list[Entry]]:
    """Split a result with its details: section -> entries, sorted by key. `places`: of all images of the album."""
    shown = result.model_dump(mode="json")
    sections = _SPLIT[kind](shown, places)
    sections["failed"] = _by_image(shown["failed"], places)
    return {name: sorted(entries, key=lambda entry: entry[0]) for name, entries in sections.items()}


def join(kind: str, sections: Sections) -> AnalysisResult:
    """Make a result whole again, with its details."""
    return _JOIN[kind](sections, sorted(sections.get("failed", ()), key=_image))


def _by_image(entries: Iterable[dict[str, Any]], places: Places) -> list[Entry]:
    return [(item_key(places[entry["image"]][0]), entry) for entry in entries]


def _split_tags(shown: dict[str, Any], places: Places) -> dict[str, list[Entry]]:
    images = ({"image": image, "tags": tags} for image, tags in shown["scores"].items())
    return {"tags": _by_image(images, places)}


def _split_quality(shown: dict[str, Any], places: Places) -> dict[str, list[Entry]]:
    return {"quality": _by_image(shown["quality"], places)}


def _split_texts(shown: dict[str, Any], places: Places) -> dict[str, list[Entry]]:
    return {"texts": _by_image(shown["texts"], places)}


def _split_duplicates(shown: dict[str, Any], places: Places) -> dict[str, list[Entry]]:
    """Groups in the order of `group_duplicates`: the largest first, then by the content of their first member."""
    groups = []
    for group in shown["groups"]:
        members = [places[member["image"]] for member in group["members"]]
        item_id, sha = min(members, key=lambda place: place[::-1])
        key = f"{_MOST - len(members):010d}.{sha}.{item_key(item_id)}"
        groups.append((key, {name: value for name, value in group.items() if name != "group"}))
    return {"duplicates": groups}


def _split_people(shown: dict[str, Any], places: Places) -> dict[str, list[Entry]]:
    people, faces = [], _faces(NOBODY, shown["unassigned_faces"], places)
    for person in shown["people"]:
        images = len({face["image"] for face in person["faces"]})
        entry = {
            "id": person["id"],
            "image_count": images,
            "face_count": len(person["faces"]),
            "representative_face": person["representative_face"],
        }
        people.append((f"{_MOST - images:010d}.{person['id']}", entry))
        faces += _faces(person["id"], person["faces"], places)
    return {"people": people, "faces": faces}


def _faces(person: str, faces: Iterable[dict[str, Any]], places: Places) -> list[Entry]:
    entries = []
    seen: dict[str, int] = defaultdict(int)
    for face in faces:
        key = f"{person}.{item_key(places[face['image']][0])}.{seen[face['image']]:04d}"
        seen[face["image"]] += 1
        entries.append((key, {"person": None if person == NOBODY else person, **face}))
    return entries


def _join_tags(sections: Sections, failed: Entries) -> AnalysisResult:
    scores = {entry["image"]: entry["tags"] for entry in sorted(sections.get("tags", ()), key=_image)}
    return TagsResult.model_validate({"tags": sort_by_tag(scores), "failed": failed, "scores": scores})


def _join_quality(sections: Sections, failed: Entries) -> AnalysisResult:
    images = sorted(sections.get("quality", ()), key=_image)
    return QualityResult.model_validate({"quality": images, "failed": failed})


def _join_texts(sections: Sections, failed: Entries) -> AnalysisResult:
    images = sorted(sections.get("texts", ()), key=_image)
    return TextsResult.model_validate({"texts": images, "failed": failed})


def _join_duplicates(sections: Sections, failed: Entries) -> AnalysisResult:
    groups = [
        {"group": f"duplicate_group_{number}", **entry}
        for number, entry in enumerate(sections.get("duplicates", ()), 1)
    ]
    duplicates = {group["group"]: [member["image"] for member in group["members"]] for group in groups}
    return DuplicatesResult.model_validate({"duplicates": duplicates, "failed": failed, "groups": groups})


def _join_people(sections: Sections, failed: Entries) -> AnalysisResult:
    faces: dict[str | None, list[dict[str, Any]]] = defaultdict(list)
    for face in sorted(sections.get("faces", ()), key=lambda face: (face["image"], face["bbox"])):
        faces[face["person"]].append({name: value for name, value in face.items() if name != "person"})
    unassigned = faces.pop(None, [])
    pictures = {str(person): sorted({face["image"] for face in of}) for person, of in faces.items()}
    best = {person["id"]: person["representative_face"] for person in sections.get("people", ())}
    names = name_people(pictures)
    people = [
        {"id": person, "name": name, "faces": faces[person], "representative_face": best[person]}
        for person, name in names.items()
    ]
    shown = {
        "people_clusters": {name: pictures[person] for person, name in names.items()},
        "failed": failed,
        "people": people,
        "unassigned_faces": unassigned,
    }
    return ClustersResult.model_validate(shown)


def _image(entry: Mapping[str, Any]) -> str:
    return str(entry["image"])


_SPLIT: Mapping[str, Callable[[dict[str, Any], Places], dict[str, list[Entry]]]] = {
    "tags": _split_tags,
    "duplicates": _split_duplicates,
    "people": _split_people,
    "quality": _split_quality,
    "texts": _split_texts,
}
_JOIN: Mapping[str, Callable[[Sections, Entries], AnalysisResult]] = {
    "tags": _join_tags,
    "duplicates": _join_duplicates,
    "people": _join_people,
    "quality": _join_quality,
    "texts": _join_texts,
}
