"""Pictures of the traffic."""

from __future__ import annotations

import io

from PIL import Image as PillowImage

from bench.faults.pictures import Pictures


def test_each_user_and_number_is_another_file_and_the_same_whenever_it_is_made() -> None:
    first, second = Pictures(1), Pictures(1)
    files = {(user, number): first(user, number) for user in range(2) for number in range(30)}
    assert len(set(files.values())) == len(files)
    assert all(second(*key) == file for key, file in files.items())
    assert Pictures(2)(0, 0) != files[0, 0]


def test_pictures_have_the_side_that_is_asked_for() -> None:
    for side in (800, 400):
        assert max(PillowImage.open(io.BytesIO(Pictures(1, side).scene(0, 1))).size) == side
