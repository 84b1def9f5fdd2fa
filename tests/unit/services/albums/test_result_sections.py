"""Results split into entries and joined again."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deployments.algorithms.duplicates.groups import DuplicateLink
from serve_app.services.albums.album_faces import AlbumFace
from serve_app.services.albums.duplicate_report import duplicates_result, group_items
from serve_app.services.albums.items import Item
from serve_app.services.albums.people import people_result
from serve_app.services.albums.result_sections import Place, join, split
from serve_app.services.albums.results import AnalysisResult, Failed, PictureQuality, QualityResult
from serve_app.services.albums.tags import tags_result

REFS = [f"https://example.org/{name}" for name in "qwertzuiopas"]
FAILED = [Failed(image="b", code="corrupt", detail="no"), Failed(image="f", code="empty", detail="")]
SHARES = st.floats(0, 1).map(lambda share: round(share, 4))


@st.composite
def albums(draw: st.DrawFn) -> list[Item]:
    """Images in any order, some with equal bytes."""
    refs = draw(st.lists(st.sampled_from(REFS), unique=True, max_size=10))
    return [Item(ref, f"img_{ref}", f"{draw(st.integers(0, 6)):064d}", 100, 80, 50, "image/png") for ref in refs]


def places(items: list[Item]) -> Mapping[str, Place]:
    came = [*((number, item.sha256) for number, item in enumerate(items, 7)), (3, ""), (90, "")]
    return dict(zip([*(item.ref for item in items), "b", "f"], came, strict=True))


@st.composite
def tags(draw: st.DrawFn) -> tuple[list[Item], AnalysisResult]:
    items = draw(albums())
    some = st.dictionaries(st.sampled_from(["beach", "food", "dog"]), SHARES)
    return items, tags_result(items, {item.sha256: draw(some) for item in items}, FAILED)


@st.composite
def quality(draw: st.DrawFn) -> tuple[list[Item], AnalysisResult]:
    items = draw(albums())
    issues = st.lists(st.sampled_from(["blurry", "dark"]), unique=True)
    entries = [
        PictureQuality(image=ref, sharpness=draw(SHARES), exposure=draw(SHARES), score=0.5, issues=draw(issues))
        for ref in sorted(item.ref for item in items)
    ]
    return items, QualityResult(quality=entries, failed=FAILED)


@st.composite
def duplicates(draw: st.DrawFn) -> tuple[list[Item], AnalysisResult]:
    items = draw(albums())
    shas = sorted({item.sha256 for item in items})
    pairs = [(a, b) for a in shas for b in shas if a < b]
    chosen = draw(st.lists(st.sampled_from(pairs), unique=True, max_size=8)) if pairs else []
    links = [DuplicateLink(a, b, draw(st.sampled_from(["exact", "copy"])), 0.75) for a, b in chosen]
    return items, duplicates_result(items, group_items(items, links, "copy"), links, {}, FAILED)


@st.composite
def people(draw: st.DrawFn) -> tuple[list[Item], AnalysisResult]:
    items = draw(albums())
    faces, person_of = [], {}
    for sha in sorted({item.sha256 for item in items}):
        for number in range(draw(st.integers(0, 3))):
            face = AlbumFace(f"{sha}.{number}", sha, (draw(SHARES), 2, 30, 40), 0.9, draw(SHARES))
            faces.append(face)
            if draw(st.booleans()):
                person_of[face.id] = f"per_{draw(st.integers(0, 3))}"
    return items, people_result(items, faces, person_of, FAILED, draw(st.integers(1, 2)), bystanders=True)


@pytest.mark.parametrize(
    ("kind", "drawn"), [("tags", tags()), ("quality", quality()), ("duplicates", duplicates()), ("people", people())]
)
@given(data=st.data())
def test_a_result_that_was_split_is_joined_as_it_was(kind: str, drawn: Any, data: st.DataObject) -> None:
    items, result = data.draw(drawn)
    sections = split(kind, result, places(items))
    whole = join(kind, {name: [entry for _, entry in entries] for name, entries in sections.items()})
    assert whole.model_dump_json() == result.model_dump_json()


@given(found=people())
def test_keys_of_entries_are_unique_and_sorted(found: tuple[list[Item], AnalysisResult]) -> None:
    for entries in split("people", found[1], places(found[0])).values():
        keys = [key for key, _ in entries]
        assert keys == sorted(set(keys))


def test_a_picture_more_of_one_person_changes_no_entry_of_another() -> None:
    items = [Item(ref, f"img_{ref}", ref * 64, 100, 80, 50, "image/png") for ref in "acd"]
    faces = [AlbumFace(f"{ref}{n}", ref * 64, (1, 2, 30, 40), 0.9, 0.5) for ref, n in ("a0", "a1", "c1", "d0")]
    person_of = {face.id: f"per_{face.id[-1]}" for face in faces}

    def of_the_other(images: int, seen: list[AlbumFace]) -> list[object]:
        of = {face.id: person_of[face.id] for face in seen}
        entries = split("people", people_result(items[:images], seen, of, [], 1, bystanders=True), places(items))
        return [entry for entry in entries["people"] + entries["faces"] if "per_1" in entry[1].values()]

    assert len(of_the_other(2, faces[:3])) == 3
    assert of_the_other(2, faces[:3]) == of_the_other(3, faces)
