"""DWPose: two small ONNX files of the real inputs and outputs, of which one knows its answer and the other looks."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("torch")

from deployments.contracts.diffusion import HintOptions
from deployments.engines.diffusion.annotators import NETWORKS
from deployments.engines.diffusion.dwpose import DWPose, in_order
from deployments.engines.diffusion.preprocessors import Preprocessors
from deployments.errors import WeightsMissing
from tests.support.diffusing import no_faces
from tests.support.pose_files import DOT, a_dark_image_with_a_dot, write_finder, write_pose

FINDER, POSE = NETWORKS["dwpose"].files
PERSON = (40.0, 120.0, 140.0, 300.0)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Weights in the folder that the extension gives them; the image's sides are doubled for the finder."""
    (tmp_path / "openpose").mkdir()
    box = tuple(2 * side for side in PERSON)
    shifted = tuple(2 * side + 6 for side in PERSON)
    boxes = [(box, 0.9, 0), (shifted, 0.5, 0), ((400.0, 10.0, 500.0, 90.0), 0.9, 7), ((10.0, 10.0, 60.0, 90.0), 0.2, 0)]
    write_finder(tmp_path / "openpose" / FINDER, boxes)
    write_pose(tmp_path / "openpose" / POSE)
    return tmp_path


@pytest.fixture
def pose(folder: Path) -> DWPose:
    return DWPose.open([folder / "openpose" / name for name in (FINDER, POSE)])


def test_people_are_found_once_each_and_other_things_not(pose: DWPose) -> None:
    [box] = pose.find_bodies(a_dark_image_with_a_dot())
    np.testing.assert_allclose(box, PERSON, atol=0.01)


def test_points_are_found_where_they_are_in_the_image(pose: DWPose) -> None:
    points = pose.find_body_points(a_dark_image_with_a_dot(), np.array(PERSON, np.float32))
    assert points.shape == (133, 3)
    assert np.abs(points[:, :2] - DOT).max() <= 3
    assert (points[:, 2] > 0.3).all()


def test_points_of_coco_are_in_the_order_of_openpose() -> None:
    points = np.zeros((133, 3), np.float32)
    points[:, 0] = np.arange(133)
    points[:, 2] = 1
    ordered = in_order(points)
    nose, neck, right_shoulder, left_shoulder, right_ear = (ordered[place, 0] for place in (0, 1, 2, 5, 16))
    assert (nose, neck, right_shoulder, left_shoulder, right_ear) == (0, 5.5, 6, 5, 4)
    assert ordered[18:, 0].tolist() == list(range(17, 133))
    points[5, 2] = 0.2
    assert in_order(points)[1, 2] == 0


def test_poses_are_drawn_where_people_are_and_nothing_without_any(folder: Path) -> None:
    hints = Preprocessors(folder, lambda: no_faces)
    drawn = hints.make("dw_openpose_full", a_dark_image_with_a_dot(), HintOptions(processor_res=256))
    ys, xs = np.nonzero(drawn.any(axis=2))
    assert drawn.shape == (320, 256, 3)
    np.testing.assert_allclose([xs.mean(), ys.mean()], DOT, atol=4)
    write_finder(folder / "openpose" / FINDER, [])
    again = Preprocessors(folder, lambda: no_faces)
    assert not again.make("dw_openpose_full", a_dark_image_with_a_dot(), HintOptions(processor_res=256)).any()


def test_files_of_other_networks_are_refused_by_name(folder: Path) -> None:
    place = folder / "openpose"
    (place / POSE).write_bytes((place / FINDER).read_bytes())
    hints = Preprocessors(folder, lambda: no_faces)
    for _ in range(2):
        with pytest.raises(WeightsMissing, match="dw-ll_ucoco_384"):
            hints.make("dw_openpose_full", a_dark_image_with_a_dot(), HintOptions())
        (place / POSE).write_bytes(b"no model")


def test_networks_that_look_like_these_and_answer_otherwise_are_refused(folder: Path) -> None:
    write_pose(folder / "openpose" / POSE, count=17)
    hints = Preprocessors(folder, lambda: no_faces)
    with pytest.raises(WeightsMissing, match="dw-ll_ucoco_384"):
        hints.make("dw_openpose_full", a_dark_image_with_a_dot(), HintOptions())
    write_pose(folder / "openpose" / POSE)
    write_finder(folder / "openpose" / FINDER, [], cells=100)
    with pytest.raises(WeightsMissing, match="yolox_l"):
        hints.make("dw_openpose_full", a_dark_image_with_a_dot(), HintOptions())


def test_it_can_run_where_both_files_are(folder: Path) -> None:
    def is_available() -> bool:
        modules = {module.name: module for module in Preprocessors(folder, lambda: no_faces).modules()}
        return modules["dw_openpose_full"].available

    assert is_available()
    (folder / "openpose" / POSE).unlink()
    assert not is_available()
