"""Poses drawn: hands and faces with points that were not found, and OpenPose with weights of the real shapes."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("torch")

import torch

from deployments.contracts.diffusion import HintOptions
from deployments.engines.diffusion.poses import draw_poses
from deployments.engines.diffusion.preprocessors import Preprocessors
from tests.support.builders import an_image
from tests.support.diffusing import no_faces

SIZE = (200, 100)


def a_pose(*, hand: dict[int, tuple[float, float]], face: list[tuple[float, float] | None]) -> Any:
    from controlnet_aux.open_pose import BodyResult, Keypoint, PoseResult

    points = [Keypoint(*hand[place]) if place in hand else None for place in range(21)]
    body = BodyResult([None] * 18, 0.0, 0)
    return PoseResult(body, points, None, [None if place is None else Keypoint(*place) for place in face])


def test_a_hand_is_drawn_in_the_colours_of_openpose_as_far_as_it_was_found() -> None:
    drawn = draw_poses([a_pose(hand={0: (0.5, 0.25), 1: (0.5, 0.75), 3: (0.9, 0.9)}, face=[])], SIZE)
    assert drawn[100, 50].tolist() == [255, 0, 0]  # the first bone of the thumb, between points 0 and 1
    assert [drawn[y, x].tolist() for x, y in ((50, 50), (50, 150), (90, 180))] == [[0, 0, 255]] * 3
    assert not drawn[165, 70].any()  # no bone leads to a point whose neighbour was not found


def test_points_that_were_not_found_are_not_drawn() -> None:
    drawn = draw_poses([a_pose(hand={}, face=[(0.3, 0.3), None, (-1.0, -1.0)])], SIZE)
    ys, xs = np.nonzero(drawn.any(axis=2))
    assert (xs.mean(), ys.mean()) == (30, 60)
    assert (drawn[ys, xs] == 255).all()


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
