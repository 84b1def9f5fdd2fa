"""Face vectors for clients of another network: without the mean, of its length, and still of one space."""

from __future__ import annotations

import numpy as np
import pytest

from deployments.algorithms.faces.centring import DIM, centre, load_mean


def unit_vectors(count: int, dim: int = 192, lean: float = 0.0) -> np.ndarray:
    rows = np.random.default_rng(1).normal(size=(count, dim)).astype(np.float32) + np.float32(lean)
    return np.asarray(rows / np.linalg.norm(rows, axis=1, keepdims=True), np.float32)


def test_vectors_become_unit_vectors_of_512_numbers() -> None:
    found = centre(unit_vectors(5), unit_vectors(1)[0] * np.float32(0.2))
    assert found.dtype == np.float32
    assert found.shape == (5, DIM)
    assert np.linalg.norm(found, axis=1) == pytest.approx(1, abs=1e-6)


def test_zeros_at_the_end_change_no_cosine() -> None:
    vectors, mean = unit_vectors(5), unit_vectors(1)[0] * np.float32(0.2)
    shifted = vectors - mean
    shifted /= np.linalg.norm(shifted, axis=1, keepdims=True)
    found = centre(vectors, mean)
    np.testing.assert_allclose(found @ found.T, shifted @ shifted.T, atol=1e-6)


def test_vectors_that_lean_to_one_side_stand_apart_without_their_mean() -> None:
    vectors = unit_vectors(200, lean=1.5)
    found = centre(vectors, vectors.mean(axis=0))
    strangers = ~np.eye(len(vectors), dtype=bool)
    assert (vectors @ vectors.T)[strangers].mean() > 0.6
    assert abs((found @ found.T)[strangers].mean()) < 0.02


def test_a_vector_does_not_depend_on_its_company() -> None:
    vectors, mean = unit_vectors(5), unit_vectors(1)[0] * np.float32(0.2)
    np.testing.assert_array_equal(centre(vectors, mean)[2:3], centre(vectors[2:3], mean))


def test_no_faces_stay_none() -> None:
    assert centre(np.empty((0, 192), np.float32), np.zeros(192, np.float32)).shape == (0, DIM)


def test_a_face_that_is_the_mean_is_no_division_by_zero() -> None:
    mean = unit_vectors(1)[0]
    assert np.isfinite(centre(mean[None], mean)).all()


def test_the_networks_mean_ships_with_the_code() -> None:
    mean = load_mean("mobilefacenet")
    assert mean is not None
    assert mean.shape == (192,)
    assert 0.1 < float(np.linalg.norm(mean)) < 0.4


def test_a_network_that_was_not_measured_has_no_mean() -> None:
    assert load_mean("dlib") is None
