"""Compact topology: all CPU capabilities in one replica, behind the verbs of the split topology.

One process holds each model once, so that Darkroom fits a laptop; the split topology gives each class below a
deployment of its own instead.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from configs.settings import Settings
from deployments.avatars import AvatarDeployment
from deployments.capabilities import BUNDLED
from deployments.clustering import ClusteringDeployment
from deployments.contracts.albums import Face, LocalFeatures, Pairs, PairVerdict
from deployments.contracts.arrays import Image, Packed, StoredVectors, Vectors
from deployments.contracts.portraits import AvatarPicture, AvatarTask, Segmentation
from deployments.contracts.styles import StyledPicture, StyleTask
from deployments.contracts.texts import ANY_TEXT, Text, TextOptions
from deployments.dedup import DedupDeployment
from deployments.embedding import EmbeddingDeployment
from deployments.faces import FacesDeployment, make_locator
from deployments.prompting import PromptingDeployment
from deployments.segmentation import SegmentationDeployment
from deployments.stylization import StylizingDeployment
from deployments.tagging import TaggingDeployment
from deployments.texts import TextsDeployment


class Bundle:
    """Embedding, tagging, faces, clustering, duplicates, styles, prompts, segmentation, avatars and texts."""

    def __init__(self, settings: Settings | None = None) -> None:
        settings = settings or Settings()
        self._embedding = EmbeddingDeployment(settings)
        self._tagging = TaggingDeployment(settings)
        locator = make_locator(settings)  # faces and segmentation look for them with the same networks
        self._faces = FacesDeployment(settings, locator)
        self._clustering = ClusteringDeployment(settings)
        self._dedup = DedupDeployment(settings)
        self._stylizing = StylizingDeployment(settings)
        self._prompting = PromptingDeployment(settings)
        self._segmentation = SegmentationDeployment(settings, locator)
        self._avatars = AvatarDeployment(settings)
        self._texts = TextsDeployment(settings)

    async def check_health(self) -> None:
        await asyncio.gather(*(getattr(self, f"_{name}").check_health() for name in BUNDLED))

    async def check(self, capability: str) -> None:
        """Check the health of one of them, a name of `BUNDLED`."""
        await getattr(self, f"_{capability}").check(capability)

    async def embed_images(self, views: NDArray[np.uint8]) -> Vectors:
        return await self._embedding.embed_images(views)

    async def tag_images(self, vectors: Vectors, labels: Sequence[str] | None = None) -> list[dict[str, float]]:
        return await self._tagging.tag_images(vectors, labels)

    async def search_images(self, query: str, vectors: Vectors) -> Vectors:
        return await self._tagging.search_images(query, vectors)

    async def embed_texts(self, texts: Sequence[str]) -> Vectors:
        return await self._tagging.embed_texts(texts)

    async def find_faces(self, images: Sequence[Image]) -> list[list[Face]]:
        return await self._faces.find_faces(images)

    async def cluster_faces(
        self,
        vectors: Vectors,
        pictures: NDArray[np.int64],
        quality: Vectors,
        previous: NDArray[np.int64] | None = None,
        must: NDArray[np.int64] | None = None,
        cannot: NDArray[np.int64] | None = None,
    ) -> NDArray[np.int64]:
        return await self._clustering.cluster_faces(vectors, pictures, quality, previous, must, cannot)

    async def find_candidates(self, vectors: StoredVectors, min_cosine: float, max_neighbours: int) -> Pairs:
        return await self._dedup.find_candidates(vectors, min_cosine, max_neighbours)

    async def train_index(self, sample: StoredVectors, count: int) -> Packed:
        return await self._dedup.train_index(sample, count)

    async def extend_index(self, index: Packed, vectors: StoredVectors, numbers: NDArray[np.int64]) -> Packed:
        return await self._dedup.extend_index(index, vectors, numbers)

    async def ask_index(
        self,
        index: Packed,
        vectors: StoredVectors,
        numbers: NDArray[np.int64],
        min_cosine: float,
        neighbours: int,
    ) -> NDArray[np.int64]:
        return await self._dedup.ask_index(index, vectors, numbers, min_cosine, neighbours)

    async def compare_vectors(self, vectors: StoredVectors, pairs: NDArray[np.int64]) -> Vectors:
        return await self._dedup.compare_vectors(vectors, pairs)

    async def describe_images(self, images: Sequence[Image]) -> list[LocalFeatures]:
        return await self._dedup.describe_images(images)

    async def compare_images(
        self, features: Sequence[LocalFeatures], left: Sequence[int], right: Sequence[int]
    ) -> list[PairVerdict]:
        return await self._dedup.compare_images(features, left, right)

    async def stylize(self, engine: str, request: StyleTask) -> StyledPicture:
        return await self._stylizing.stylize(engine, request)

    async def write_prompt(self, image: Image, style: str) -> str:
        return await self._prompting.write_prompt(image, style)

    async def segment_portrait(self, engine: str, image: Image) -> Segmentation:
        return await self._segmentation.segment_portrait(engine, image)

    async def make_avatar(self, engine: str, request: AvatarTask) -> AvatarPicture:
        return await self._avatars.make_avatar(engine, request)

    async def read_texts(self, images: Sequence[Image], options: TextOptions = ANY_TEXT) -> list[list[Text]]:
        return await self._texts.read_texts(images, options)
