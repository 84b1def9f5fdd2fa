"""The index of view vectors: all rows while they are few, a file of codes when they are many."""

import faiss
import numpy as np
import pytest

from deployments.algorithms.duplicates import index as module
from deployments.algorithms.duplicates.index import NeighbourIndex


def unit_rows(count, width=32, seed=0):
    """Rows in scenes of four."""
    draw = np.random.default_rng(seed)
    rows = np.repeat(draw.normal(size=(count // 4, width)), 4, axis=0) + 0.4 * draw.normal(size=(count, width))
    return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)


@pytest.fixture(params=["all rows", "file of codes"])
def filled(request, monkeypatch):
    if request.param == "file of codes":
        monkeypatch.setattr(module, "_FLAT_BELOW", 0)
    rows = unit_rows(1200)
    index = NeighbourIndex.train(rows, len(rows), [rows])
    index.add(rows[:700], np.arange(700))
    index.add(rows[700:], np.arange(700, 1200))
    return index, rows


def found_pairs(index, rows, neighbours=8, min_cosine=0.5, always=0):
    asking, answering, _ = index.search(rows, np.arange(len(rows)), neighbours, min_cosine, always)
    return set(zip(asking.tolist(), answering.tolist(), strict=True))


def test_an_index_finds_the_near_rows_of_other_images(filled):
    index, rows = filled
    found = found_pairs(index, rows)
    scene_mates = {(a, b) for a, b in np.argwhere(rows @ rows.T >= 0.6).tolist() if a != b}
    assert len(found & scene_mates) >= 0.99 * len(scene_mates)
    assert not any(a == b for a, b in found)


def test_an_index_that_was_saved_and_loaded_answers_as_before_and_can_be_extended(filled):
    index, rows = filled
    loaded = NeighbourIndex.load(index.save())
    assert found_pairs(loaded, rows) == found_pairs(index, rows)
    loaded.add(rows[:1], np.array([5000]))
    assert (0, 5000) in found_pairs(loaded, rows[:1])


def test_the_nearest_images_are_named_however_little_alike(filled):
    index, rows = filled
    assert len(found_pairs(index, rows[:10], min_cosine=2.0, always=2)) == 20


def test_an_index_without_rows_finds_nothing():
    rows = unit_rows(40)
    assert found_pairs(NeighbourIndex.train(rows, 40, [rows]), rows) == set()


def test_an_index_works_in_the_thread_that_asks_alone(filled):
    index, rows = filled
    faiss.omp_set_num_threads(4)
    found_pairs(index, rows)
    assert faiss.omp_get_max_threads() == 1


def test_other_bytes_are_no_index():
    with pytest.raises(ValueError, match="pickled"):
        NeighbourIndex.load(np.zeros(100, np.uint8))
