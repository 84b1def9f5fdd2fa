"""Bystanders: faces that a photograph shows by chance."""

from __future__ import annotations

import pytest

from serve_app.services.albums.album_faces import AlbumFace
from serve_app.services.albums.bystanders import find_bystanders

SIZE = {"1": (1000, 800)}


def a_face(face_id: str, left: float, width: float, *, top: float = 200, quality: float = 0.9) -> AlbumFace:
    return AlbumFace(face_id, "1", (left, top, left + width, top + width), 0.99, quality)


def bystanders(*faces: AlbumFace) -> set[str]:
    return find_bystanders(faces, SIZE)


def test_a_single_face_is_no_bystander_though_poor_and_cut_by_the_border() -> None:
    assert bystanders(a_face("alone", -80, 160, quality=0.1)) == set()


def test_friends_side_by_side_are_no_bystanders() -> None:
    assert bystanders(a_face("one", 100, 200), a_face("other", 400, 150), a_face("third", 700, 130)) == set()


@pytest.mark.parametrize(
    "stranger",
    [
        pytest.param(a_face("stranger", 700, 90), id="far behind"),
        pytest.param(a_face("stranger", 930, 150), id="cut by the right border"),
        pytest.param(a_face("stranger", 600, 150, top=-60), id="cut by the upper border"),
        pytest.param(a_face("stranger", 600, 150, quality=0.3), id="blurred"),
        pytest.param(a_face("stranger", 600, 25), id="tiny"),
    ],
)
def test_a_stranger_beside_the_main_face_is_a_bystander(stranger: AlbumFace) -> None:
    assert bystanders(a_face("main", 200, 200), stranger) == {"stranger"}


def test_a_large_face_that_leaves_the_image_is_no_measure_of_who_is_main() -> None:
    assert bystanders(a_face("passer-by", -180, 220), a_face("main", 300, 180)) == {"passer-by"}


def test_tiny_people_in_a_landscape_are_all_bystanders() -> None:
    assert bystanders(a_face("one", 100, 28), a_face("other", 500, 27)) == {"one", "other"}


def test_images_are_judged_by_themselves() -> None:
    near, far = AlbumFace("near", "1", (0, 0, 300, 300), 0.9, 1.0), AlbumFace("far", "2", (0, 0, 90, 90), 0.9, 1.0)
    assert find_bystanders([near, far], {"1": (1000, 800), "2": (1000, 800)}) == set()
