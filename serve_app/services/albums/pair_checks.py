"""Verdicts on an album's pairs of images, kept for the next time; images are described when they are needed."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Sequence, Set
from dataclasses import replace

from deployments.contracts.albums import DuplicateFinder, LocalFeatures, PairVerdict
from deployments.contracts.arrays import Image
from deployments.errors import ImageError
from serve_app.services.albums.duplicate_report import Pair
from serve_app.services.albums.isolation import image_failure, run_isolated
from serve_app.services.images.store import ImageStore
from serve_app.services.jobs.progress import Progress
from serve_app.store.repositories import pair_verdicts
from serve_app.store.repositories.images import Content
from serve_app.store.session import Database

_PAIRS_A_CALL = 32
_KEPT_FEATURES = 512
"""Images whose local features are held at once: about 100 MB."""


class PairChecks:
    """Checks of one album's pairs; indices are those of `contents`."""

    def __init__(
        self,
        database: Database,
        finder: DuplicateFinder,
        pictures: ImageStore,
        contents: Sequence[Content],
        threads: int,
    ) -> None:
        self._database = database
        self._finder = finder
        self._pictures = pictures
        self._contents = contents
        self._threads = threads
        self._kept: OrderedDict[int, LocalFeatures] = OrderedDict()
        self.failed: dict[int, ImageError] = {}
        """Contents that broke their analysis. Those that cannot be decoded any more are passed over."""

    async def verdicts(self, version: str, pairs: Set[Pair], progress: Progress) -> dict[Pair, PairVerdict]:
        """Load the kept verdicts on previews, and compare the other pairs.

        A pair of which an image cannot be described or compared is missing.
        """
        return await self.keep(version, pairs, self._compare, progress)

    async def keep(
        self,
        version: str,
        pairs: Set[Pair],
        check: Callable[[Sequence[Pair]], Awaitable[dict[Pair, PairVerdict]]],
        progress: Progress,
    ) -> dict[Pair, PairVerdict]:
        """Load the verdicts of this version that are kept, and keep what `check` says about the other pairs."""
        names = {(a, b): (self._contents[a].sha256, self._contents[b].sha256) for a, b in sorted(pairs)}
        async with self._database.transaction() as session:
            known = await pair_verdicts.load(session, version, list(names.values()))
        verdicts = {pair: known[name] for pair, name in names.items() if name in known}
        missing = [pair for pair in names if pair not in verdicts]
        gate = asyncio.Semaphore(self._threads)
        checked = 0

        async def check_batch(batch: Sequence[Pair]) -> None:
            nonlocal checked
            async with gate:
                new = await check(batch)
            async with self._database.transaction() as session:
                await pair_verdicts.save(session, version, {names[pair]: verdict for pair, verdict in new.items()})
            verdicts.update(new)
            checked += len(batch)
            progress.report(checked / len(missing))

        async with asyncio.TaskGroup() as group:
            for start in range(0, len(missing), _PAIRS_A_CALL):
                group.create_task(check_batch(missing[start : start + _PAIRS_A_CALL]))
        return verdicts

    async def compare(
        self, features: Sequence[LocalFeatures], pairs: Sequence[Pair], owners: Sequence[int]
    ) -> list[PairVerdict | None]:
        """Compare pairs of indices into `features`; None where that broke, of which `owners`, contents, are told."""

        async def compare(part: Sequence[Pair]) -> list[PairVerdict]:
            return await self._finder.compare_images(features, [a for a, _ in part], [b for _, b in part])

        results: list[PairVerdict | None] = []
        for pair, result in zip(pairs, await run_isolated(pairs, compare), strict=True):
            if isinstance(result, Exception):
                for owner in {owners[place] for place in pair}:
                    self._fail(owner, result)
                results.append(None)
            else:
                results.append(result)
        return results

    async def describe(self, images: Sequence[tuple[int, Image, bool]]) -> list[LocalFeatures | None]:
        """Describe images, each with the content that it is of and whether that is a cut-out; None where that broke."""
        results: list[LocalFeatures | None] = []
        described = await run_isolated([image for _, image, _ in images], self._finder.describe_images)
        for (place, _, is_cut_out), result in zip(images, described, strict=True):
            if isinstance(result, Exception):
                self._fail(place, result)
                results.append(None)
            else:
                results.append(replace(result, is_cut_out=is_cut_out))
        return results

    async def decoded(self, place: int, decode: Callable[[Content], Awaitable[Image]]) -> Image | None:
        """Decode a content; None where that is not possible any more, or broke."""
        try:
            return await decode(self._contents[place])
        except Exception as error:
            failure = image_failure(error, self._contents[place].sha256)
            if failure.code == "analysis_failed":
                self.failed[place] = failure
            return None

    async def _compare(self, batch: Sequence[Pair]) -> dict[Pair, PairVerdict]:
        found = await self._features(sorted({place for pair in batch for place in pair}))
        usable = [pair for pair in batch if pair[0] in found and pair[1] in found]
        order = {place: index for index, place in enumerate(found)}
        new = await self.compare(list(found.values()), [(order[a], order[b]) for a, b in usable], list(found))
        return {pair: verdict for pair, verdict in zip(usable, new, strict=True) if verdict is not None}

    async def _features(self, places: Sequence[int]) -> dict[int, LocalFeatures]:
        """Features by index of the content, of the previews. Pairs come sorted, so few are computed twice."""
        found = {place: self._kept[place] for place in places if place in self._kept}
        fresh = []
        for place in places:
            if place not in found and place not in self.failed:
                image = await self.decoded(place, self._pictures.preview)
                if image is not None:
                    fresh.append((place, image, False))
        described = await self.describe(fresh)
        found |= {place: one for (place, _, _), one in zip(fresh, described, strict=True) if one is not None}
        for place, features in found.items():
            self._kept[place] = features
            self._kept.move_to_end(place)
        while len(self._kept) > _KEPT_FEATURES:
            self._kept.popitem(last=False)
        return found

    def _fail(self, place: int, error: Exception) -> None:
        self.failed[place] = image_failure(error, self._contents[place].sha256)
