"""Rows and answers of large albums: `python -m bench.speed.large_albums [--sizes 1000 10000 100000]`.

Fills an embedded PostgreSQL with synthetic albums (images, faces, people, quality, tags; no vectors and no files) and
measures what is done with their rows: saving people and results, anew and after one picture or a hundred more, and
reading. Clustering is measured by `bench.speed.people`; here the true groups are given. Each size runs in a process of
its own. Seconds are of the clock, with the database's share: the least of three where a step can be repeated. Memory is
the peak of the process beyond what it held before the step.
"""

from __future__ import annotations

import argparse
import asyncio
import multiprocessing
import tempfile
import time
from collections.abc import Awaitable, Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from math import log10
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table

from bench.report import Report, machine
from bench.speed.synthetic_faces import SyntheticAlbum, invent_album
from bench.speed.synthetic_rows import MODEL, add_pictures, analyse_tables, people_of, some_tags
from configs.settings import Settings
from serve_app.services.albums.items import DEFAULTS
from serve_app.services.albums.pages import AlbumPages
from serve_app.services.albums.people import ClusterPeople
from serve_app.services.albums.snapshot import AlbumSnapshots, keep_result
from serve_app.services.albums.stored_results import StoredResults
from serve_app.services.albums.tags import tags_result
from serve_app.services.jobs.progress import Progress
from serve_app.services.people.grouping import PeopleGrouping
from serve_app.store import migrate
from serve_app.store.embedded.server import ensure_running
from serve_app.store.queue import jobs
from serve_app.store.repositories import albums, faces, persons
from serve_app.store.repositories.users import LOCAL_USER_ID
from serve_app.store.session import Database

SIZES = (1_000, 10_000, 100_000)
REPEATS = 3
PAGE = 100
_NEW = 10**6
"""Added to the numbers of groups that no person stands for yet, which are far below it as labels are."""
ANEW, ONE_MORE, A_HUNDRED_MORE = "anew", "one picture more", "a hundred more"
WRITES = ("people saved", "people reported and stored", "tags stored")
READS = ("description, first page", "a page of images in the middle", "a page of faces in the middle", "a page of tags")


@dataclass(frozen=True, slots=True)
class Measured:
    seconds: float
    peak_mb: float
    blocked_s: float
    """Longest time in which the event loop did nothing else."""


Step = Callable[[], Awaitable[object]]
Figures = dict[str, Measured]


class GivenGroups:
    """A clusterer that is told the groups."""

    labels: NDArray[np.int64]

    async def cluster_faces(self, *_: object) -> NDArray[np.int64]:
        return self.labels


class NothingToRead:
    """An ingester for albums all of whose images are embedded."""

    async def read_album(self, *_: object) -> None:
        return


