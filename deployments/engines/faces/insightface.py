"""Face engine over insightface's `buffalo_l`: SCRFD for detection and ArcFace for 512-d vectors, for production.

insightface's code is MIT; its published weights, `buffalo_l` among them, are for non-commercial research only. Darkroom
neither ships nor fetches them: operators who have the right to use them put them in place.

insightface comes with the extra `darkroom[diffusion]` and is imported when an engine is made.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from deployments.algorithms.faces.alignment import chip_by_eyes
from deployments.algorithms.faces.quality import judge_face, turn_degrees_of_five
from deployments.algorithms.images.affine import move_points, quarter_turn_back
from deployments.contracts.albums import Face
from deployments.contracts.arrays import Image
from deployments.errors import Unavailable, WeightsMissing

_MODEL = "buffalo_l"
_LONGEST_STRIP = 64
"""Ratio of sides up to which an image is searched: insightface scales thinner ones to a width of 0 and fails."""
_ROOT_SETTING = "DARKROOM_FACES__INSIGHTFACE_ROOT"


class InsightFaceEngine:
    """Face engine `insightface`. `find` may be called from several threads at once."""

    dim = 512
    files = ("det_10g.onnx", "w600k_r50.onnx")
    """Files of `buffalo_l` that are used; the other three may be left out."""

    def __init__(self, root: Path | None = None, min_score: float = 0.5) -> None:
        """Load the models under `root`, which holds `models/buffalo_l`; default: insightface's own, `~/.insightface`.

        `min_score` is SCRFD's. Raises `Unavailable` without the extra, `WeightsMissing` when a file is not there.
        """
        folder = (root or Path("~/.insightface")).expanduser() / "models" / _MODEL
        analysis = _import_analysis()
        for name in self.files:
            if not (folder / name).is_file():
                raise WeightsMissing(
                    f"The face model models/{_MODEL}/{name} is missing from the folder that {_ROOT_SETTING} names. "
                    "It is not fetched, since its licence allows non-commercial use only: put it there, or use the "
                    "local models with DARKROOM_FACES__ENGINE=local.",
                    extra={"file": name, "setting": _ROOT_SETTING},
                )
        # A folder in place of a name is used as it is; a name would be downloaded.
        self._analysis = analysis(
            name=str(folder), allowed_modules=["detection", "recognition"], sess_options=_one_core_a_call()
        )
        self._analysis.prepare(ctx_id=0, det_thresh=min_score)

    def find(self, image: Image) -> list[Face]:
        """Find the faces of one image, the most confident first; when there is none, those of the quarter turn with the
        most confident one.

        The score is SCRFD's, the landmarks are eyes, tip of the nose and corners of the mouth.
        """
        if faces := self._find_turned(image, 0):
            return faces
        turned = [self._find_turned(image, turns) for turns in (1, 2, 3)]
        return max(turned, key=lambda found: found[0].score if found else 0.0)

    def _find_turned(self, image: Image, turns: int) -> list[Face]:
        """Find the faces that show after `turns` counter-clockwise quarter turns, in pixels of `image`."""
        if max(image.shape[:2]) > _LONGEST_STRIP * min(image.shape[:2]):
            return []
        bgr = np.ascontiguousarray(np.rot90(image, turns)[:, :, ::-1])
        back = quarter_turn_back(image.shape[0], image.shape[1], turns)
        found = [_face(image, seen, back) for seen in self._analysis.get(bgr)]
        return sorted(found, key=lambda face: -face.score)


def _face(image: Image, seen: Any, back: NDArray[np.float64]) -> Face:
    corners = move_points(seen.bbox.reshape(2, 2), back)
    box = np.concatenate([corners.min(axis=0), corners.max(axis=0)])
    five = move_points(seen.kps, back)
    score = float(seen.det_score)
    chip = chip_by_eyes(image, five[:2], padding=0.15, size=150)
    quality = judge_face(image, chip, box, five, turn_degrees_of_five(five), score)
    x1, y1, x2, y2 = (float(edge) for edge in box)
    return Face(
        bbox=(x1, y1, x2, y2),
        score=score,
        quality=quality.value,
        landmarks=five,
        embedding=np.asarray(seen.normed_embedding, np.float32),
    )


def _one_core_a_call() -> Any:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    return options


def _import_analysis() -> Any:
    try:
        from insightface.app import FaceAnalysis
    except ImportError as error:
        raise Unavailable("The face engine `insightface` needs the extra: pip install 'darkroom[diffusion]'") from error
    return FaceAnalysis
