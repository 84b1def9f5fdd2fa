"""Order and names of what analyses find. Pure."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping


def sort_by_tag(tags: Mapping[str, Iterable[str]]) -> dict[str, list[str]]:
    """Sort references by tag: the most frequent tag first, references in their order. `tags`: reference -> tags."""
    pictures: dict[str, list[str]] = defaultdict(list)
    for ref in sorted(tags):
        for tag in tags[ref]:
            pictures[tag].append(ref)
    return {tag: pictures[tag] for tag in sorted(pictures, key=lambda tag: (-len(pictures[tag]), tag))}


def name_people(pictures: Mapping[str, list[str]]) -> dict[str, str]:
    """Name people `person1`, `person2` ... by the number of their images, then by these, then by id.

    `pictures`: person id -> sorted references. -> person id -> name, in that order
    """
    order = sorted(pictures, key=lambda person: (-len(pictures[person]), pictures[person], person))
    return {person: f"person{number}" for number, person in enumerate(order, 1)}
