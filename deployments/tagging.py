"""Tagging deployment: tags, client labels and search from stored vectors, by the tagger of the embedding engine."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from configs.settings import Settings
from deployments.algorithms.tags.imagenet import ImageNetTagger, TaggerRules
from deployments.algorithms.tags.lexicon import Lexicon
from deployments.algorithms.tags.spelling import load_real_words
from deployments.algorithms.tags.translations import load_translations
from deployments.algorithms.tags.vocabulary import load_tags
from deployments.algorithms.tags.words import load_groups, load_words
from deployments.contracts.arrays import VIEWS, Vectors
from deployments.embedding import make_open_clip
from deployments.engines.embedding.efficientnet import EfficientNetEmbedder, ImageNetHead
from deployments.engines.embedding.open_clip import ZeroShotTagger
from deployments.engines.embedding.sentence import SentenceEncoder
from deployments.errors import NotSupported
from deployments.kit.call_batching import CallBatcher
from deployments.kit.checks import Checked
from deployments.kit.threads import Threads
from deployments.weights.manifest import weight_file

_GPU_TEXTS = 64
"""Calls whose texts a GPU embeds together: a query is one short sentence."""
_CPU_TEXTS = 8
"""The same of a core, on which more at once cost no less (`python -m bench.speed.open_clip`)."""


class TaggingDeployment(Checked):
    """Implementation of `contracts.albums.Tagger`."""

    def __init__(self, settings: Settings | None = None) -> None:
        """Open the tagger. Raises `WeightsMissing` when the engine's weights are not there."""
        settings = settings or Settings()
        self._engine, self._dim = make_engine(settings)
        self._threads = Threads(settings.runtime.threads)
        self._texts = None
        if isinstance(self._engine, ZeroShotTagger):
            together, lanes = (_GPU_TEXTS, 1) if self._engine.is_on_gpu else (_CPU_TEXTS, settings.runtime.threads)
            self._texts = _TextEmbedder(self._engine, self._threads, together, lanes)

    async def tag_images(self, vectors: Vectors, labels: Sequence[str] | None = None) -> list[dict[str, float]]:
        """Compute tag probabilities per image, or those of the client's `labels`."""
        if labels is None:
            return await self._threads.run(self._engine.tag, vectors)
        return await self._threads.run(self._engine.judge, vectors, labels)

    async def search_images(self, query: str, vectors: Vectors) -> Vectors:
        """Compute the relevance of each image to `query`, `float32[N]`, 0 to 1."""
        return await self._threads.run(self._engine.search, query, vectors)

    async def embed_texts(self, texts: Sequence[str]) -> Vectors:
        """Embed texts as unit vectors `float32[N, D]`; those of calls that wait go through the tower together.

        Raises `NotSupported` where the tagger has no text tower.
        """
        if self._texts is None:
            raise NotSupported("This server's models have no space that images and texts share.")
        return await self._texts.embed(texts)

    async def check_health(self) -> None:
        """Tag one zero vector; raises what the engine raises."""
        await self._threads.check(self._engine.tag, np.zeros((1, len(VIEWS), self._dim), np.float32))


class _TextEmbedder:
    """Text tower whose calls are made together while it is busy, up to `together` in each of `lanes`."""

    def __init__(self, engine: ZeroShotTagger, threads: Threads, together: int, lanes: int) -> None:
        self._engine = engine
        self._threads = threads
        self._batcher = CallBatcher(self._embed_together, together, lanes=lanes, verb="embed_texts")

    async def embed(self, texts: Sequence[str]) -> Vectors:
        return await self._batcher.submit(texts)

    async def _embed_together(self, calls: Sequence[Sequence[str]]) -> list[Vectors]:
        """Embed the texts of several calls as if they were one's. -> the vectors of each"""
        vectors = await self._threads.run(self._engine.embed_texts, [text for texts in calls for text in texts])
        return np.split(vectors, np.cumsum([len(texts) for texts in calls])[:-1])


def make_engine(settings: Settings) -> tuple[ImageNetTagger | ZeroShotTagger, int]:
    """Open the tagger; -> it and the length of the vectors that it takes."""
    tags = load_tags()
    chosen = settings.embedding
    if chosen.engine == "open_clip":
        embedder = make_open_clip(chosen)
        return ZeroShotTagger(embedder, [tag.name for tag in tags if tag.listed]), embedder.dim
    for name in (*ImageNetHead.files, *SentenceEncoder.files):
        weight_file(settings, name)
    encoder = SentenceEncoder(settings.weights_dir)
    words = load_words()
    lexicon = Lexicon(
        tags,
        words,
        encoder.encode,
        settings.tags.min_cosine,
        groups=load_groups(tags, words),
        translations=load_translations(),
        real_words=load_real_words(),
    )
    rules = TaggerRules(settings.tags.temperature, settings.tags.max_prior, settings.tags.min_relevance)
    head = ImageNetHead(settings.weights_dir)
    return ImageNetTagger(head.classify, tags, lexicon, rules), EfficientNetEmbedder.dim
