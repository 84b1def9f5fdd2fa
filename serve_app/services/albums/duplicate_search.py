"""Search for an album's duplicates: candidate pairs by vector, verified by geometry, with verdicts kept for the next
time, and a second look at files that show more than one picture."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from functools import partial

import numpy as np
from numpy.typing import NDArray

from configs.settings import Settings
from deployments.algorithms.duplicates.groups import DuplicateLink, ImageGroup, classify_pair
from deployments.algorithms.duplicates.richness import Richness, is_rich
from deployments.algorithms.images.borders import content_box
from deployments.contracts.albums import DuplicateFinder, DuplicateLevel, Pairs, PairVerdict, Shown
from deployments.contracts.arrays import Image, StoredVectors
from serve_app.services.albums.bursts import Bursts
from serve_app.services.albums.candidate_search import CandidateSearch
from serve_app.services.albums.candidate_state import AlbumPairs
from serve_app.services.albums.candidate_store import CandidateStore
from serve_app.services.albums.duplicate_report import (
    ContentPair,
    Pair,
    duplicates_result,
    exact_links,
    group_items,
    pairs_between_groups,
)
from serve_app.services.albums.isolation import image_failure
from serve_app.services.albums.layer_checks import LayerChecks, needs_second_look
from serve_app.services.albums.page_checks import PageChecks
from serve_app.services.albums.pair_checks import PairChecks
from serve_app.services.albums.results import DuplicatesResult, Failed
from serve_app.services.albums.snapshot import AlbumSnapshot
from serve_app.services.albums.text_reading import TextReading
from serve_app.services.images.store import ImageStore
from serve_app.services.jobs.progress import Progress
from serve_app.store.repositories import duplicates, quality, vectors
from serve_app.store.repositories.images import Content
from serve_app.store.session import Database

_VERSION = "sift/5"
"""Version of the geometric check; verdicts of another one are void."""
_LAYERS_VERSION = f"{_VERSION} layers/1"
"""Version of the second look at pairs with frames or transparency."""
_SAME_PIXELS_COSINE = 0.97
"""Files with the same upright pixels differ in their vectors only by how their decoders scale."""
_MERGING_ROUNDS = 3
_SHARE_OF_PIXELS = 0.8
"""Share of the progress of a comparison that pixels take; the rest is reading."""
_PAIRS_AT_ONCE = 8192
"""Candidate pairs whose verdicts are held at once."""
_ONE_PICTURE = frozenset({"image/jpeg"})
"""Content types of one opaque picture of 8 bits, whatever the file."""
_OPAQUE = _ONE_PICTURE | {"image/heic", "image/heif", "image/bmp"}
"""Content types in which nobody writes drawings on clear ground."""


class DuplicateSearch:
    """One search through the contents of a snapshot, which are named by their index."""

    def __init__(
        self,
        database: Database,
        pictures: ImageStore,
        finder: DuplicateFinder,
        candidates: CandidateStore,
        reading: TextReading,
        settings: Settings,
        snapshot: AlbumSnapshot,
        user_id: str,
    ) -> None:
        self._database = database
        self._pictures = pictures
        self._settings = settings
        self._search = CandidateSearch(
            partial(_load_vectors, database, settings.embedding_model),
            finder,
            candidates,
            settings.duplicates,
            f"{settings.embedding_model} {_VERSION}",
            snapshot.album_id,
            snapshot.shas,
        )
        self._snapshot = snapshot
        self._user_id = user_id
        self._apart: list[ContentPair] = []
        self._bursts = Bursts(database, settings.faces_model, settings.duplicates.burst_gap_s, self._preview)
        self._contents = snapshot.contents
        self._place = {content.sha256: place for place, content in enumerate(snapshot.contents)}
        self._checks = PairChecks(database, finder, pictures, snapshot.contents, settings.runtime.threads)
        self._pages = PageChecks(database, self._checks, reading, settings, snapshot.album_id, snapshot.contents)
        self._others: set[Pair] = set()
        """Pairs that pixels link and that are two pages of one form."""
        self._digests: dict[str, str] = {}
        self._pixels: dict[str, int] = {}
        self._measured: set[str] = set()
        self._richness: dict[str, Richness] = {}

    async def run(self, level: DuplicateLevel, progress: Progress) -> DuplicatesResult:
        links: list[DuplicateLink] = []
        async with self._database.transaction() as session:
            self._apart = await duplicates.load_apart(session, self._user_id)
        if len(self._contents) > 1:
            pairs = await self._search.run(progress.part(0.0, 0.1))
            await self._hash(_suspects(self._contents, pairs.open))
            progress.report(0.1)
            if level != "exact":
                links = await self._copies_and_shots(pairs, level, progress.part(0.1, 1.0))
        groups = await self._group(links, level)
        every = [*links, *exact_links(self._digests)]
        members = sorted({key.split(" ")[0] for group in groups for key in group.members})
        await self._measure(members)
        async with self._database.transaction() as session:
            judged = {sha: one.score for sha, one in (await quality.load(session, members)).items()}
        shots = await self._bursts.choose(self._user_id, self._snapshot.items, groups)
        return duplicates_result(
            self._snapshot.items, groups, every, self._pixels, self._failed(), self._richness, judged, shots
        )

    async def _group(self, links: list[DuplicateLink], level: DuplicateLevel) -> list[ImageGroup]:
        """Group, and once more where files of one group turn out to show the same."""

        def group(at: DuplicateLevel) -> list[ImageGroup]:
            every = [*links, *exact_links(self._digests)]
            other_pages = [(self._contents[a].sha256, self._contents[b].sha256) for a, b in sorted(self._others)]
            return group_items(self._snapshot.items, every, at, self._richness, [*self._apart, *other_pages])

        if level != "exact":
            twins = [
                place
                for one in group("copy")
                for alike in _by_size(self._contents[self._place[key.split(" ")[0]]] for key in one.members)
                for place in sorted(self._place[content.sha256] for content in alike)
            ]
            await self._hash(twins)
        return group(level)

    async def _hash(self, places: Iterable[int]) -> None:
        """Hash what contents show; one that cannot be decoded in full shows something of its own."""
        for place in places:
            sha = self._contents[place].sha256
            if sha not in self._digests and (shown := await self._shown(place)) is not None:
                self._digests[sha] = shown.digest

    async def _shown(self, place: int) -> Shown | None:
        try:
            return await self._pictures.shown(self._contents[place])
        except Exception as error:
            failure = image_failure(error, self._contents[place].sha256)
            if failure.code == "analysis_failed":
                self._checks.failed[place] = failure
            return None

    async def _copies_and_shots(
        self, pairs: AlbumPairs, level: DuplicateLevel, progress: Progress
    ) -> list[DuplicateLink]:
        """Link copies and shots of one moment among the candidates, and copies among the pairs that groups suggest.

        The shortlist names a few neighbours of each image. Where there are more copies of one image than that, they
        fall into several groups; comparing the groups' centres with one another's members brings them together.
        """
        verdicts, cosines = await self._linking(pairs, level, progress.part(0.0, 0.7))
        for _ in range(_MERGING_ROUNDS):
            copies = {pair for pair, verdict in verdicts.items() if verdict.is_copy and pair not in self._others}
            wanted = pairs_between_groups(copies) - verdicts.keys()
            if not wanted:
                break
            found = await self._checks.verdicts(_VERSION, wanted, progress.part(progress.share, 1.0))
            await self._read(found, level, progress.part(progress.share, 1.0))
            verdicts |= found
        linked = {pair: link for pair in sorted(verdicts) if (link := self._link(pair, verdicts[pair], cosines))}
        if level == "copy":
            linked = {pair: link for pair, link in linked.items() if link.level == "copy" or self._may_be_clear(pair)}
        return await self._look_again(linked, cosines, progress.part(progress.share, 1.0))

    async def _linking(
        self, pairs: AlbumPairs, level: DuplicateLevel, progress: Progress
    ) -> tuple[dict[Pair, PairVerdict], dict[Pair, float]]:
        """Verify candidates, some at a time. -> verdicts and cosines of those that link something

        That the others link nothing is noted, so that the next search passes over them.
        """
        verdicts: dict[Pair, PairVerdict] = {}
        linking: dict[Pair, float] = {}
        unsettled: set[Pair] = set()
        rows = _rows(pairs.open)
        for start in range(0, len(rows), _PAIRS_AT_ONCE):
            cosines = {(a, b): cosine for a, b, cosine in rows[start : start + _PAIRS_AT_ONCE]}
            share = progress.part(progress.share, min(1.0, (start + _PAIRS_AT_ONCE) / len(rows)))
            found = await self._checks.verdicts(_VERSION, cosines.keys(), share.part(0.0, _SHARE_OF_PIXELS))
            linked = {pair for pair, verdict in found.items() if self._link(pair, verdict, cosines)}
            await self._read({pair: found[pair] for pair in linked}, level, share.part(_SHARE_OF_PIXELS, 1.0))
            verdicts |= {pair: found[pair] for pair in linked}
            linking |= {pair: cosines[pair] for pair in linked}
            unsettled |= linked | (cosines.keys() - found.keys())
            unsettled |= {pair for pair, cosine in cosines.items() if cosine >= _SAME_PIXELS_COSINE}
        await self._search.settle(pairs, unsettled)
        return verdicts, linking

    async def _read(self, verdicts: Mapping[Pair, PairVerdict], level: DuplicateLevel, progress: Progress) -> None:
        """Note which pairs are two pages by what is written there, of those that would make groups at this level."""
        asked = {
            pair
            for pair, one in verdicts.items()
            if (one.is_copy or level == "similar") and not self._is_one_picture(pair)  # whatever was read there
        }
        self._others |= await self._pages.find_others(asked, progress)

    def _is_one_picture(self, pair: Pair) -> bool:
        one, other = (self._digests.get(self._contents[place].sha256) for place in pair)
        return one is not None and one == other

    async def _look_again(
        self, linked: Mapping[Pair, DuplicateLink], cosines: Mapping[Pair, float], progress: Progress
    ) -> list[DuplicateLink]:
        """Learn what the linked files show, and judge anew the pairs of which previews tell too little."""
        shown = {}
        for place in sorted({place for pair in linked for place in pair}):
            is_simple = self._contents[place].content_type in _ONE_PICTURE
            found = None if is_simple else await self._shown(place)
            shown[place] = found or Shown("", frames=1, bits=8, has_alpha=False)
            if found is not None:
                self._digests[self._contents[place].sha256] = found.digest
        await self._weigh(linked, shown)
        doubtful = [pair for pair in linked if needs_second_look(shown[pair[0]], shown[pair[1]])]
        layers = LayerChecks(self._checks, self._pictures, self._contents, shown)
        verdicts = await layers.verdicts(_LAYERS_VERSION, doubtful, progress)
        links = [link for pair, link in linked.items() if pair not in set(doubtful)]
        again = (self._link(pair, verdict, cosines, is_partial=True) for pair, verdict in sorted(verdicts.items()))
        return links + [link for link in again if link is not None]

    async def _weigh(self, pairs: Iterable[Pair], shown: Mapping[int, Shown]) -> None:
        """Note the richness of the contents of pairs in which one shows more than one opaque picture of 8 bits."""
        rich = {place for place, what in shown.items() if is_rich(Richness(what.frames, what.has_alpha, what.bits))}
        places = {place for pair in pairs if rich & set(pair) for place in pair}
        await self._measure(self._contents[place].sha256 for place in places)
        for place in places:
            content, what = self._contents[place], shown[place]
            pixels = self._pixels.get(content.sha256, content.width * content.height)
            self._richness[content.sha256] = Richness(what.frames, what.has_alpha, what.bits, pixels)

    def _may_be_clear(self, pair: Pair) -> bool:
        """Tell whether both previews may hide what is transparent, so that copies of it merely look alike."""
        return all(self._contents[place].content_type not in _OPAQUE for place in pair)

    def _link(
        self, pair: Pair, verdict: PairVerdict, cosines: Mapping[Pair, float], *, is_partial: bool = False
    ) -> DuplicateLink | None:
        if pair in self._others:
            return None
        left, right = (self._contents[place].sha256 for place in pair)
        least = self._settings.duplicates.min_similar_cosine
        return classify_pair(left, right, cosines.get(pair, 0.0), verdict, least, cosine_is_partial=is_partial)

    async def _measure(self, shas: Iterable[str]) -> None:
        """Count the pixels of originals inside a flat border (a screenshot's, a frame's), for those that have one."""
        for sha in sorted(set(shas) - self._measured):
            self._measured.add(sha)
            content = self._contents[self._place[sha]]
            image = await self._checks.decoded(self._place[sha], self._pictures.preview)
            if image is not None and (box := await asyncio.to_thread(content_box, image)) is not None:
                share = (box[2] - box[0]) * (box[3] - box[1]) / (image.shape[0] * image.shape[1])
                self._pixels[sha] = round(share * content.width * content.height)

    async def _preview(self, sha: str) -> Image | None:
        return await self._checks.decoded(self._place[sha], self._pictures.preview)

    def _failed(self) -> list[Failed]:
        """Failures of the album, and of images that broke this search; their other duplicates stand."""
        broken = {self._contents[place].sha256: error for place, error in self._checks.failed.items()}
        found = [
            Failed(image=item.ref, code=broken[item.sha256].code, detail=broken[item.sha256].message)
            for item in self._snapshot.items
            if item.sha256 in broken
        ]
        return sorted([*self._snapshot.failed, *found], key=lambda failure: failure.image)


async def _load_vectors(database: Database, model: str, shas: Sequence[str]) -> tuple[StoredVectors, NDArray[np.bool_]]:
    async with database.transaction() as session:
        return await vectors.load_halves(session, model, shas)


def _suspects(contents: list[Content], pairs: Pairs) -> list[int]:
    """Find the contents that look like another of their size."""
    alike = {
        place
        for a, b, cosine in _rows(pairs)
        if cosine >= _SAME_PIXELS_COSINE and _size(contents[a]) == _size(contents[b])
        for place in (a, b)
    }
    return sorted(alike)


def _by_size(contents: Iterable[Content]) -> list[list[Content]]:
    """Sort contents by size, and leave out those without another of theirs."""
    sizes: dict[tuple[int, int], dict[str, Content]] = defaultdict(dict)
    for content in contents:
        sizes[_size(content)][content.sha256] = content
    return [list(alike.values()) for alike in sizes.values() if len(alike) > 1]


def _rows(pairs: Pairs) -> list[tuple[int, int, float]]:
    return list(zip(pairs.left.tolist(), pairs.right.tolist(), pairs.cosine.tolist(), strict=True))


def _size(content: Content) -> tuple[int, int]:
    return content.width, content.height
