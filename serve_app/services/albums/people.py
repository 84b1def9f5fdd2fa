"""The job `people`: faces of an album, grouped by person."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Mapping, Sequence
from functools import partial

import numpy as np
from numpy.typing import NDArray

from configs.settings import Settings
from deployments.contracts.albums import UNASSIGNED, FaceClusterer
from deployments.errors import Unavailable
from serve_app.services.albums.album_faces import AlbumFace
from serve_app.services.albums.bystanders import find_bystanders
from serve_app.services.albums.items import Item
from serve_app.services.albums.naming import name_people
from serve_app.services.albums.results import AnalysisResult, ClustersResult, Failed, Person, PersonFace, ResultPages
from serve_app.services.albums.snapshot import AlbumSnapshot, AlbumSnapshots, keep_result
from serve_app.services.jobs.progress import Progress
from serve_app.services.people.grouping import GroupedFaces, PeopleGrouping, links_or_none, without_doubted
from serve_app.services.people.memory import load_memory
from serve_app.services.people.places import PlacedFaces
from serve_app.store.queue.jobs import QueuedJob
from serve_app.store.repositories import albums, faces, persons, results
from serve_app.store.repositories import people as people_state
from serve_app.store.repositories.faces import StoredFaces
from serve_app.store.repositories.persons import StoredPerson
from serve_app.store.session import Database

_TRIES = 5
"""Times that faces are grouped while corrections come in between."""


class ClusterPeople:
    """Handler of the job kind `people`."""

    def __init__(
        self,
        database: Database,
        albums: AlbumSnapshots,
        clusterer: FaceClusterer,
        library: PeopleGrouping,
        settings: Settings,
    ) -> None:
        self._database = database
        self._albums = albums
        self._clusterer = clusterer
        self._library = library
        self._settings = settings

    async def __call__(self, job: QueuedJob, progress: Progress) -> AnalysisResult | ResultPages:
        snapshot = await self._albums.load(job, progress)
        found, labels, people = await self._group(job.user_id, snapshot)
        progress.report(0.85)
        await self._library.update(job.user_id, GroupedFaces(snapshot.shas, found, labels))
        progress.report(0.9)

        parameters = job.payload["parameters"]
        persons_of = [None if label == UNASSIGNED else people[label].id for label in labels.tolist()]
        report = partial(
            _report,
            snapshot,
            found,
            persons_of,
            int(parameters.get("min_images") or 1),
            bystanders=bool(parameters.get("bystanders")),
        )
        return await keep_result(self._database, snapshot, "people", parameters, report)

    async def _group(
        self, user_id: str, snapshot: AlbumSnapshot
    ) -> tuple[StoredFaces, NDArray[np.int64], dict[int, StoredPerson]]:
        """Group the album's faces, as the user's corrections have it. -> these, their labels, the people by label

        Raises `Unavailable` where corrections come in faster than faces are grouped: the job is tried again.
        """
        model = self._settings.faces_model
        for _ in range(_TRIES):
            async with self._database.transaction() as session:
                grouped_at = await persons.load_grouped_at(session, snapshot.album_id)
                memory = await load_memory(session, user_id, grouped_at)
                found = await faces.load(session, model, snapshot.shas)
                previous = await persons.load_labels(session, snapshot.album_id, found.ids)
                moved = await persons.load_moved_labels(session, snapshot.album_id, model, found, snapshot.shas)
            labels = np.zeros(0, np.int64)
            if len(found.ids):
                sizes = [(content.width, content.height) for content in snapshot.contents]
                placed = PlacedFaces(snapshot.shas, sizes, found.pictures, found.boxes)
                said = await asyncio.to_thread(memory.resolve, placed)
                # Groups of another network's faces are no start for this one's: all faces are grouped anew.
                known = without_doubted(previous, said) if moved is None else None
                labels = await self._clusterer.cluster_faces(
                    found.vectors, found.pictures, found.quality, known, *links_or_none(said)
                )
            async with self._database.transaction() as session:
                state = await people_state.lock(session, user_id)
                if state is None or state.revision != memory.revision:
                    continue
                if await albums.get(session, snapshot.album_id) is not None:
                    labels = await persons.save(session, snapshot.album_id, found.ids, labels, moved)
                    await persons.note_grouped(session, snapshot.album_id)
                    if moved is not None:
                        await results.remove(session, snapshot.album_id, "people")
                return found, labels, await persons.load(session, snapshot.album_id)
        raise Unavailable("The people of the album are being corrected faster than they can be grouped")


def _report(
    snapshot: AlbumSnapshot, found: StoredFaces, persons_of: Sequence[str | None], min_images: int, *, bystanders: bool
) -> ClustersResult:
    """Report on the faces of an album. `persons_of`: the id of each face's person; None: unassigned."""
    album_faces = [
        AlbumFace(str(face_id), snapshot.contents[place].sha256, tuple(box), float(score), float(quality))
        for face_id, place, box, score, quality in zip(
            found.ids.tolist(), found.pictures.tolist(), found.boxes.tolist(), found.scores, found.quality, strict=True
        )
    ]
    person_of = {face.id: person for face, person in zip(album_faces, persons_of, strict=True) if person is not None}
    return people_result(snapshot.items, album_faces, person_of, snapshot.failed, min_images, bystanders=bystanders)


