"""Poses of animals: small ONNX files of the real inputs and outputs."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import numpy_helper

pytest.importorskip("torch")

from deployments.contracts.diffusion import HintOptions
from deployments.engines.diffusion.animal_poses import AnimalPose
from deployments.engines.diffusion.annotators import NETWORKS
from deployments.engines.diffusion.preprocessors import Preprocessors
from deployments.errors import WeightsMissing
from tests.support.diffusing import no_faces
from tests.support.pose_files import DOT, a_dark_image_with_a_dot, write_finder, write_pose

FINDER, POSE = NETWORKS["animal_openpose"].files
ANIMAL = (40.0, 120.0, 140.0, 300.0)
PERSON, CAT, SHEEP, GIRAFFE, BACKPACK = 0, 15, 18, 23, 24


def doubled(box: tuple[float, ...]) -> tuple[float, ...]:
    """The box as the finder sees it."""
    return tuple(2 * side for side in box)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "openpose").mkdir()
    write_finder(
        tmp_path / "openpose" / FINDER, [(doubled(ANIMAL), 0.9, CAT), ((400.0, 10.0, 500.0, 90.0), 0.9, PERSON)]
    )
    write_pose(tmp_path / "openpose" / POSE, 17, (256, 256))
    return tmp_path


def test_animals_are_found_and_people_and_things_not(folder: Path) -> None:
    pose = AnimalPose.open([folder / "openpose" / name for name in (FINDER, POSE)])
    [box] = pose.find_bodies(a_dark_image_with_a_dot())
    np.testing.assert_allclose(box, ANIMAL, atol=0.01)
    places = [(left, 10.0, left + 60, 90.0) for left in (10.0, 90.0, 170.0, 250.0)]
    kinds = (SHEEP, GIRAFFE, BACKPACK, PERSON)
    write_finder(folder / "openpose" / FINDER, [(place, 0.9, kind) for place, kind in zip(places, kinds, strict=True)])
    pose = AnimalPose.open([folder / "openpose" / name for name in (FINDER, POSE)])
    found = sorted(float(box[0]) for box in pose.find_bodies(a_dark_image_with_a_dot()))
    np.testing.assert_allclose(found, [5, 45], atol=0.01)


def test_an_animal_is_drawn_where_its_points_are_and_nothing_without_any(folder: Path) -> None:
    def draw() -> np.ndarray:
        hints = Preprocessors(folder, lambda: no_faces)
        return hints.make("animal_openpose", a_dark_image_with_a_dot(), HintOptions(processor_res=256))

    drawn = draw()
    ys, xs = np.nonzero(drawn.any(axis=2))
    assert drawn.shape == (320, 256, 3)
    np.testing.assert_allclose([xs.mean(), ys.mean()], DOT, atol=4)
    write_finder(folder / "openpose" / FINDER, [])
    assert not draw().any()


@pytest.mark.parametrize("number", [np.nan, np.inf, 200.0])
def test_a_finder_whose_numbers_are_damaged_finds_nothing(folder: Path, number: float) -> None:
    path = folder / "openpose" / FINDER
    write_finder(path, [])
    model = onnx.load(path)
    [found] = [one for one in model.graph.initializer if one.name == "found"]
    numbers = np.ones_like(numpy_helper.to_array(found))
    numbers[..., :4] = number
    found.CopyFrom(numpy_helper.from_array(numbers, "found"))
    onnx.save(model, path)
    hints = Preprocessors(folder, lambda: no_faces)
    assert not hints.make("animal_openpose", a_dark_image_with_a_dot(), HintOptions(processor_res=256)).any()


def test_of_a_herd_the_surest_hundred_are_found(folder: Path) -> None:
    apart = [((8.0 * n, 8.0 * row, 8.0 * n + 6, 8.0 * row + 6), n, row) for row in range(4) for n in range(40)]
    herd = [(box, 0.5 + (n + 40 * row) / 1000, CAT) for box, n, row in apart]
    write_finder(folder / "openpose" / FINDER, herd)
    pose = AnimalPose.open([folder / "openpose" / name for name in (FINDER, POSE)])
    found = pose.find_bodies(np.zeros((640, 640, 3), np.uint8))
    assert len(found) == 100
    assert min(box[1] for box in found) >= 7  # none of the first row, whose scores are the least


def test_files_of_other_networks_are_refused_by_name(folder: Path) -> None:
    place = folder / "openpose"
    hints = Preprocessors(folder, lambda: no_faces)
    for points, size in ((133, (288, 384)), (133, (256, 256))):
        write_pose(place / POSE, points, size)
        with pytest.raises(WeightsMissing, match="rtmpose-m_ap10k_256"):
            hints.make("animal_openpose", a_dark_image_with_a_dot(), HintOptions())
    (place / POSE).write_bytes(b"no model")
    with pytest.raises(WeightsMissing, match="rtmpose-m_ap10k_256"):
        hints.make("animal_openpose", a_dark_image_with_a_dot(), HintOptions())
    (place / POSE).unlink()
    with pytest.raises(WeightsMissing, match=r"weights rtmpose-m_ap10k_256\.onnx are not in"):
        hints.make("animal_openpose", a_dark_image_with_a_dot(), HintOptions())


def test_it_can_run_where_both_files_are(folder: Path) -> None:
    modules = {module.name: module for module in Preprocessors(folder, lambda: no_faces).modules()}
    assert modules["animal_openpose"].available
    assert not modules["dw_openpose_full"].available  # which shares the finder
    assert modules["animal_openpose"].weights == ("yolox_l.onnx", "rtmpose-m_ap10k_256.onnx")
