"""The job that finds out who appears with whom."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from configs.settings import Settings
from deployments.contracts.albums import UNASSIGNED, UNKNOWN, FaceClusterer
from serve_app.services.albums.items import Item
from serve_app.services.albums.snapshot import AlbumSnapshots, keep_result
from serve_app.services.jobs.progress import Progress
from serve_app.store.queue.jobs import QueuedJob
from serve_app.store.repositories import albums, faces, persons
from serve_app.store.session import Database


class ClusterPeople:
    def __init__(
        self, database: Database, albums: AlbumSnapshots, clusterer: FaceClusterer, settings: Settings
    ) -> None:
        self._database = database
        self._albums = albums
        self._clusterer = clusterer
        self._settings = settings

    async def __call__(self, job: QueuedJob, progress: Progress) -> dict[str, Any]:
        snapshot = await self._albums.load(job, progress)
        async with self._database.transaction() as session:
            found = await faces.load(session, self._settings.faces_model, snapshot.shas)
            previous = await persons.load_labels(session, snapshot.album_id, found.ids)
        labels = np.zeros(0, np.int64)
        if len(found.ids):
            known = previous if (previous != UNKNOWN).any() else None
            labels = await self._clusterer.cluster_faces(found.vectors, found.pictures, found.quality, known)
        progress.report(0.9)
        async with self._database.transaction() as session:
            if await albums.get(session, snapshot.album_id) is not None:
                labels = await persons.save(session, snapshot.album_id, found.ids, labels)
            people = await persons.load(session, snapshot.album_id)

        album_faces = [
            AlbumFace(str(face_id), snapshot.contents[place].sha256, tuple(box), float(score), float(quality))
            for face_id, place, box, score, quality in zip(
                found.ids.tolist(),
                found.pictures.tolist(),
                found.boxes.tolist(),
                found.scores,
                found.quality,
                strict=True,
            )
        ]
        person_of = {
            face.id: people[label].id
            for face, label in zip(album_faces, labels.tolist(), strict=True)
            if label != UNASSIGNED
        }
        parameters = job.payload["parameters"]
        payload = people_payload(
            snapshot.items, album_faces, person_of, snapshot.failed, int(parameters.get("min_images") or 1)
        )
        await keep_result(self._database, snapshot, "people", parameters, payload)
        return payload


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
