"""The job `tags`: tags of an album, or judgements by a client's labels."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence

from configs.settings import Settings
from deployments.algorithms.tags.page_tags import page_tag, with_page_tags
from deployments.algorithms.tags.queries import people_tag
from deployments.algorithms.tags.vocabulary import (
    PeopleRules,
    TagRules,
    merge_scores,
    people_tags,
    select_tags,
)
from deployments.contracts.albums import Tagger
from serve_app.services.albums.items import Item
from serve_app.services.albums.naming import sort_by_tag
from serve_app.services.albums.page_tagging import tags_of_page
from serve_app.services.albums.results import AnalysisResult, Failed, ResultPages, TagsResult
from serve_app.services.albums.snapshot import AlbumSnapshots, HasContents, keep_result
from serve_app.services.jobs.progress import Progress
from serve_app.store.queue.jobs import QueuedJob
from serve_app.store.repositories import faces, image_tags, texts, vectors
from serve_app.store.session import Database

_CHUNK = 256
"""Images a call: 9 MB of vectors."""
_SAVED = 1000
"""Images whose tags are saved in one transaction."""


class TagAlbum:
    """Handler of the job kind `tags`."""

    def __init__(self, database: Database, albums: AlbumSnapshots, tagger: Tagger, settings: Settings) -> None:
        self._database = database
        self._albums = albums
        self._tagger = tagger
        self._settings = settings
        self._rules = PeopleRules(settings.tags.min_face_share, settings.tags.portrait_share)

    async def __call__(self, job: QueuedJob, progress: Progress) -> AnalysisResult | ResultPages:
        snapshot = await self._albums.load(job, progress)
        parameters = job.payload["parameters"]
        labels = parameters.get("labels")
        scores = await self.score(snapshot, labels, progress.part(progress.share, 1.0))
        options = self._settings.tags
        fallback = options.fallback if labels is None else options.label_fallback
        rules = TagRules(options.threshold, options.top_k, fallback)

        top_k, threshold = parameters.get("top_k"), parameters.get("threshold")
        chosen = {sha: select_tags(of, rules, top_k=top_k, threshold=threshold) for sha, of in scores.items()}
        verdicts: dict[str, dict[str, bool]] = {}
        if labels is None:
            async with self._database.transaction() as session:
                verdicts = await image_tags.load_verdicts(session, [item.image_id for item in snapshot.items])
        if not parameters:  # the server's own tags, by which images are found
            await self.save({item.image_id: chosen[item.sha256] for item in snapshot.items})

        def report() -> TagsResult:
            return tags_result(snapshot.items, chosen, snapshot.failed, verdicts)

        return await keep_result(self._database, snapshot, "tags", parameters, report)

    async def save(self, tags: Mapping[str, Mapping[str, float]]) -> None:
        """Save the tags of images: image id -> tag -> probability. Some at a time: those whose tags change are locked,
        and their user may be changing them."""
        ids = sorted(tags)
        for start in range(0, len(ids), _SAVED):
            async with self._database.transaction() as session:
                await image_tags.save_scores(session, {one: tags[one] for one in ids[start : start + _SAVED]})

    async def score(
        self, snapshot: HasContents, labels: list[str] | None, progress: Progress
    ) -> dict[str, dict[str, float]]:
        """Score the contents: content -> tag -> probability. Tags about people are judged by faces, those of pages by
        what is written on them too.

        With `labels`: only those of them that can be judged.
        """
        asked = None if labels is None else {label: people_tag(label) for label in labels}
        pages = {} if labels is None else {label: tag for label in labels if (tag := page_tag(label)) is not None}
        reads = labels is None or bool(pages)
        others = None if asked is None else [label for label, tag in asked.items() if tag is None]
        scores: dict[str, dict[str, float]] = {}
        for start in range(0, len(snapshot.contents), _CHUNK):
            chunk = snapshot.contents[start : start + _CHUNK]
            shas = [content.sha256 for content in chunk]
            async with self._database.transaction() as session:
                embedded, is_embedded = await vectors.load(session, self._settings.embedding_model, shas)
                found = await faces.load(session, self._settings.faces_model, shas)
                written = await texts.load(session, self._settings.texts_model, shas) if reads else {}
            if not is_embedded.any():  # all of their pictures were deleted for good meanwhile
                scores |= {sha: {} for sha in shas}
                continue
            tagged = await self._tagger.tag_images(embedded, others) if others != [] else [{} for _ in chunk]
            # Labels say nothing of what a picture shows beside a page: "paper" and "white" hold for pages too.
            usual = await self._tagger.tag_images(embedded, None) if pages and written else tagged
            for place, (content, tags) in enumerate(zip(chunk, tagged, strict=True)):
                mine = found.pictures == place
                people = of_faces = people_tags(
                    found.boxes[mine], found.scores[mine].tolist(), content.width, content.height, self._rules
                )
                if asked is not None:
                    people = {label: people.get(tag, 0.0) for label, tag in asked.items() if tag is not None}
                seen = merge_scores(tags, people, dict.fromkeys(pages, 0.0) if content.sha256 in written else {})
                if content.sha256 in written:
                    page = await asyncio.to_thread(tags_of_page, content, written[content.sha256])
                    if asked is None:
                        seen = with_page_tags(seen, page)
                    else:
                        known = with_page_tags(merge_scores(usual[place], of_faces), page)
                        holds = {tag: score for tag, score in page.items() if known.get(tag, 0.0) >= score}
                        seen = merge_scores(seen, {label: holds.get(tag, 0.0) for label, tag in pages.items()})
                scores[content.sha256] = seen
            progress.report((start + len(chunk)) / len(snapshot.contents))
        return scores


def tags_result(
    items: Sequence[Item],
    tags: Mapping[str, Mapping[str, float]],
    failed: list[Failed],
    verdicts: Mapping[str, Mapping[str, bool]] = {},
) -> TagsResult:
    """Sort references by tag, with details; `tags`: content -> tag -> probability.

    `verdicts`: image id -> tag -> what its user says, which wins: added (probability 1) or taken away.
    """
    scores = {
        item.ref: {tag: round(score, 4) for tag, score in _judged(tags[item.sha256], verdicts, item.image_id).items()}
        for item in sorted(items, key=lambda item: item.ref)
    }
    return TagsResult(tags=sort_by_tag(scores), failed=failed, scores=scores)


def _judged(
    tags: Mapping[str, float], verdicts: Mapping[str, Mapping[str, bool]], image_id: str
) -> Mapping[str, float]:
    said = verdicts.get(image_id)
    if not said:
        return tags
    kept = {tag: score for tag, score in tags.items() if said.get(tag) is not False}
    return kept | {tag: 1.0 for tag, is_right in said.items() if is_right}
