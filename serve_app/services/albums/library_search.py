"""Search of a user's whole library by words, with why each image was found, and suggestions of words."""

from __future__ import annotations

import asyncio
import re
from collections import defaultdict
from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass, field
from functools import cache
from typing import Literal

from deployments.algorithms.tags.page_tags import PAGE_WORDS
from deployments.algorithms.tags.queries import STOP_WORDS, parse_query
from deployments.algorithms.tags.translations import load_translations, plain
from deployments.algorithms.tags.vocabulary import PEOPLE_WORDS, load_tags
from deployments.errors import InvalidRequest, NotSupported
from serve_app.services.albums.library import ListedImage, listed_images, own_filters
from serve_app.services.albums.search import AlbumSearch
from serve_app.services.albums.written import Written, find_written
from serve_app.store.repositories import albums, image_tags, library, people_lists
from serve_app.store.repositories.image_tags import ImageTag
from serve_app.store.repositories.images import Content
from serve_app.store.repositories.library import Filters, Searchable
from serve_app.store.session import Database

_CURSOR = re.compile(r"(\d\.\d{6}):(img_[0-9a-z]{1,64})", re.ASCII)
_NAMED = 0.8
"""Relevance of an image whose file's name holds the words: people name files by hand, and cameras do not."""
_MOST_COUNTED = 1000


@dataclass(frozen=True, slots=True)
class FoundImage:
    """An image that a search found."""

    listed: ListedImage
    score: float
    """0 to 1."""
    matched: list[str]


@dataclass(frozen=True, slots=True)
class Suggestion:
    """What a search box may go on with."""

    kind: Literal["tag", "album", "person"]
    value: str
    count: int
    title: str | None = None


@dataclass(frozen=True, slots=True)
class SomeContents:
    """File contents that are searched."""

    contents: list[Content]

    @property
    def shas(self) -> list[str]:
        return [content.sha256 for content in self.contents]


@dataclass(slots=True)
class _Match:
    score: float = 0.0
    why: list[str] = field(default_factory=list)

    def add(self, score: float, why: str) -> None:
        self.score = max(self.score, score)
        self.why.append(why)


