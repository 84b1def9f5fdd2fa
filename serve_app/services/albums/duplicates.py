"""The job `duplicates`: candidate pairs by vector, verified by geometry, with verdicts kept for the next time."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Sequence, Set

from configs.settings import Settings
from deployments.algorithms.duplicates.groups import DuplicateLink, classify_pair
from deployments.algorithms.images.borders import content_box
from deployments.contracts.albums import DuplicateFinder, DuplicateLevel, LocalFeatures, Pairs, PairVerdict
from deployments.errors import ImageError
from serve_app.services.albums.duplicate_report import Pair, duplicates_result, group_items, pairs_between_groups
from serve_app.services.albums.results import DuplicatesResult
from serve_app.services.albums.snapshot import AlbumSnapshot, AlbumSnapshots, keep_result
from serve_app.services.images.store import ImageStore
from serve_app.services.jobs.progress import Progress
from serve_app.store.queue.jobs import QueuedJob
from serve_app.store.repositories import pair_verdicts, vectors
from serve_app.store.repositories.images import Content
from serve_app.store.session import Database

_VERSION = "sift/2"
"""Version of the geometric check; verdicts of another one are void."""
_SAME_PIXELS_COSINE = 0.97
"""Files with the same upright pixels differ in their vectors only by how their decoders scale."""
_MERGING_ROUNDS = 3
_PAIRS_A_CALL = 32
_KEPT_FEATURES = 512
"""Images whose local features are held at once: about 100 MB."""


class FindDuplicates:
    """Handler of the job kind `duplicates`."""

    def __init__(
        self,
        database: Database,
        albums: AlbumSnapshots,
        pictures: ImageStore,
        finder: DuplicateFinder,
        settings: Settings,
    ) -> None:
        self._database = database
        self._albums = albums
        self._pictures = pictures
        self._finder = finder
        self._settings = settings

    async def __call__(self, job: QueuedJob, progress: Progress) -> DuplicatesResult:
        snapshot = await self._albums.load(job, progress)
        parameters = job.payload["parameters"]
        level: DuplicateLevel = parameters.get("level") or "copy"
        links: list[DuplicateLink] = []
        if len(snapshot.contents) > 1:
            rest = progress.part(progress.share, 1.0)
            pairs = await self._candidates(snapshot)
            links += await self._same_pixels(snapshot, pairs)
            rest.report(0.1)
            if level != "exact":
                links += await self._copies_and_shots(snapshot, pairs, rest.part(0.1, 1.0))
        groups = group_items(snapshot.items, links, level)
        pixels = await self._content_pixels(snapshot, {key.split(" ")[0] for group in groups for key in group.members})
        result = duplicates_result(snapshot.items, groups, links, pixels, snapshot.failed)
        await keep_result(self._database, snapshot, "duplicates", parameters, result)
        return result

    async def _candidates(self, snapshot: AlbumSnapshot) -> Pairs:
        async with self._database.transaction() as session:
            embedded, _ = await vectors.load(session, self._settings.embedding_model, snapshot.shas)
        limits = self._settings.duplicates
        return await self._finder.find_candidates(embedded, limits.min_cosine, limits.max_neighbours)

    async def _same_pixels(self, snapshot: AlbumSnapshot, pairs: Pairs) -> list[DuplicateLink]:
        """Link files of different bytes that hold the same upright pixels."""
        suspects = [
            (a, b)
            for a, b, cosine in _rows(pairs)
            if cosine >= _SAME_PIXELS_COSINE and _size(snapshot.contents[a]) == _size(snapshot.contents[b])
        ]
        hashes = {}
        for place in sorted({place for pair in suspects for place in pair}):
            try:
                hashes[place] = await self._pictures.pixel_sha256(snapshot.contents[place])
            except ImageError:
                continue  # decodes small but not in full: its own picture then
        first: dict[str, int] = {}
        return [
            DuplicateLink(
                snapshot.contents[first.setdefault(digest, place)].sha256, snapshot.contents[place].sha256, "exact", 1.0
            )
            for place, digest in hashes.items()
        ]

    async def _copies_and_shots(self, snapshot: AlbumSnapshot, pairs: Pairs, progress: Progress) -> list[DuplicateLink]:
        """Link copies and shots of one moment among the candidates, and copies among the pairs that groups suggest.

        The shortlist names a few neighbours of each image. Where there are more copies of one image than that, they
        fall into several groups; comparing the groups' centres with one another's members brings them together.
        """
        cosines = {(a, b): cosine for a, b, cosine in _rows(pairs)}
        verdicts = await self._verdicts(snapshot, cosines.keys(), progress.part(0.0, 0.8))
        for _ in range(_MERGING_ROUNDS):
            copies = {pair for pair, verdict in verdicts.items() if verdict.is_copy}
            wanted = pairs_between_groups(copies) - verdicts.keys()
            if not wanted:
                break
            verdicts |= await self._verdicts(snapshot, wanted, progress.part(progress.share, 1.0))
        min_cosine = self._settings.duplicates.min_similar_cosine
        shas = snapshot.shas
        found = (
            classify_pair(shas[a], shas[b], cosines.get((a, b), 0.0), verdict, min_cosine)
            for (a, b), verdict in sorted(verdicts.items())
        )
        return [edge for edge in found if edge is not None]

    async def _verdicts(self, snapshot: AlbumSnapshot, pairs: Set[Pair], progress: Progress) -> dict[Pair, PairVerdict]:
        """Load the kept verdicts, and compare the other pairs."""
        names = {(a, b): (snapshot.contents[a].sha256, snapshot.contents[b].sha256) for a, b in sorted(pairs)}
        async with self._database.transaction() as session:
            known = await pair_verdicts.load(session, _VERSION, list(names.values()))
        verdicts = {pair: known[name] for pair, name in names.items() if name in known}
        return verdicts | await self._check(snapshot, [pair for pair in names if pair not in verdicts], progress)

    async def _content_pixels(self, snapshot: AlbumSnapshot, shas: set[str]) -> dict[str, int]:
        """Count the pixels of originals inside a flat border (a screenshot's, a frame's), for those that have one."""
        found = {}
        for content in snapshot.contents:
            if content.sha256 in shas:
                try:
                    image = await self._pictures.preview(content)
                except ImageError:
                    continue
                if (box := await asyncio.to_thread(content_box, image)) is not None:
                    share = (box[2] - box[0]) * (box[3] - box[1]) / (image.shape[0] * image.shape[1])
                    found[content.sha256] = round(share * content.width * content.height)
        return found

    async def _check(
        self, snapshot: AlbumSnapshot, pairs: Sequence[Pair], progress: Progress
    ) -> dict[Pair, PairVerdict]:
        features = _FeatureCache(self._finder, self._pictures, snapshot.contents)
        batches = [pairs[start : start + _PAIRS_A_CALL] for start in range(0, len(pairs), _PAIRS_A_CALL)]
        gate = asyncio.Semaphore(self._settings.runtime.threads)
        verdicts: dict[Pair, PairVerdict] = {}

        async def check(batch: Sequence[Pair]) -> None:
            async with gate:
                found = await features.of(sorted({place for pair in batch for place in pair}))
                usable = [pair for pair in batch if pair[0] in found and pair[1] in found]
                order = {place: index for index, place in enumerate(found)}
                new = await self._finder.compare_images(
                    list(found.values()), [order[a] for a, _ in usable], [order[b] for _, b in usable]
                )
            checked = dict(zip(usable, new, strict=True))
            async with self._database.transaction() as session:
                named = {(snapshot.contents[a].sha256, snapshot.contents[b].sha256): v for (a, b), v in checked.items()}
                await pair_verdicts.save(session, _VERSION, named)
            verdicts.update(checked)
            progress.report(len(verdicts) / len(pairs))

        async with asyncio.TaskGroup() as group:
            for batch in batches:
                group.create_task(check(batch))
        return verdicts


class _FeatureCache:
    """Local features of the images that were needed last. Pairs come sorted, so few are computed twice."""

    def __init__(self, finder: DuplicateFinder, pictures: ImageStore, contents: Sequence[Content]) -> None:
        self._finder = finder
        self._pictures = pictures
        self._contents = contents
        self._kept: OrderedDict[int, LocalFeatures] = OrderedDict()

    async def of(self, places: Sequence[int]) -> dict[int, LocalFeatures]:
        """Features by index of the content; an image that cannot be decoded any more is missing."""
        found = {place: self._kept[place] for place in places if place in self._kept}
        missing, images = [], []
        for place in places:
            if place not in found:
                try:
                    images.append(await self._pictures.preview(self._contents[place]))
                    missing.append(place)
                except ImageError:
                    continue
        if missing:
            found |= dict(zip(missing, await self._finder.describe_images(images), strict=True))
        for place, features in found.items():
            self._kept[place] = features
            self._kept.move_to_end(place)
        while len(self._kept) > _KEPT_FEATURES:
            self._kept.popitem(last=False)
        return found


def _rows(pairs: Pairs) -> list[tuple[int, int, float]]:
    return list(zip(pairs.left.tolist(), pairs.right.tolist(), pairs.cosine.tolist(), strict=True))


def _size(content: Content) -> tuple[int, int]:
    return content.width, content.height
