"""From tags a picture to the answer, tag by tag."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

from serve_app.services.albums.items import Item


def tags_payload(
    items: Sequence[Item], tags: Mapping[str, Mapping[str, float]], failed: list[dict[str, str]]
) -> dict[str, Any]:
    """The detailed answer; `tags`: content -> tag -> probability. The most frequent tag first, pictures in order."""
    pictures: dict[str, list[str]] = defaultdict(list)
    scores = {}
    for item in sorted(items, key=lambda item: item.ref):
        for tag in tags[item.sha256]:
            pictures[tag].append(item.ref)
        scores[item.ref] = {tag: round(score, 4) for tag, score in tags[item.sha256].items()}
    order = sorted(pictures, key=lambda tag: (-len(pictures[tag]), tag))
    return {"tags": {tag: pictures[tag] for tag in order}, "failed": failed, "scores": scores}
