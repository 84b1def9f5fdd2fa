"""A correction against grouping anew: `python -m bench.speed.corrections [--faces 10000]`.

Fills an embedded PostgreSQL with an album of invented faces and groups it by the job `people`, with the real clusterer.
Then, in turn: all faces are grouped anew, and one is assigned to another person, which the person's faces show at once.
"""

from __future__ import annotations

import argparse
import asyncio
import statistics
import tempfile
import time
from pathlib import Path

import numpy as np
from sqlalchemy import text

from bench.report import Report
from bench.speed.large_albums import NothingToRead
from bench.speed.synthetic_faces import invent_album
from bench.speed.synthetic_rows import add_pictures, analyse_tables
from configs.settings import FaceOptions, Settings
from deployments.clustering import ClusteringDeployment
from serve_app.services.albums.items import DEFAULTS
from serve_app.services.albums.people import ClusterPeople
from serve_app.services.albums.snapshot import AlbumSnapshots
from serve_app.services.corrections import CorrectionService
from serve_app.services.jobs.progress import Progress
from serve_app.services.people.decisions import PeopleDecisions
from serve_app.services.people.effects import PeopleEffects
from serve_app.services.people.grouping import PeopleGrouping
from serve_app.services.people.service import PeopleService
from serve_app.store import migrate
from serve_app.store.embedded.server import ensure_running
from serve_app.store.ids import public_face_id
from serve_app.store.queue import jobs
from serve_app.store.repositories import albums
from serve_app.store.repositories.people_lists import PeopleFilters
from serve_app.store.repositories.users import LOCAL_USER_ID
from serve_app.store.session import Database

ROUNDS = 7
_FORGET = ("DELETE FROM person_faces", "DELETE FROM persons", "DELETE FROM people_faces", "DELETE FROM people")


class Bench:
    """One user's album with `size` faces."""

    def __init__(self, database: Database, size: int) -> None:
        settings = Settings(faces=FaceOptions(cut=0.385))  # the invented faces are like those of dlib's network
        self._database = database
        self._size = size
        clusterer = ClusteringDeployment(settings)
        self.grouping = PeopleGrouping(database, clusterer, settings)
        loader = AlbumSnapshots(database, NothingToRead(), 0)  # type: ignore[arg-type]
        self._people = ClusterPeople(database, loader, clusterer, self.grouping, settings)
        effects = PeopleEffects(settings)
        kinds = dict.fromkeys(("must", "cannot", "name", "hide"), effects)
        self._decisions = PeopleDecisions(database, CorrectionService(database, kinds), effects)  # type: ignore[arg-type]
        self._lists = PeopleService(database, self._decisions, settings.faces_model)

    async def fill(self) -> None:
        async with self._database.transaction() as session:
            self._album = (await albums.open_album(session, LOCAL_USER_ID, "bench")).id
        invented = invent_album(self._size)
        await add_pictures(self._database, self._album, invented, int(invented.pictures.max()) + 1)
        await analyse_tables(self._database)

    async def group_anew(self) -> float:
        """Group the album as if for the first time. -> seconds"""
        async with self._database.transaction() as session:
            for statement in _FORGET:
                await session.execute(text(statement))
            job = await jobs.enqueue(
                session,
                user_id=LOCAL_USER_ID,
                kind="people",
                album_id=self._album,
                payload={"parameters": DEFAULTS["people"], "detail": False},
                max_attempts=1,
            )
        started = time.perf_counter()
        await self._people(job, Progress())
        return time.perf_counter() - started

    async def correct(self, number: int) -> float:
        """Assign a face of the largest person to another one, and look at that one's faces. -> seconds"""
        people, _ = await self._lists.list_people(LOCAL_USER_ID, PeopleFilters(), 20, None)
        given, taken = people[0], people[1 + number]
        faces, _ = await self._lists.list_faces(LOCAL_USER_ID, given.id, "time", 50, None)
        face = faces[number].face.id
        started = time.perf_counter()
        await self._decisions.assign(LOCAL_USER_ID, public_face_id(face), taken.id)
        shown, _ = await self._lists.list_faces(LOCAL_USER_ID, taken.id, "time", 500, None)
        seconds = time.perf_counter() - started
        if face not in {one.face.id for one in shown}:
            raise RuntimeError("the correction is not in the answer")
        return seconds


async def _measure(size: int) -> tuple[list[float], list[float]]:
    with tempfile.TemporaryDirectory(prefix="darkroom-") as folder, ensure_running(Path(folder)) as server:
        await migrate.upgrade(server.dsn)
        database = Database(server.dsn, application_name="bench", statement_timeout_s=600)
        try:
            bench = Bench(database, size)
            await bench.fill()
            await bench.group_anew()
            await bench.correct(0)
            anew, corrected = [], []
            for number in range(1, ROUNDS):
                anew.append(await bench.group_anew())
                await analyse_tables(database)
                corrected.append(await bench.correct(number))
            return anew, corrected
        finally:
            await database.close()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--faces", type=int, default=10_000)
    size = parser.parse_args().faces
    anew, corrected = asyncio.run(_measure(size))
    report = Report("corrections")
    report.add(f"{size} faces grouped anew", statistics.median(anew), "s")
    report.add("a correction until it is in the answers", 1000 * statistics.median(corrected), "ms")
    ratio = float(np.median(np.array(corrected) / np.array(anew)))
    report.add("  of grouping anew", ratio, "", target=0.05, at_most=True)
    report.finish()


if __name__ == "__main__":
    main()
