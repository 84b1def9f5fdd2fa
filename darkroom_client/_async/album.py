"""An album by its name: add pictures, wait for the analyses, ask for what they found."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Sequence
from pathlib import Path
from typing import Any

from darkroom_client import models
from darkroom_client._async.job import AsyncJob
from darkroom_client._async.routes import AsyncRoutes
from darkroom_client.files import Progress
from darkroom_client.models import (
    AlbumImage,
    ClustersResult,
    DuplicatesResult,
    EmbeddingsResult,
    Hit,
    QualityResult,
    ResultPages,
    TagsResult,
    TextsResult,
)

Report = Callable[[Progress], object]
BATCH_IMAGES = 200
"""Images that are read in by one request, which any server accepts."""


class AsyncAlbum:
    """An album of one user, by its name."""

    def __init__(self, client: AsyncRoutes, name: str) -> None:
        self._client = client
        self.name = name

    async def get(self) -> models.Album:
        """Describe the album. Raises `NotFound` before the first image was added."""
        return await self._client.get_album(self.name)

    async def delete(self) -> None:
        """Delete the album with its vectors, faces and results."""
        await self._client.delete_album(self.name)

    async def add(self, pictures: Sequence[str | Path], on_progress: Report | None = None) -> list[EmbeddingsResult]:
        """Upload files, read them into the album and wait for the analyses. -> the result of each batch

        Raises `UploadRefused` where no file could be used.
        """
        report = on_progress or (lambda _: None)
        stored = await self._client.upload(pictures, lambda progress, _: report(progress))
        return await self.embed([image.url for image in stored.images.values()], on_progress)

    async def embed(
        self, images: Sequence[str], on_progress: Report | None = None, batch_images: int | None = None
    ) -> list[EmbeddingsResult]:
        """Read image references into the album and wait for the analyses. -> the result of each batch

        All batches are posted before the first is waited for: analyses wait for images that were posted before them,
        so the album is analysed once, when it is complete.
        """
        batch_images = batch_images or BATCH_IMAGES
        report, total = on_progress or (lambda _: None), len(images)
        starts = range(0, total, batch_images)
        jobs = [await self._client.embed_album(images[start : start + batch_images], self.name) for start in starts]
        results = []
        for start, job in zip(starts, jobs, strict=True):
            share = min(batch_images, total - start)
            results.append(await job.wait(on_progress=_part(report, "reading", start, share, total)))
        for link in results[-1].jobs if results else ():
            analysis: AsyncJob[Any] = self._client.watch_job(link.id)
            async for state in analysis.events():
                report(Progress(link.kind, state.progress * total, total))
        return results

    async def images(self) -> AsyncIterator[AlbumImage]:
        """Go through the images of the album, in the order in which they came."""
        async for image in self._client.every(self._client.list_album_images, self.name):
            yield image

    async def tags(self, **options: Any) -> TagsResult | ResultPages:
        """Wait for the tags. `options`: those of `tag_album`."""
        return await (await self._client.tag_album(self.name, **options)).wait()

    async def duplicates(self, **options: Any) -> DuplicatesResult | ResultPages:
        """Wait for the groups of duplicates. `options`: those of `find_duplicates`."""
        return await (await self._client.find_duplicates(self.name, **options)).wait()

    async def people(self, **options: Any) -> ClustersResult | ResultPages:
        """Wait for the people. `options`: those of `cluster_people`."""
        return await (await self._client.cluster_people(self.name, **options)).wait()

    async def quality(self, **options: Any) -> QualityResult | ResultPages:
        """Wait for how sharp and how well exposed the images are."""
        return await (await self._client.assess_quality(self.name, **options)).wait()

    async def texts(self, **options: Any) -> TextsResult | ResultPages:
        """Wait for what is written in the images. `options`: those of `read_texts`."""
        return await (await self._client.read_texts(self.name, **options)).wait()

    async def search(self, words: str, limit: int | None = None) -> list[Hit]:
        """Find images that show what the words say, the best first; `-word` excludes."""
        return (await self._client.search_album(self.name, words, limit)).results


def _part(report: Report, stage: str, done: float, share: float, total: float) -> Callable[[Any], object]:
    """Make a listener to a job that does a share of a stage, after what is done."""
    return lambda state: report(Progress(stage, done + state.progress * share, total))
