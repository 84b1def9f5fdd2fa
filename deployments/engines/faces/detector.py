"""Face detection by MediaPipe's full-range detector in several passes, and verification by MTCNN's last network."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from deployments.algorithms.faces.alignment import roll_of
from deployments.algorithms.faces.boxes import SearchWindow, is_cut, square_windows, suppress_overlaps
from deployments.algorithms.faces.turned_image import TurnedImage
from deployments.algorithms.images.affine import fit_square, invert, move_points, quarter_turn_back, warp_square
from deployments.contracts.arrays import Floats, Image
from deployments.engines.runtime import InterpreterPool, open_session

_INPUT_PX = 192
_CELLS = 48
"""Cells along each side: one anchor in each of 48 x 48, offsets in pixels of the input (mediapipe:
modules/face_detection/face_detection_full_range.pbtxt)."""
_SMALLEST_IN_INPUT_PX = 10
"""Width of a face in the input from which on the detector finds more than 90 % (measured: 69 % at 8 px, 97 % at 14)."""
_WINDOW_OVERLAP = 0.25
_PADDING = 0.5
"""Border of the padded pass, as a share of the longer side.

The model is made for faces much smaller than its input: without it, it misses most portraits in which the face fills
the image.
"""
_SAME_FACE_IOU = 0.3
_SAME_FACE_CONTAINED = 0.6
_VERIFIER_PX = 48


@dataclass(frozen=True, slots=True)
class Candidates:
    """Candidate faces of one image, in its pixels."""

    boxes: Floats
    """Boxes `(x1, y1, x2, y2)`, `float32[N, 4]`."""
    scores: Floats
    """Detection confidence, `float32[N]`, 0 to 1."""
    points: Floats
    """Keypoints `float32[N, 6, 2]`: right eye, left eye, nose, mouth, right ear, left ear, the person's right."""

    def __len__(self) -> int:
        return len(self.boxes)

    def pick(self, index: NDArray[np.bool_] | NDArray[np.intp]) -> Candidates:
        """Select candidates by a mask or by indices."""
        return Candidates(self.boxes[index], self.scores[index], self.points[index])

    @property
    def rolls(self) -> list[float]:
        """Radians by which each face is turned clockwise."""
        return [roll_of(points[:2]) for points in self.points]


