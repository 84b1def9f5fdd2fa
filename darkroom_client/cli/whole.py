"""Answers about large albums, which come in pages, put together to the shape of those about small ones."""

from __future__ import annotations

from collections import defaultdict
from typing import Any
from urllib.parse import parse_qs

from darkroom_client import Darkroom
from darkroom_client.models import ResultPages

Answer = dict[str, Any]
_FIELDS = {"tags": "tags", "duplicates": "duplicates", "people": "people_clusters"}
"""Kind of analysis -> the field of an album's results that holds what was found."""


def load_album(client: Darkroom, name: str) -> Answer:
    """Load the description of an album with all its images and results."""
    told = client.get_album(name)
    album: Answer = told.model_dump(mode="json", exclude_unset=True)
    if told.next_cursor is not None:
        rest = client.every(client.list_album_images, name, cursor=told.next_cursor)
        album["images"] += [image.model_dump(mode="json", exclude_unset=True) for image in rest]
        album["next_cursor"] = None
    for kind, pages in (album["results"].pop("pages", None) or {}).items():
        if kind in _FIELDS:
            found = whole(client, name, ResultPages.model_validate(pages))
            album["results"][_FIELDS[kind]] = found[_FIELDS[kind]]
    return album


def whole(client: Darkroom, name: str, answer: Any) -> Answer:
    """Put the answer of an analysis together from its pages; one without pages is whole already."""
    if not isinstance(answer, ResultPages):
        found: Answer = answer.model_dump(mode="json", exclude_unset=True)
        return found
    joined = {"tags": _tags, "duplicates": _duplicates, "people": _people, "texts": _texts}[answer.kind]
    return joined(client, name, _result(answer))


def _tags(client: Darkroom, name: str, query: dict[str, str]) -> Answer:
    tags: dict[str, list[str]] = defaultdict(list)
    for entry in client.every(client.list_album_tags, name, **query):
        for tag in entry.tags:
            tags[tag].append(entry.image)
    order = sorted(tags, key=lambda tag: (-len(tags[tag]), tag))
    return {"tags": {tag: sorted(tags[tag]) for tag in order}}


def _duplicates(client: Darkroom, name: str, query: dict[str, str]) -> Answer:
    listed = client.every(client.list_album_duplicates, name, **query)
    groups = [
        {"group": f"duplicate_group_{number}", **group.model_dump(mode="json", exclude_unset=True)}
        for number, group in enumerate(listed, 1)
    ]
    images = {group["group"]: [member["image"] for member in group["members"]] for group in groups}
    return {"duplicates": images, "groups": groups}


def _people(client: Darkroom, name: str, query: dict[str, str]) -> Answer:
    images: dict[str | None, set[str]] = defaultdict(set)
    for face in client.every(client.list_album_faces, name, **query):
        images[face.person].add(face.image)
    order = [person.id for person in client.every(client.list_album_people, name, **query)]
    return {"people_clusters": {f"person{number}": sorted(images[one]) for number, one in enumerate(order, 1)}}


def _texts(client: Darkroom, name: str, query: dict[str, str]) -> Answer:
    listed = client.every(client.list_album_texts, name, **query)
    return {"texts": [entry.model_dump(mode="json", exclude_unset=True) for entry in listed]}


def _result(answer: ResultPages) -> dict[str, str]:
    """Read which result the links to the pages name."""
    link = next(iter(answer.pages.values()))
    named = parse_qs(link.partition("?")[2]).get("result")
    return {"result": named[0]} if named else {}
