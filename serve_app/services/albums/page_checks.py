"""Third look at pairs that pixels call duplicates: two pages of one form agree in nearly all of their pixels, and not
in what is written there."""

from __future__ import annotations

import asyncio
from collections import OrderedDict, defaultdict
from collections.abc import Sequence, Set

import structlog

from configs.settings import Settings
from deployments.algorithms.texts.page_pairs import compare_pages
from deployments.contracts.albums import PairVerdict
from deployments.contracts.texts import Text
from deployments.errors import DarkroomError, DeadlineExceeded, NotDeployed, Overloaded, WeightsMissing
from serve_app.services.albums.duplicate_report import Pair
from serve_app.services.albums.isolation import image_failure
from serve_app.services.albums.pair_checks import PairChecks
from serve_app.services.albums.text_reading import TextReading
from serve_app.services.jobs.progress import Progress
from serve_app.store.repositories import texts
from serve_app.store.repositories.images import Content
from serve_app.store.session import Database

log = structlog.get_logger(__name__)

PAGES_VERSION = "pages/1"
"""Version of the comparison of what is written; verdicts of another one are void."""
_KEPT_PAGES = 512
"""Pages whose texts are held at once: some 5 MB."""
_ROUNDS_LATE = 2
"""Pages in a row that took too long to read, by how many are read at once, from which on no more are tried."""


class PageChecks:
    """Checks of one album's pairs by what is written on both; indices are those of `contents`.

    Pages that were not read yet are read for it, as the job `texts` would read them a little later. Where nothing can
    read them now, what pixels say stands.
    """

    def __init__(
        self,
        database: Database,
        checks: PairChecks,
        reading: TextReading,
        settings: Settings,
        album_id: str,
        contents: Sequence[Content],
    ) -> None:
        self._database = database
        self._checks = checks
        self._reading = reading
        self._settings = settings
        self._album_id = album_id
        self._contents = contents
        self._writing: dict[int, float] = {}
        self._kept: OrderedDict[int, list[Text]] = OrderedDict()
        self._locks: defaultdict[int, asyncio.Lock] = defaultdict(asyncio.Lock)
        self._is_away = False
        self._unreadable: set[int] = set()
        """Pages that were tried, in however many pairs they are."""
        self._late = 0

    async def find_others(self, pairs: Set[Pair], progress: Progress) -> set[Pair]:
        """Find the pairs of which both are pages, and say other things."""
        pages = await self._pages({place for pair in pairs for place in pair})
        asked = {pair for pair in pairs if pages.issuperset(pair)}
        named = f"{PAGES_VERSION} {self._settings.texts_model}"
        verdicts = await self._checks.keep(named, asked, self._compare, progress)
        return {pair for pair, verdict in verdicts.items() if not verdict.is_copy}

    async def _compare(self, batch: Sequence[Pair]) -> dict[Pair, PairVerdict]:
        """Compare pairs of pages; one of which a page cannot be read now is missing."""
        verdicts = {}
        for a, b in batch:
            first, second = await self._text(a), await self._text(b)
            if first is not None and second is not None:
                compared = await asyncio.to_thread(compare_pages, first, second)
                verdicts[a, b] = PairVerdict(not compared.differ, float(not compared.differ))
        return verdicts

    async def _pages(self, places: Set[int]) -> set[int]:
        """Find the contents that look as if something were written there."""
        new = {self._contents[place].sha256: place for place in sorted(places - self._writing.keys())}
        async with self._database.transaction() as session:
            measured = await texts.load_writing(session, list(new))
        self._writing |= {place: measured.get(sha, 0.0) for sha, place in new.items()}
        return {place for place in places if self._writing[place] >= self._settings.texts.min_writing}

    async def _text(self, place: int) -> list[Text] | None:
        """What is written in a content; None where that cannot be read just now."""
        async with self._locks[place]:
            if place not in self._kept:
                found = await self._load(place)
                if found is None:
                    await self._read(place)
                    found = await self._load(place)
                if found is None:
                    return None
                self._kept[place] = found
            self._kept.move_to_end(place)
            found = self._kept[place]
        while len(self._kept) > _KEPT_PAGES:
            self._kept.popitem(last=False)
        return found

    async def _load(self, place: int) -> list[Text] | None:
        sha = self._contents[place].sha256
        async with self._database.transaction() as session:
            stored = await texts.load(session, self._settings.texts_model, [sha])
        return None if sha not in stored else [line.as_text() for line in stored[sha].lines]

    async def _read(self, place: int) -> None:
        content = self._contents[place]
        if self._is_away or place in self._unreadable or place in self._checks.failed:
            return
        self._unreadable.add(place)
        try:
            await self._reading.glance(self._album_id, content, is_measured=True)
            self._unreadable.discard(place)
            self._late = 0
        except (NotDeployed, WeightsMissing):
            self._is_away = True
        except DeadlineExceeded:
            log.warning("a page took too long to read and is compared by its pixels", image=content.sha256)
            self._late += 1
            self._is_away = self._is_away or self._late >= _ROUNDS_LATE * self._settings.runtime.threads
        except Overloaded:  # it reads, and has its hands full: the job waits, as one that reads alone does
            raise
        except Exception as error:
            if not (isinstance(error, DarkroomError) and error.is_outage):
                image_failure(error, content.sha256)  # raises what is not the image's fault
                return
            self._is_away = True
            log.warning("pages are compared by their pixels alone", reason=error.message)
