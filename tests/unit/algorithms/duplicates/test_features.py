"""Keypoints and descriptors of images."""

import numpy as np

from deployments.algorithms.duplicates.features import FeatureLimits, describe, mirrored
from tests.support import duplicate_pictures as pictures


def test_keypoints_are_stored_strongest_first_so_that_a_few_are_a_prefix_of_many():
    photo = pictures.photo("coffee")
    few, many = describe(photo, FeatureLimits(points=100)), describe(photo, FeatureLimits(points=400))
    assert len(few.points) <= 100
    assert len(few.points) < len(many.points) <= 400
    known = {tuple(point) for point in many.points}
    assert all(tuple(point) in known for point in few.points)


def test_describing_an_image_twice_gives_equal_features():
    first, second = describe(pictures.photo("astronaut")), describe(pictures.photo("astronaut"))
    assert (first.points == second.points).all()
    assert (first.descriptors == second.descriptors).all()


def test_features_fit_the_size_the_contract_names():
    features = describe(pictures.photo("astronaut"))
    parts = (features.pixels, features.points, features.sizes, features.descriptors)
    assert sum(part.nbytes for part in parts) < 300_000
    assert features.descriptors.dtype == np.uint8
    assert features.descriptors.shape == (len(features.points), 128)
    assert max(features.pixels.shape) == 384


def test_mirrored_features_are_those_of_the_mirrored_image():
    photo = pictures.photo("astronaut")
    turned, detected = mirrored(describe(photo)), describe(photo[:, ::-1].copy())
    distance = np.linalg.norm(turned.points[:, None] - detected.points[None], axis=2)
    nearest = distance.argmin(axis=1)
    likeness = (turned.descriptors.astype(float) * detected.descriptors[nearest]).sum(axis=1) / (
        np.linalg.norm(turned.descriptors.astype(float), axis=1)
        * np.linalg.norm(detected.descriptors[nearest].astype(float), axis=1)
    )
    same_place = distance.min(axis=1) < 1
    assert same_place.mean() > 0.8
    # Two directions of one point are two keypoints in one place, so a few meet the other one.
    assert (likeness[same_place] > 0.95).mean() > 0.7


def test_mirroring_twice_gives_the_features_back():
    features = describe(pictures.photo("coffee"))
    again = mirrored(mirrored(features))
    assert (again.pixels == features.pixels).all()
    assert np.allclose(again.points, features.points, atol=1e-3)
    assert (again.descriptors == features.descriptors).all()


def test_an_image_without_structure_has_no_points():
    features = describe(np.full((120, 80, 3), 90, np.uint8))
    assert len(features.points) == len(features.sizes) == len(features.descriptors) == 0
    assert features.pixels.shape == (240, 160)


def test_a_tiny_image_is_not_blown_up():
    assert describe(pictures.resized(pictures.photo("coffee"), 40)).pixels.shape[1] == 80


def test_an_image_of_one_pixel_is_described():
    assert len(describe(np.zeros((1, 1, 3), np.uint8)).points) == 0


def test_brightness_and_contrast_do_not_change_the_described_pixels_much():
    photo = pictures.photo("coffee")
    faded = (photo * 0.5 + 60).astype(np.uint8)
    assert np.abs(describe(photo).pixels.astype(int) - describe(faded).pixels).mean() < 4