def people_result(
    items: Sequence[Item],
    faces: Sequence[AlbumFace],
    person_of: Mapping[str, str],
    failed: list[Failed],
    min_images: int,
    *,
    bystanders: bool = False,
) -> ClustersResult:
    """Sort faces by person, with details. `person_of`: face id -> person id; faces without one are unassigned, and
    unless `bystanders` are asked for, so are people seen as such in one image only.
    """
    refs: dict[str, list[str]] = defaultdict(list)
    for item in items:
        refs[item.sha256].append(item.ref)
    members: dict[str, list[AlbumFace]] = defaultdict(list)
    nobodys: list[AlbumFace] = []
    for face in faces:
        if face.id in person_of:
            members[person_of[face.id]].append(face)
        else:
            nobodys.append(face)
    if not bystanders:
        sizes = {item.sha256: (item.width, item.height) for item in items}
        chance = find_bystanders(faces, sizes)
        for person, of in list(members.items()):
            if len({face.sha256 for face in of}) == 1 and all(face.id in chance for face in of):
                nobodys += members.pop(person)
    unassigned = [shown for face in nobodys for shown in _occurrences(face, refs)]

    pictures = {person: sorted({ref for face in of for ref in refs[face.sha256]}) for person, of in members.items()}
    names = name_people({person: of for person, of in pictures.items() if len(of) >= min_images})
    return ClustersResult(
        people_clusters={name: pictures[person] for person, name in names.items()},
        failed=failed,
        people=[_person(person, name, members[person], refs) for person, name in names.items()],
        unassigned_faces=sorted(unassigned, key=_place),
    )


def _person(person: str, name: str, faces: Sequence[AlbumFace], refs: Mapping[str, list[str]]) -> Person:
    best = max(faces, key=lambda face: (face.quality, face.score, face.id))
    return Person(
        id=person,
        name=name,
        faces=sorted((shown for face in faces for shown in _occurrences(face, refs)), key=_place),
        representative_face=_occurrences(best, refs)[0],
    )


def _place(face: PersonFace) -> tuple[str, tuple[float, float, float, float]]:
    return face.image, face.bbox


def _occurrences(face: AlbumFace, refs: Mapping[str, list[str]]) -> list[PersonFace]:
    """The face in every reference to its content."""
    x1, y1, x2, y2 = (round(value, 1) for value in face.bbox)
    return [
        PersonFace(image=ref, bbox=(x1, y1, x2, y2), score=round(face.score, 4), quality=round(face.quality, 4))
        for ref in sorted(refs[face.sha256])
    ]
