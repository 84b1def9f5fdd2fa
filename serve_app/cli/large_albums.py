"""Answers about large albums, which come in pages, put together to the shape of those about small ones."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable
from typing import Any
from urllib.parse import parse_qsl, quote

from serve_app.cli.client import Client

Answer = dict[str, Any]
_FIELDS = {"tags": "tags", "duplicates": "duplicates", "people": "people_clusters"}
"""Kind of analysis -> the field of an album's results that holds what was found."""


def load_album(client: Client, name: str) -> Answer:
    """Load the description of an album with all its images and results."""
    path = f"/albums/{quote(name, safe='')}"
    album: Answer = client.json("GET", path)
    if album["next_cursor"] is not None:
        album["images"] += client.items(f"{path}/images", cursor=album["next_cursor"])
        album["next_cursor"] = None
    for kind, pages in (album["results"].pop("pages", None) or {}).items():
        if kind in _FIELDS:
            album["results"][_FIELDS[kind]] = whole(client, pages)[_FIELDS[kind]]
    return album


def whole(client: Client, answer: Answer) -> Answer:
    """Put the answer of an analysis together from its pages; one without pages is whole already."""
    return _JOIN[answer["kind"]](client, answer["pages"]) if "pages" in answer else answer


def _tags(client: Client, pages: dict[str, str]) -> Answer:
    tags: dict[str, list[str]] = defaultdict(list)
    for entry in _items(client, pages["tags"]):
        for tag in entry["tags"]:
            tags[tag].append(entry["image"])
    order = sorted(tags, key=lambda tag: (-len(tags[tag]), tag))
    return {"tags": {tag: sorted(tags[tag]) for tag in order}}


def _duplicates(client: Client, pages: dict[str, str]) -> Answer:
    groups = [
        {"group": f"duplicate_group_{number}", **group}
        for number, group in enumerate(_items(client, pages["duplicates"]), 1)
    ]
    return {
        "duplicates": {group["group"]: [member["image"] for member in group["members"]] for group in groups},
        "groups": groups,
    }


def _people(client: Client, pages: dict[str, str]) -> Answer:
    images: dict[str, set[str]] = defaultdict(set)
    for face in _items(client, pages["faces"]):
        images[face["person"]].add(face["image"])
    order = [person["id"] for person in _items(client, pages["people"])]
    return {"people_clusters": {f"person{number}": sorted(images[one]) for number, one in enumerate(order, 1)}}


_JOIN: dict[str, Callable[[Client, dict[str, str]], Answer]] = {
    "tags": _tags,
    "duplicates": _duplicates,
    "people": _people,
}


def _items(client: Client, link: str) -> list[Answer]:
    path, _, asked = link.partition("?")
    query: dict[str, Any] = dict(parse_qsl(asked))
    return client.items(path.removeprefix("/api/v1"), **query)
