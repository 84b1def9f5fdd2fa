"""Persons saved as the difference to what is stored."""

from __future__ import annotations

from collections.abc import Callable, Coroutine

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

from deployments.algorithms.people.label_matching import carry_labels, number_by_first_face
from serve_app.store.ids import new_id
from serve_app.store.repositories import faces, persons
from tests.support.rows import a_face, a_sha, an_album

Ids = NDArray[np.int64]
Save = Callable[[AsyncSession, str, Ids, Ids], Coroutine[None, None, Ids]]
GROUPINGS = st.lists(st.dictionaries(st.integers(0, 9), st.integers(-1, 4)), min_size=1, max_size=4)
"""Groupings of an album one after the other: index of a face -> its cluster."""


@pytest.fixture
async def group(session: AsyncSession) -> tuple[str, Ids]:
    """An album and the ids of ten faces."""
    album = await an_album(session, refs=["a"])
    await faces.save(session, "model", {a_sha("a"): [a_face(seed) for seed in range(10)]})
    return album.id, (await faces.load(session, "model", [a_sha("a")])).ids


async def write_anew(session: AsyncSession, album_id: str, face_ids: Ids, clusters: Ids) -> Ids:
    """Save a grouping by deleting all rows and inserting them again."""
    old = await persons.load(session, album_id)
    previous = await persons.load_labels(session, album_id, face_ids)
    result = carry_labels(previous, number_by_first_face(clusters), max(old, default=-1))
    ids = {label: old[label].id if label in old else new_id("per") for label in set(result[result >= 0].tolist())}
    await session.execute(text("DELETE FROM person_faces WHERE album_id = :album"), {"album": album_id})
    await session.execute(text("DELETE FROM persons WHERE album_id = :album"), {"album": album_id})
    for label, person in ids.items():
        await session.execute(
            text("INSERT INTO persons (id, album_id, label) VALUES (:id, :album, :label)"),
            {"id": person, "album": album_id, "label": label},
        )
    for face, label in zip(face_ids.tolist(), result.tolist(), strict=True):
        await session.execute(
            text("INSERT INTO person_faces (album_id, face_id, person_id) VALUES (:album, :face, :person)"),
            {"album": album_id, "face": face, "person": ids.get(label)},
        )
    return result


async def rows_after(
    session: AsyncSession, album_id: str, ids: Ids, groupings: list[dict[int, int]], save: Save
) -> tuple[set[tuple[int, int, bool]], list[list[int]]]:
    """Rows and answers that a way to save leaves: face, label and whether the person is one of the first grouping."""
    answers: list[list[int]] = []
    first: set[str] = set()
    async with session.begin_nested() as point:
        for grouping in groupings:
            of = np.array(sorted(grouping), np.int64)
            clusters = np.array([grouping[face] for face in of.tolist()], np.int64)
            answers.append((await save(session, album_id, ids[of], clusters)).tolist())
            if not first:
                first = {person.id for person in (await persons.load(session, album_id)).values()}
        rows = await session.execute(
            text("""
                SELECT face_id, label, persons.id FROM person_faces FULL JOIN persons ON persons.id = person_id
                WHERE coalesce(person_faces.album_id, persons.album_id) = :album
            """),
            {"album": album_id},
        )
        found = {(face, label, person in first) for face, label, person in rows}
        await point.rollback()
    return found, answers


@given(groupings=GROUPINGS)
@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
async def test_the_difference_leaves_the_same_rows_as_writing_all_anew(
    session: AsyncSession, group: tuple[str, Ids], groupings: list[dict[int, int]]
) -> None:
    anew = await rows_after(session, *group, groupings, write_anew)
    assert await rows_after(session, *group, groupings, persons.save) == anew


async def test_one_face_more_writes_one_row(session: AsyncSession, group: tuple[str, Ids]) -> None:
    album_id, ids = group
    await persons.save(session, album_id, ids[:9], np.array([0, 0, 0, 1, 1, 2, 2, 2, -1]))
    written = text("SELECT face_id, xmin, ctid FROM person_faces WHERE album_id = :album")
    before = {tuple(row) for row in await session.execute(written, {"album": album_id})}
    await persons.save(session, album_id, ids, np.array([5, 5, 5, 0, 0, 2, 2, 2, -1, 0]))
    after = {tuple(row) for row in await session.execute(written, {"album": album_id})}
    assert before < after
    assert {row[0] for row in after - before} == {int(ids[9])}


async def test_a_person_left_without_faces_by_a_deleted_picture_goes_with_the_next_grouping(
    session: AsyncSession, group: tuple[str, Ids]
) -> None:
    album_id, ids = group
    await persons.save(session, album_id, ids, np.repeat([0, 1], 5))
    await session.execute(text("DELETE FROM faces WHERE id = ANY(:gone)"), {"gone": ids[:5].tolist()})
    await persons.save(session, album_id, ids[5:], np.zeros(5, np.int64))
    assert set(await persons.load(session, album_id)) == {1}


async def test_a_face_that_was_deleted_meanwhile_joins_no_person(session: AsyncSession, group: tuple[str, Ids]) -> None:
    album_id, ids = group
    gone = int(ids.max()) + 1
    await persons.save(session, album_id, np.append(ids, gone), np.zeros(11, np.int64))
    assert (await persons.load_labels(session, album_id, np.append(ids, gone))).tolist() == [0] * 10 + [-2]


async def test_persons_whose_ids_have_one_hash_are_told_apart(
    session: AsyncSession, group: tuple[str, Ids], monkeypatch: pytest.MonkeyPatch
) -> None:
    album_id, ids = group
    clusters = np.repeat([0, 1], 5)
    await persons.save(session, album_id, ids, clusters)
    of_person = persons._GROUPING.text.replace("person_id, :seed", "substr(person_id, 1, 40 * :seed), 0")
    colliding = text(of_person.replace("id, :seed", "substr(id, 1, 40 * :seed), 0"))  # by the first seed, of nothing
    monkeypatch.setattr(persons, "_GROUPING", colliding)
    assert (await persons.load_labels(session, album_id, ids)).tolist() == clusters.tolist()
