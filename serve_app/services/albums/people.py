"""The job that finds out who appears with whom."""

from __future__ import annotations

from typing import Any

import numpy as np

from configs.settings import Settings
from deployments.contracts.albums import FaceClusterer
from serve_app.services.albums.people_result import AlbumFace, people_payload
from serve_app.services.albums.snapshot import AlbumLoader, keep_result
from serve_app.services.jobs.progress import Progress
from serve_app.store.queue.jobs import Job
from serve_app.store.repositories import albums, faces, persons
from serve_app.store.session import Database


class ClusterPeople:
    def __init__(self, database: Database, albums: AlbumLoader, clusterer: FaceClusterer, settings: Settings) -> None:
        self._database = database
        self._albums = albums
        self._clusterer = clusterer
        self._settings = settings

    async def __call__(self, job: Job, progress: Progress) -> dict[str, Any]:
        subject = await self._albums.load(job, progress)
        async with self._database.transaction() as session:
            found = await faces.load(session, self._settings.faces_model, subject.shas)
            previous = await persons.load_labels(session, subject.album_id, found.ids)
        labels = np.zeros(0, np.int64)
        if len(found.ids):
            known = previous if (previous != persons.UNKNOWN).any() else None
            labels = await self._clusterer.cluster_faces(found.vectors, found.pictures, found.quality, known)
        progress.report(0.9)
        async with self._database.transaction() as session:
            if await albums.get(session, subject.album_id) is not None:
                labels = await persons.save(session, subject.album_id, found.ids, labels)
            people = await persons.load(session, subject.album_id)

        album_faces = [
            AlbumFace(str(face_id), subject.contents[place].sha256, tuple(box), float(score), float(quality))
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
            if label != persons.UNASSIGNED
        }
        parameters = job.payload["parameters"]
        payload = people_payload(
            subject.items, album_faces, person_of, subject.failed, int(parameters.get("min_images") or 1)
        )
        await keep_result(self._database, subject, "people", parameters, payload)
        return payload
