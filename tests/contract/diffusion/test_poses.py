"""Poses drawn: hands and faces with points that were not found, and OpenPose with weights of the real shapes."""

from __future__ import annotations

import warnings
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("torch")

import torch

from deployments.algorithms.a1111.poses import Pose, draw_poses
from deployments.contracts.diffusion import HintOptions
from deployments.engines.diffusion.poses import pose_of
from deployments.engines.diffusion.preprocessors import Preprocessors
from tests.support.builders import an_image
from tests.support.diffusing import no_faces

SIZE = (100, 200)


def test_a_hand_is_drawn_in_the_colours_of_openpose_as_far_as_it_was_found() -> None:
    found = {0: (50, 50), 1: (50, 150), 3: (90, 180)}
    drawn = draw_poses([Pose((), [found.get(place) for place in range(21)])], SIZE)
    assert drawn[100, 50].tolist() == [255, 0, 0]  # the first bone of the thumb, between points 0 and 1
    assert [drawn[y, x].tolist() for x, y in found.values()] == [[0, 0, 255]] * 3
    assert not drawn[165, 70].any()  # no bone leads to a point whose neighbour was not found


def test_points_that_were_not_found_are_not_drawn() -> None:
    drawn = draw_poses([Pose((), face=[(30, 60), None, (-1, -1)])], SIZE)
    ys, xs = np.nonzero(drawn.any(axis=2))
    assert (xs.mean(), ys.mean()) == (30, 60)
    assert (drawn[ys, xs] == 255).all()


@pytest.mark.parametrize("missing", [(), (1, 4, 16)])
def test_a_body_is_drawn_as_controlnet_aux_does(missing: tuple[int, ...]) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of packages of detectors that are not used
        from controlnet_aux.open_pose import BodyResult, Keypoint, PoseResult
        from controlnet_aux.open_pose.util import draw_bodypose

    places = np.random.default_rng(0).random((18, 2))
    points = [None if number in missing else Keypoint(*place) for number, place in enumerate(places.tolist())]
    drawn = draw_poses([pose_of(PoseResult(BodyResult(points, 0.0, 0), None, None, None), SIZE)], SIZE)
    np.testing.assert_array_equal(drawn, draw_bodypose(np.zeros((SIZE[1], SIZE[0], 3), np.uint8), points))


def test_openpose_draws_with_weights_from_the_folder(tmp_path: Path) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from controlnet_aux.open_pose.face import FaceNet
        from controlnet_aux.open_pose.model import bodypose_model, handpose_model
    for network, file in ((bodypose_model(), "body"), (handpose_model(), "hand")):
        # Files of their authors name layers without the block that the class puts them into.
        tensors = {name.partition(".")[2]: tensor for name, tensor in network.state_dict().items()}
        torch.save(tensors, tmp_path / f"{file}_pose_model.pth")
    torch.save(FaceNet().state_dict(), tmp_path / "facenet.pth")
    hints = Preprocessors(tmp_path, lambda: no_faces)
    drawn = hints.make("openpose_full", an_image((64, 64)), HintOptions(processor_res=64))
    assert drawn.shape == (64, 64, 3)