class Bench:
    """One album of `size` images and as many faces."""

    def __init__(self, database: Database, size: int) -> None:
        settings = Settings()
        assert settings.faces_model == MODEL
        self._database = database
        self._size = size
        self._name = f"album of {size}"
        self._loader = AlbumSnapshots(database, NothingToRead(), 0)  # type: ignore[arg-type]
        self._clusterer = GivenGroups()
        self._people = ClusterPeople(
            database, self._loader, self._clusterer, PeopleGrouping(database, self._clusterer, settings), settings
        )
        self._pages = AlbumPages(database, StoredResults(database, settings.limits.max_whole_album))
        self._groups: dict[str, list[int]] = {}
        self._labels: dict[int, int] = {}
        self._tags: dict[str, dict[str, float]] = {}
        self._rng = np.random.default_rng(1)
        self.figures: Figures = {}

    async def run(self) -> Figures:
        async with self._database.transaction() as session:
            self._album = (await albums.open_album(session, LOCAL_USER_ID, self._name)).id
        await self._add(invent_album(self._size), self._size)
        await analyse_tables(self._database)
        await self._measure_writes(ANEW)
        for _ in range(REPEATS):
            await self._add(_one_face(), 1)
            await self._measure_writes(ONE_MORE)
        await self._add(invent_album(100, seed=5), 100)
        await self._measure_writes(A_HUNDRED_MORE)
        await self._measure_reads()
        return self.figures

    async def _add(self, album: SyntheticAlbum, count: int) -> None:
        added = await add_pictures(self._database, self._album, album, count)
        self._tags |= some_tags(added, self._rng)
        for picture in added:
            self._groups[picture.sha256] = []
        for picture_of, group in zip(album.pictures.tolist(), people_of(album).tolist(), strict=True):
            self._groups[added[picture_of].sha256].append(group)

    async def _measure_writes(self, what: str) -> None:
        snapshot = await self._loader.snapshot(self._album)
        groups = [group for sha in snapshot.shas for group in self._groups[sha]]
        # Who is known keeps the label, as the incremental clusterer has it.
        label_of = {group: self._labels.get(group, _NEW + group) for group in groups if group >= 0}
        self._clusterer.labels = np.array([label_of.get(group, -1) for group in groups], np.int64)
        async with self._database.transaction() as session:
            found = await faces.load(session, MODEL, snapshot.shas)
            job = await jobs.enqueue(
                session,
                user_id=LOCAL_USER_ID,
                kind="people",
                album_id=self._album,
                payload={"parameters": DEFAULTS["people"], "detail": False},
                max_attempts=1,
            )

        async def save_people() -> None:
            async with self._database.transaction() as session:
                labels = await persons.save(session, self._album, found.ids, self._clusterer.labels)
            self._labels = dict(zip(groups, labels.tolist(), strict=True))

        steps: tuple[Step, ...] = (
            save_people,
            lambda: self._people(job, Progress()),
            lambda: keep_result(
                self._database, snapshot, "tags", {}, lambda: tags_result(snapshot.items, self._tags, [])
            ),
        )
        for name, step in zip(WRITES, steps, strict=True):
            await self._measure(f"{name}, {what}", step)

    async def _measure_reads(self) -> None:
        mine = (LOCAL_USER_ID, self._name)
        middle = {section: await self._cursor_in_the_middle(section) for section in ("images", "faces")}
        steps: tuple[Step, ...] = (
            lambda: self._pages.get_album(*mine),
            lambda: self._pages.list_images(*mine, PAGE, middle["images"]),
            lambda: self._pages.list_entries(*mine, "people", "faces", PAGE, middle["faces"]),
            lambda: self._pages.list_entries(*mine, "tags", "tags", PAGE, None),
        )
        for name, step in zip(READS, steps, strict=True):
            for _ in range(REPEATS + 1):  # the first one prepares statements
                await self._measure(name, step)

    async def _cursor_in_the_middle(self, section: str) -> str:
        """Cursor halfway through a list, found by walking there."""
        cursor: str | None = None
        for _ in range(self._size // 2 // 500 or 1):
            if section == "images":
                cursor = (await self._pages.list_images(LOCAL_USER_ID, self._name, 500, cursor)).next_cursor or cursor
            else:
                page = await self._pages.list_entries(LOCAL_USER_ID, self._name, "people", section, 500, cursor)
                cursor = page[1] or cursor
        return cursor or ""

    async def _measure(self, name: str, step: Step) -> None:
        """Measure a step; of several of one name the quickest is kept."""
        before = _begin_peak()
        with _longest_block() as blocked:
            started = time.perf_counter()
            await step()
            seconds = time.perf_counter() - started
            await asyncio.sleep(0)
        measured = Measured(seconds, (_kilobytes("VmHWM") - before) / 1024, max(blocked))
        if name not in self.figures or seconds < self.figures[name].seconds:
            self.figures[name] = measured


def _one_face() -> SyntheticAlbum:
    """An image with one face, of the first person that every synthetic album has."""
    vector = np.full((1, 128), 128**-0.5, np.float32)
    nobody = np.zeros(1, np.int64)
    return SyntheticAlbum(vector, nobody, nobody, np.ones(1, np.float32))


@contextmanager
def _longest_block() -> Any:
    """Collect how long a task that wants to run all the time waits for its turn, in seconds."""
    waits = [0.0]

    async def watch() -> None:
        while True:
            started = time.perf_counter()
            await asyncio.sleep(0.001)
            waits.append(time.perf_counter() - started - 0.001)

    watching = asyncio.get_running_loop().create_task(watch())
    try:
        yield waits
    finally:
        watching.cancel()


def _begin_peak() -> int:
    """Let the peak of this process begin anew. -> kilobytes that it holds now"""
    Path("/proc/self/clear_refs").write_text("5")
    return _kilobytes("VmRSS")


def _kilobytes(field: str) -> int:
    status = Path("/proc/self/status").read_text()
    return int(next(line for line in status.splitlines() if line.startswith(field)).split()[1])


def measure(dsn: str, size: int) -> Figures:
    async def run() -> Figures:
        database = Database(dsn, application_name="bench", statement_timeout_s=600)
        try:
            return await Bench(database, size).run()
        finally:
            await database.close()

    return asyncio.run(run())


def print_table(sizes: Sequence[int], figures: dict[int, Figures]) -> None:
    table = Table("step", title=f"rows and answers: {machine()}", title_justify="left")
    for size in sizes:
        for unit in ("s", "MB", "s of the loop"):
            table.add_column(f"{size:,} {unit}", justify="right")
    for name in figures[sizes[0]]:
        cells: list[str] = []
        for size in sizes:
            of = figures[size][name]
            cells += [f"{of.seconds:.3g}", f"{of.peak_mb:.0f}", f"{of.blocked_s:.2g}"]
        table.add_row(name, *cells)
    Console(width=200).print(table)


def report_on(sizes: Sequence[int], figures: dict[int, Figures]) -> None:
    report = Report("large_albums")
    small, large = sizes[-2:]
    for name in figures[large]:
        growth = log10(figures[large][name].seconds / figures[small][name].seconds) / log10(large / small)
        aim = 1.2 if name.endswith(ANEW) else 1.1
        report.add(f"{name}: growth {small} to {large}", growth, "exponent", target=aim, at_most=True)
    for name in WRITES:
        share = figures[large][f"{name}, {ONE_MORE}"].seconds / figures[large][f"{name}, {ANEW}"].seconds
        aimed = 0.02 if name == WRITES[0] else None
        report.add(f"{name}: {ONE_MORE} over {ANEW}, {large}", share, "", target=aimed, at_most=True)
    report.finish()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--sizes", type=int, nargs="+", default=SIZES)
    sizes = parser.parse_args().sizes
    figures: dict[int, Figures] = {}
    with tempfile.TemporaryDirectory() as folder, ensure_running(Path(folder)) as server:
        asyncio.run(migrate.upgrade(server.dsn))
        for size in sizes:
            with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as process:
                figures[size] = process.submit(measure, server.dsn, size).result()
    print_table(sizes, figures)
    report_on(sizes, figures)


if __name__ == "__main__":
    main()
