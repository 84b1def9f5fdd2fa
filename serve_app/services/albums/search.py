"""Search of an album by words: what images must show, what they must not, and whom."""

from __future__ import annotations

import math
from collections.abc import AsyncIterator, Callable, Sequence

from configs.settings import Settings
from deployments.algorithms.tags.queries import MAX_EXCLUDED, parse_query, split_people
from deployments.contracts.albums import Tagger
from deployments.contracts.arrays import Vectors
from deployments.errors import NotSupported
from serve_app.services.albums.snapshot import HasContents
from serve_app.services.albums.tags import TagAlbum
from serve_app.services.jobs.progress import Progress

LoadVectors = Callable[[Sequence[str]], AsyncIterator[tuple[list[str], Vectors]]]
"""Loads vectors of contents, some at a time: -> contents and their vectors `float32[N, V, D]`."""
_HALF_KNOWN = 0.5
"""Factor of the relevance to a query of which only the people are known."""


class AlbumSearch:
    """Relevance of an album's contents to a query: words for people are answered by faces, others by the tagger."""

    def __init__(self, tagging: TagAlbum, tagger: Tagger, load_vectors: LoadVectors, settings: Settings) -> None:
        self._tagging = tagging
        self._tagger = tagger
        self._load_vectors = load_vectors
        self._shown = settings.tags.min_relevance
        self._reads_sentences = settings.embedding.engine == "open_clip"

    async def relevance(self, snapshot: HasContents, query: str) -> dict[str, float]:
        """Compute the relevance of each content, 0 to 1; those that show something excluded are missing.

        A query that only excludes has relevance 1 for all others. Raises `NotSupported` for words that the models do
        not know, excluded ones included, and for more than `MAX_EXCLUDED` of these.
        """
        found, hidden = await self.judge(snapshot, query)
        shown = set[str]().union(*hidden.values())
        return {sha: score for sha, score in found.items() if sha not in shown}

    async def judge(self, snapshot: HasContents, query: str) -> tuple[dict[str, float], dict[str, set[str]]]:
        """Compute the relevance of each content as `relevance` does, and what is excluded apart: word -> the contents
        that show it."""
        asked = parse_query(query)
        if len(asked.excluded) > MAX_EXCLUDED:
            raise NotSupported(f"A search excludes at most {MAX_EXCLUDED} words.")
        if asked.wanted or not asked.excluded:
            found = await self._shows(snapshot, asked.wanted)
        else:
            found = dict.fromkeys(snapshot.shas, 1.0)
        hidden: dict[str, set[str]] = {}
        for text in asked.excluded:
            shows = await self._shows(snapshot, text)
            hidden[text] = {sha for sha, score in shows.items() if score >= self._shown}
        return found, hidden

    async def _shows(self, snapshot: HasContents, text: str) -> dict[str, float]:
        """Compute the relevance of each content to what it must show."""
        asked = split_people(text)
        if not asked.tags or (asked.rest and self._reads_sentences):
            return await self._shows_things(snapshot, text)
        scores = await self._tagging.score(snapshot, list(asked.tags), Progress())
        people = {sha: min(of[tag] for tag in asked.tags) for sha, of in scores.items()}
        if not asked.rest:
            return people
        try:
            things = await self._shows_things(snapshot, asked.rest)
        except NotSupported:
            return {sha: _HALF_KNOWN * score for sha, score in people.items()}
        return {sha: math.sqrt(score * people.get(sha, 0.0)) for sha, score in things.items()}

    async def _shows_things(self, snapshot: HasContents, text: str) -> dict[str, float]:
        found: dict[str, float] = {}
        async for shas, embedded in self._load_vectors(snapshot.shas):
            relevance = await self._tagger.search_images(text, embedded)
            found |= dict(zip(shas, relevance.tolist(), strict=True))
        return found