class LibrarySearch:
    """Use cases of the search box."""

    def __init__(self, database: Database, by_words: AlbumSearch, least: float) -> None:
        """`least`: relevance to what the models see from which on an image is found by it."""
        self._database = database
        self._by_words = by_words
        self._least = least

    async def search(
        self, user_id: str, query: str, filters: Filters, limit: int, cursor: str | None = None
    ) -> tuple[list[FoundImage], str | None]:
        """Find images that fit the words, the best first. -> a page, cursor of the next one

        What the user says of a tag wins over what the models see. Words that the models do not know are looked for in
        tags, names and texts only. Raises `NotFound` for an album or person, `InvalidRequest` for a cursor.
        """
        after = _parse(cursor)
        asked = parse_query(query)
        words = _tags_of(asked.wanted)
        without = [_forms(text) for text in asked.excluded]
        async with self._database.transaction() as session:
            filters = await own_filters(session, user_id, filters)
            candidates = await library.load_searchable(session, user_id, filters)
            said = await image_tags.find_images(
                session, user_id, [*words, *(form for forms in without for form in forms)]
            )
            written = await find_written(session, user_id, asked.wanted)
            names = await people_lists.load_names(session, user_id)
            asked_for, *left_out = await asyncio.to_thread(_called, names, [asked.wanted, *asked.excluded])
            unwanted = {person for people in left_out for person in people}
            images_of = await people_lists.find_images(session, user_id, {*asked_for, *unwanted})
        shown = _who_is_in([(names[person], images_of[person]) for person in asked_for])
        away = {image for person in unwanted for image in images_of[person]}
        candidates = [one for one in candidates if one.id not in away]
        seen, hidden = await self._seen(candidates, query)
        excluded = [(forms, hidden.get(text, set())) for text, forms in zip(asked.excluded, without, strict=True)]

        def rank() -> list[tuple[str, _Match]]:
            matches = _judge(candidates, said, seen, asked.wanted, words, excluded, self._least, shown, written)
            ranked = sorted(matches.items(), key=lambda entry: (-round(entry[1].score, 6), entry[0]))
            return ranked if after is None else [one for one in ranked if (-round(one[1].score, 6), one[0]) > after]

        ranked = await asyncio.to_thread(rank)  # seconds, in a large library
        async with self._database.transaction() as session:
            loaded = await library.load_images(session, user_id, [image_id for image_id, _ in ranked[:limit]])
            listed = await listed_images(session, list(loaded.values()))
        by_id = {one.view.id: one for one in listed}
        page = [
            FoundImage(by_id[image_id], round(match.score, 4), match.why)
            for image_id, match in ranked[:limit]
            if image_id in by_id  # it was there a moment ago
        ]
        if len(ranked) <= limit:
            return page, None
        last_id, last = ranked[limit - 1]
        return page, f"{last.score:.6f}:{last_id}"

    async def suggest(self, user_id: str, words: str, limit: int) -> list[Suggestion]:
        """Suggest tags that images have, people and albums, by the beginnings of words, the most frequent first."""
        start = plain(words)
        known = [tag for tag in _vocabulary() if _begins_word(start, plain(tag))]
        if not start.isascii():  # a letter of Latin begins too many words of too many languages
            known += [tag for word, tag in _translated() if word.startswith(start)]
        async with self._database.transaction() as session:
            own = [tag for form in _forms(words) for tag in await image_tags.find_own(session, user_id, form, limit)]
            counts = await image_tags.count_images(session, user_id, sorted({*known, *own}), _MOST_COUNTED)
            named = await albums.find_like(session, user_id, words, limit)
            names = await people_lists.load_names(session, user_id)
            called = (await asyncio.to_thread(_called, names, [words]))[0][:limit]
            images_of = await people_lists.find_images(session, user_id, called)
        tags = [Suggestion("tag", tag, counts[tag]) for tag in sorted(counts, key=lambda tag: (-counts[tag], tag))]
        found = [Suggestion("person", one, len(images_of[one]), names[one]) for one in called if images_of[one]]
        found += [Suggestion("album", album.public_id, album.image_count, album.title) for album in named]
        spare = max(limit - len(found), limit // 2)
        return [*tags[:spare], *found][:limit]

    async def _seen(
        self, candidates: Sequence[Searchable], query: str
    ) -> tuple[dict[str, float] | None, dict[str, set[str]]]:
        """Compute the relevance of contents to what they show, and which show what is excluded, by word.

        None: the models do not know the words.
        """
        if not candidates:
            return {}, {}
        try:
            return await self._by_words.judge(await asyncio.to_thread(_contents, candidates), query)
        except NotSupported:
            return None, {}


def _judge(
    candidates: Sequence[Searchable],
    said: Sequence[ImageTag],
    seen: dict[str, float] | None,
    wanted: str,
    words: Sequence[str],
    excluded: Sequence[tuple[Sequence[str], Set[str]]],
    least: float,
    shown: Mapping[str, Mapping[str, float]],
    written: Mapping[str, Written],
) -> dict[str, _Match]:
    """Put together why images fit. `excluded`: forms of each word, and the contents that show it. `shown`: by image id,
    names of people, with what each counts. `written`: by image id. -> by image id, in the order of the candidates"""
    tags: dict[str, dict[str, ImageTag]] = {}
    for one in said:
        tags.setdefault(one.image_id, {})[one.tag] = one
    named = plain(wanted)
    matches: dict[str, _Match] = {}
    for image in candidates:
        its = tags.get(image.id, {})
        if any(_is_excluded(image.sha256, its, forms, showing) for forms, showing in excluded):
            continue
        match = _Match()
        for name, share in shown.get(image.id, {}).items():
            match.add(share, f"person:{name}")
        for tag in words:
            if tag in its and its[tag].verdict is not False:
                match.add(1.0 if its[tag].verdict else its[tag].score or 0.0, f"tag:{tag}")
        if named and image.filename and named in plain(image.filename):
            match.add(_NAMED, f"name:{image.filename}")
        if image.id in written:
            match.add(written[image.id].score, f"text:{written[image.id].line}")
        is_denied = any(its[tag].verdict is False for tag in words if tag in its)
        relevance = 0.0 if seen is None or is_denied else seen.get(image.sha256, 0.0)
        if not wanted:
            match.score = relevance
        elif relevance >= least:
            match.add(relevance, f"shows:{wanted}")
        if match.score > 0:
            matches[image.id] = match
    return matches


def _is_excluded(sha256: str, its: Mapping[str, ImageTag], forms: Sequence[str], showing: Set[str]) -> bool:
    """Tell whether an image has or shows what is excluded. What the user says of the tag wins over what it shows."""
    verdicts = [its[tag].verdict for tag in forms if tag in its]
    if any(verdict is not False for verdict in verdicts):
        return True
    return not verdicts and sha256 in showing


def _called(names: Mapping[str, str], texts: Sequence[str]) -> list[list[str]]:
    """Find who is called as texts say: their name is in the text, or one of its words begins with the text.
    -> ids, by text"""
    asked = [plain(text) for text in texts]
    own = {person: plain(name) for person, name in names.items()}
    return [
        [person for person, name in own.items() if _begins_word(text, name) or _begins_word(name, text, whole=True)]
        for text in asked
    ]


def _begins_word(part: str, words: str, *, whole: bool = False) -> bool:
    """Tell whether a word of a text, with those behind it, begins with some; `whole`: and ends with them."""
    at = words.find(part) if part else -1
    while at >= 0:
        end = at + len(part)
        # Languages without ASCII letters put particles behind a name, without a space.
        ends = not whole or not part[-1].isascii() or not words[end : end + 1].isalnum()
        if ends and not words[at - 1 : at].isalnum():
            return True
        at = words.find(part, at + 1)
    return False


def _who_is_in(asked_for: Sequence[tuple[str, Set[str]]]) -> dict[str, dict[str, float]]:
    """Turn names and their images into the names of each image, which count 1 where it shows all of them. Of one name
    there may be several people."""
    shown: dict[str, set[str]] = defaultdict(set)
    for name, images in asked_for:
        for image in images:
            shown[image].add(name)
    count = len({name for name, _ in asked_for})
    return {image: dict.fromkeys(sorted(names), len(names) / count) for image, names in shown.items()}


def _contents(candidates: Sequence[Searchable]) -> SomeContents:
    found = {one.sha256: Content(one.sha256, 0, "", one.width, one.height) for one in candidates}
    return SomeContents([found[sha] for sha in sorted(found)])


def _forms(text: str) -> list[str]:
    """Forms that a tag may be stored in: the plain one of the models, and as users write theirs, in lower case."""
    return list(dict.fromkeys([plain(text), text.strip().lower()]))


def _tags_of(wanted: str) -> list[str]:
    """Tags that words may be: all of them together, and each one that says something."""
    forms = _forms(wanted)
    single = [word for form in forms for word in re.findall(r"[^\s,;]+", form) if word not in STOP_WORDS]
    return [tag for tag in dict.fromkeys([*forms, *single]) if tag]


@cache
def _vocabulary() -> tuple[str, ...]:
    """Tags that the models give."""
    return tuple(dict.fromkeys([*(tag.name for tag in load_tags()), *PEOPLE_WORDS, *PAGE_WORDS]))


@cache
def _translated() -> tuple[tuple[str, str], ...]:
    """Words of other languages, with the tags that they stand for."""
    tags = set(_vocabulary())
    return tuple((plain(row.word), row.tag) for row in load_translations() if row.tag in tags)


def _parse(cursor: str | None) -> tuple[float, str] | None:
    if cursor is None:
        return None
    match = _CURSOR.fullmatch(cursor)
    if match is None:
        raise InvalidRequest("`cursor` is no `next_cursor` of a search.")
    return -float(match[1]), match[2]
