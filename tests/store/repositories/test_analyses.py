"""Analysis results of file contents read back as they were saved."""

from __future__ import annotations

import numpy as np
import pytest
from sqlalchemy.ext.asyncio import AsyncSession

from deployments.contracts.albums import PairVerdict
from serve_app.store.repositories import faces, images, pair_verdicts, persons, quality, results, vectors
from serve_app.store.repositories.images import NewImage
from serve_app.store.repositories.quality import StoredQuality
from serve_app.store.repositories.users import LOCAL_USER_ID
from tests.support.rows import a_content, a_face, a_sha, an_album, an_image

A, B, C = a_sha("a"), a_sha("b"), a_sha("c")


@pytest.fixture
async def pictures(session: AsyncSession) -> None:
    for name in "abc":
        await an_image(session, name)


def some_vectors(count: int, views: int = 7, width: int = 16, seed: int = 0) -> vectors.NDArray[np.float32]:
    return np.random.default_rng(seed).normal(size=(count, views, width)).astype(np.float32)


@pytest.mark.usefixtures("pictures")
async def test_vectors_come_back_in_the_order_asked_for_at_half_precision(session: AsyncSession) -> None:
    saved = some_vectors(2)
    await vectors.save(session, "model", [A, B], saved)
    loaded, present = await vectors.load(session, "model", [B, C, A, B])
    assert loaded.dtype == np.float32
    assert present.tolist() == [True, False, True, True]
    np.testing.assert_array_equal(loaded[[0, 2, 3]], saved[[1, 0, 1]].astype(np.float16))
    assert not loaded[1].any()


@pytest.mark.usefixtures("pictures")
async def test_vectors_of_one_model_are_not_anothers(session: AsyncSession) -> None:
    await vectors.save(session, "model 1", [A], some_vectors(1))
    loaded, present = await vectors.load(session, "model 2", [A])
    assert (loaded.shape, present.tolist()) == ((1, 0, 0), [False])
    assert await vectors.find_missing(session, "model 2", [B, A, B]) == [B, A]
    assert await vectors.find_missing(session, "model 1", [B, A, B]) == [B]


@pytest.mark.usefixtures("pictures")
async def test_vectors_saved_again_are_replaced(session: AsyncSession) -> None:
    await vectors.save(session, "model", [A, A], some_vectors(2))
    await vectors.save(session, "model", [A], some_vectors(1, seed=1))
    loaded, _ = await vectors.load(session, "model", [A])
    np.testing.assert_array_equal(loaded, some_vectors(1, seed=1).astype(np.float16))


async def test_results_for_a_file_content_that_no_longer_exists_are_left_out(session: AsyncSession) -> None:
    await an_image(session, "a")
    await vectors.save(session, "model", [A, B], some_vectors(2))
    await quality.save(session, {B: StoredQuality(0, 0, 0, ())})
    await faces.save(session, "model", {A: [], B: [a_face()]})
    await pair_verdicts.save(session, "1", {(A, B): PairVerdict(True, 1)})
    assert (await vectors.load(session, "model", [A, B]))[1].tolist() == [True, False]
    assert (await faces.load(session, "model", [A, B])).scanned.tolist() == [True, False]
    assert await quality.load(session, [A, B]) == {}
    assert await pair_verdicts.load(session, "1", [(A, B)]) == {}


async def test_a_vector_that_half_precision_cannot_hold_is_refused(session: AsyncSession) -> None:
    for number in (np.nan, 1e6):
        with pytest.raises(ValueError, match="half precision"):
            await vectors.save(session, "model", [A], np.full((1, 1, 4), number, np.float32))


async def test_vectors_of_many_pictures_come_back_whole(session: AsyncSession) -> None:
    names = [str(number) for number in range(4500)]  # more than two statements' worth
    await images.add(session, LOCAL_USER_ID, [NewImage(a_content(name)) for name in names])
    saved = some_vectors(len(names), views=2, width=3)
    shas = [a_sha(name) for name in names]
    await vectors.save(session, "model", shas, saved)
    loaded, present = await vectors.load(session, "model", shas[::-1])
    assert present.all()
    np.testing.assert_array_equal(loaded[::-1], saved.astype(np.float16))


@pytest.mark.usefixtures("pictures")
async def test_quality_comes_back_and_is_replaced(session: AsyncSession) -> None:
    good, bad = StoredQuality(0.75, 0.5, 0.5, ()), StoredQuality(0.25, 0.5, 0.125, ("blurry", "dark"))
    await quality.save(session, {A: good, B: good})
    await quality.save(session, {B: bad})
    assert await quality.load(session, [A, B, C]) == {A: good, B: bad}


@pytest.mark.usefixtures("pictures")
async def test_faces_come_back_by_picture_and_confidence(session: AsyncSession) -> None:
    first, second, third = a_face(1), a_face(2), a_face(3)
    await faces.save(session, "model", {A: [], B: [first, second], C: [third]})
    found = await faces.load(session, "model", [C, A, B])
    assert found.pictures.tolist() == [0, 2, 2]
    assert found.scanned.all()
    np.testing.assert_array_equal(found.vectors, np.stack([f.embedding for f in (third, first, second)]))
    np.testing.assert_array_equal(found.boxes[1], np.float32(first.bbox))
    np.testing.assert_allclose(found.scores, 0.9, rtol=1e-6)
    landmarks = await faces.load_landmarks(session, found.ids.tolist())
    np.testing.assert_array_equal(landmarks[int(found.ids[2])], second.landmarks)