class FaceDetector:
    """Detector of faces up to about 45 degrees from upright, and of many up to 90. Thread-safe, one core a call."""

    files = ("face_detection_full_range_sparse.tflite",)

    def __init__(self, weights_dir: Path, threads: int = 1, min_score: float = 0.5, smallest_px: int = 24) -> None:
        """Open the model; `threads`: calls that may run side by side.

        `smallest_px`: width of the smallest face that must not be missed; the smaller it is, the more windows a large
        image is searched in.
        """
        self._model = InterpreterPool(weights_dir / self.files[0], threads)
        self._min_logit = float(np.log(min_score / (1 - min_score)))
        self._smallest_px = smallest_px
        centres = (np.arange(_CELLS, dtype=np.float32) + 0.5) * (_INPUT_PX / _CELLS)
        self._anchors = np.stack(np.meshgrid(centres, centres), axis=-1).reshape(-1, 2)

    def detect(self, image: TurnedImage, quarter_turns: int = 0, max_grid: int = 8) -> Candidates:
        """Detect candidates, in pixels of the image, which is searched after so many counter-clockwise quarter turns.

        Searches the whole image, the image with a border, and windows of it: as many along the longer side as
        `smallest_px` asks for, but not more than `max_grid`.
        """
        found = self._search(image, quarter_turns, max_grid)
        if not quarter_turns or not len(found):
            return found
        back = quarter_turn_back(*image.shape(0), quarter_turns)
        corners = move_points(found.boxes.reshape(-1, 2, 2), back)
        boxes = np.concatenate([corners.min(axis=1), corners.max(axis=1)], axis=1)
        return Candidates(boxes, found.scores, move_points(found.points, back))

    def _search(self, image: TurnedImage, turns: int, max_grid: int) -> Candidates:
        height, width = image.shape(turns)
        longer = max(height, width)
        border = round(longer * _PADDING)
        parts = [
            self._detect_in(image, turns, SearchWindow(0, 0, longer)),
            self._detect_in(image, turns, SearchWindow(-border, -border, longer + 2 * border)),
        ]
        grid = min(max_grid, self._grid(longer))
        for window in square_windows(height, width, grid, _WINDOW_OVERLAP) if grid > 1 else ():
            part = self._detect_in(image, turns, window)
            parts.append(part.pick(~is_cut(part.boxes, window, height, width)))
        every = Candidates(
            np.concatenate([part.boxes for part in parts]),
            np.concatenate([part.scores for part in parts]),
            np.concatenate([part.points for part in parts]),
        )
        return every.pick(suppress_overlaps(every.boxes, every.scores, _SAME_FACE_IOU, _SAME_FACE_CONTAINED))

    def _grid(self, longer: int) -> int:
        """Count the windows along the longer side in which a face of `smallest_px` is large enough for the model."""
        largest_window = self._smallest_px * _INPUT_PX / _SMALLEST_IN_INPUT_PX
        return ceil(longer * (1 + _WINDOW_OVERLAP) / largest_window) if longer > largest_window else 1

    def _detect_in(self, image: TurnedImage, turns: int, window: SearchWindow) -> Candidates:
        """Run the model on one square window; what lies outside the image is black."""
        full_height, full_width = image.shape(turns)
        x, y = max(window.x, 0), max(window.y, 0)
        right, bottom = min(window.x + window.side, full_width), min(window.y + window.side, full_height)
        scale = _INPUT_PX / window.side
        wide, high = max(1, round((right - x) * scale)), max(1, round((bottom - y) * scale))
        left, top = (_INPUT_PX - wide) // 2, (_INPUT_PX - high) // 2
        small = image.part((x, y, right, bottom), turns, (wide, high))
        pixels = np.full((1, _INPUT_PX, _INPUT_PX, 3), -1, np.float32)
        pixels[0, top : top + high, left : left + wide] = small * np.float32(1 / 127.5) - 1
        offsets, logits = self._model.run([pixels])
        likely = logits[0, :, 0] >= self._min_logit
        scores = 1 / (1 + np.exp(-np.clip(logits[0, likely, 0], -30, 30)))
        numbers, corner = offsets[0, likely], np.array([left, top], np.float32)
        anchors = self._anchors[likely] - corner
        centres, halves = numbers[:, :2] + anchors, numbers[:, 2:4] / 2
        shift = np.array([x, y], np.float32)
        points = (numbers[:, 4:].reshape(-1, 6, 2) + anchors[:, None]) / scale + shift
        corners = np.stack([centres - halves, centres + halves], axis=1) / scale + shift
        return Candidates(corners.reshape(-1, 4).astype(np.float32), scores, points.astype(np.float32))


class FaceVerifier:
    """MTCNN's ONet: verifies that a square shows a face and finds its parts. Thread-safe, one core a call."""

    files = ("onet.onnx",)

    def __init__(self, weights_dir: Path) -> None:
        self._session = open_session(weights_dir / self.files[0])

    def verify(
        self, image: Image, centres: Sequence[Floats], sides: Sequence[float], rolls: Sequence[float]
    ) -> tuple[Floats, Floats]:
        """Verify squares of `image`; -> probability of a face `float32[N]`, and eyes, nose and mouth corners in pixels
        of the image, `float32[N, 5, 2]`.

        The network knows upright faces only, so that each square is turned back by its `roll` (radians, clockwise).
        """
        if not len(centres):
            return np.zeros(0, np.float32), np.zeros((0, 5, 2), np.float32)
        places = [
            fit_square(centre, max(side, 1.0), roll, _VERIFIER_PX)
            for centre, side, roll in zip(centres, sides, rolls, strict=True)
        ]
        crops = np.stack([warp_square(image, place, _VERIFIER_PX) for place in places])
        pixels = (crops.astype(np.float32) - 127.5) / 128
        chances, _, shares = self._session.run(None, {"x": np.ascontiguousarray(pixels.transpose(0, 3, 1, 2))})
        # Five x, then five y, as shares of the square.
        points = np.stack([shares[:, :5], shares[:, 5:]], axis=-1) * _VERIFIER_PX
        landmarks = [move_points(five, invert(place)) for five, place in zip(points, places, strict=True)]
        return np.asarray(chances[:, 1], np.float32), np.stack(landmarks)