@pytest.mark.usefixtures("pictures")
async def test_a_picture_without_a_face_is_told_from_one_never_searched(session: AsyncSession) -> None:
    await faces.save(session, "model", {A: []})
    found = await faces.load(session, "model", [A, B])
    assert found.scanned.tolist() == [True, False]
    assert (found.ids.size, found.boxes.shape, found.vectors.shape) == (0, (0, 4), (0, 0))


@pytest.mark.usefixtures("pictures")
async def test_a_second_search_keeps_the_ids_of_faces(session: AsyncSession) -> None:
    await faces.save(session, "model", {A: [a_face(1)]})
    before = await faces.load(session, "model", [A])
    await faces.save(session, "model", {A: [a_face(2)], B: [a_face(3)]})
    after = await faces.load(session, "model", [A, B])
    assert after.ids[0] == before.ids[0]
    assert after.pictures.tolist() == [0, 1]


@pytest.mark.usefixtures("pictures")
async def test_verdicts_are_found_whichever_way_the_pair_is_named(session: AsyncSession) -> None:
    copy, other = PairVerdict(True, 0.75), PairVerdict(False, 0.125)
    await pair_verdicts.save(session, "1", {(A, B): copy, (C, A): other})
    pairs = [(B, A), (A, C), (B, C)]
    assert await pair_verdicts.load(session, "1", pairs) == {(B, A): copy, (A, C): other}
    assert await pair_verdicts.load(session, "2", pairs) == {}


@pytest.mark.usefixtures("pictures")
async def test_the_side_with_an_overlay_is_found_whichever_way_the_pair_is_named(session: AsyncSession) -> None:
    on_b = PairVerdict(True, 0.75, overlay="left")
    await pair_verdicts.save(session, "1", {(B, A): on_b})
    found = await pair_verdicts.load(session, "1", [(A, B)])
    assert found[A, B].overlay == "right"
    assert await pair_verdicts.load(session, "1", [(B, A)]) == {(B, A): on_b}


async def test_the_latest_result_of_each_kind_is_of_the_latest_version(session: AsyncSession) -> None:
    album = await an_album(session)
    await results.save(session, album.id, "tags", "plain", 1, {"n": 1})
    await results.save(session, album.id, "tags", "labels", 3, {"n": 2})
    await results.save(session, album.id, "tags", "plain", 2, {"n": 3})
    await results.save(session, album.id, "people", "plain", 1, {"n": 4})
    latest = await results.load_latest(session, album.id)
    assert {kind: result.payload["n"] for kind, result in latest.items()} == {"tags": 2, "people": 4}


async def test_a_late_result_of_an_old_version_does_not_replace_a_newer_one(session: AsyncSession) -> None:
    album = await an_album(session)
    await results.save(session, album.id, "tags", "key", 2, {"n": "new"})
    await results.save(session, album.id, "tags", "key", 1, {"n": "old"})
    found = await results.find(session, album.id, "tags", "key")
    assert found is not None
    assert (found.album_version, found.payload) == (2, {"n": "new"})


def test_equal_parameters_have_equal_keys() -> None:
    assert results.params_key({"a": 1, "b": [2]}) == results.params_key({"b": [2], "a": 1})
    assert results.params_key({"a": 1}) != results.params_key({"a": 2})


@pytest.fixture
async def group(session: AsyncSession) -> tuple[str, vectors.NDArray[np.int64]]:
    """An album and the ids of six faces."""
    album = await an_album(session, refs=["a"])
    await faces.save(session, "model", {A: [a_face(seed) for seed in range(6)]})
    return album.id, (await faces.load(session, "model", [A])).ids


async def test_new_faces_are_unknown_and_grouped_ones_are_not(
    session: AsyncSession, group: tuple[str, vectors.NDArray[np.int64]]
) -> None:
    album_id, ids = group
    labels = await persons.save(session, album_id, ids[:4], np.array([0, 0, 1, -1]))
    assert (await persons.load_labels(session, album_id, ids)).tolist() == [*labels.tolist(), -2, -2]
    assert labels[3] == -1


async def test_a_person_keeps_its_id_when_the_clusterer_numbers_anew(
    session: AsyncSession, group: tuple[str, vectors.NDArray[np.int64]]
) -> None:
    album_id, ids = group
    first = await persons.save(session, album_id, ids[:4], np.array([0, 0, 1, 1]))
    before = await persons.load(session, album_id)
    second = await persons.save(session, album_id, ids, np.array([1, 1, 0, 0, 0, 2]))
    after = await persons.load(session, album_id)
    assert second[:4].tolist() == first.tolist()
    assert second[4] == first[2]
    assert {label: after[label] for label in before} == before
    assert len(after) == 3


async def test_a_person_whose_faces_are_gone_is_deleted_and_its_label_not_reused(
    session: AsyncSession, group: tuple[str, vectors.NDArray[np.int64]]
) -> None:
    album_id, ids = group
    await persons.save(session, album_id, ids[:4], np.array([0, 0, 1, 1]))
    labels = await persons.save(session, album_id, ids, np.array([0, 0, -1, -1, 1, 1]))
    assert set(await persons.load(session, album_id)) == set(labels[labels >= 0].tolist())
    assert labels[4] not in (0, 1)


async def test_an_album_without_faces_has_no_persons(session: AsyncSession) -> None:
    album = await an_album(session)
    nothing = np.zeros(0, np.int64)
    assert (await persons.save(session, album.id, nothing, nothing)).tolist() == []
    assert await persons.load(session, album.id) == {}
