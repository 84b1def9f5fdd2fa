"""Text engine over rapidocr: PP-OCR's networks find lines of text, tell which stand on their heads, and read them.

rapidocr (Apache-2.0) comes with the extra `darkroom[texts]` and is imported when an engine is made. Of it are used what
turns the networks' outputs into boxes and characters, and the three networks in its wheel: PP-OCR's, Apache-2.0 as
well. rapidocr's own front classes are not used: they fetch what they do not find, give the boxes' scores in another
order than the boxes (3.10.0), and keep options of one call for all.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from deployments.algorithms.texts.directions import agree_on_heads, lay_along
from deployments.algorithms.texts.rows import reading_order
from deployments.contracts.arrays import Image, Vectors
from deployments.contracts.texts import Text, TextOptions
from deployments.engines.runtime import open_session
from deployments.errors import NotDeployed, WeightsMissing

MODEL_SETTING = "DARKROOM_TEXTS__RECOGNITION_MODEL"
_CHARACTERS = "character"
"""Entry of a recognition model's metadata: its characters, one a line."""

_MAP_THRESHOLD = 0.3
"""Probability from which on a pixel of the detection's map is text; PP-OCR's own, as are those below."""
_MOST_TEXTS = 1000
_UNCLIP = 1.6
"""Growth of a box over the shrunken middle of the text that the map shows, by area through perimeter."""
_FOUND_PX = 20
"""Height of a line's box from which on detection finds it, and its neighbours, for sure."""
_STEP_PX = 32
"""The detection network takes sides of whole multiples of it."""
_LINE_PX = 48
"""Height of a line for the other two networks."""
_NARROWEST_PX = 64
_WIDEST_PX = 4800
"""Width of a line at this height, at most: a hundred times as wide as high; a longer one is squeezed."""
_HEAD_PX = 192
"""Width of what the network that tells head from foot sees."""
_HEAD_PARTS = 3
"""Parts of a line that it looks at: at both ends and in the middle."""
_CLEARLY = 1.2
"""How much more must be read, in characters by their scores, for a line to stand the other way than its page: 96 reads
well either way."""
_SMALLEST_SIDE_PX = 64
"""Smaller pictures get a border: without one, detection misses text that fills the picture."""


@dataclass(frozen=True, slots=True)
class _Line:
    """One box and its pixels, laid so that the writing runs along the width, either way up."""

    corners: Vectors
    """`float32[4, 2]`, the first edge along the writing if the text does not stand on its head."""
    score: float
    pixels: Image
    """BGR, as the networks were trained."""

    def turned(self) -> _Line:
        """The same line the other way up."""
        pixels = np.ascontiguousarray(self.pixels[::-1, ::-1])
        return _Line(np.roll(self.corners, -2, axis=0), self.score, pixels)


class RapidTextEngine:
    """Text engine `rapidocr`. `read` may be called from several threads at once."""

    def __init__(self, max_px: int, recognition_model: Path | None = None) -> None:
        """Open the networks of the wheel, or `recognition_model` in place of the one that reads; nothing is fetched.

        Raises `NotDeployed` without the extra, `WeightsMissing` where the model is not there or says no characters.
        """
        self._max_px = max_px
        models, self._boxes_of_map, decoder = _import_parts()
        self._detection = open_session(_in_wheel(models / "PP-OCRv6_det_small.onnx"), sizes_vary=True)
        self._heads = open_session(_in_wheel(models / "ch_ppocr_mobile_v2.0_cls_mobile.onnx"))
        path = recognition_model or _in_wheel(models / "PP-OCRv6_rec_small.onnx")
        if not path.is_file():
            raise WeightsMissing(
                f"The recognition model that {MODEL_SETTING} names is not there. It is not fetched: put it there, or "
                "unset the setting, for the one that comes with rapidocr.",
                extra={"file": path.name, "setting": MODEL_SETTING},
            )
        self._recognition = open_session(path, sizes_vary=True)
        characters = self._recognition.get_modelmeta().custom_metadata_map.get(_CHARACTERS)
        if not characters:  # rapidocr's would fetch a list
            raise WeightsMissing(
                f"The recognition model {path.name} does not say which characters it knows: it needs PP-OCR's, "
                f"converted to ONNX with the entry `{_CHARACTERS}` in its metadata, as rapidocr publishes them.",
                extra={"file": path.name, "setting": MODEL_SETTING},
            )
        self._decode = decoder(character=characters.splitlines())

    def read(self, image: Image, options: TextOptions) -> list[Text]:
        """Read the texts of one picture, in reading order."""
        bgr, border = _with_border(np.ascontiguousarray(image[:, :, ::-1]))
        boxes, scores = self._look(bgr, options)
        lines = [_cut_line(bgr, box, score) for box, score in zip(boxes, scores, strict=True)]
        limits = np.array([image.shape[1], image.shape[0]], np.float32)
        found = self._read_lines(lines, options.min_text_score)
        texts = [_as_text(line, np.clip(line.corners - border, 0, limits), says, score) for line, says, score in found]
        return [texts[place] for row in reading_order([text.corners for text in texts]) for place in row]

    def _look(self, bgr: Image, options: TextOptions) -> tuple[Vectors, list[float]]:
        """Find lines as closely as the options say; -> as `_detect`."""
        most_px, glance_px = options.max_px or self._max_px, options.glance_px
        if glance_px is None:
            return self._detect(bgr, options.min_score, most_px)
        boxes, scores = self._detect(bgr, options.min_score, glance_px)
        if not len(boxes):
            return boxes, scores
        shrunk = min(1.0, glance_px / max(bgr.shape[:2]))
        needed_px = glance_px * _FOUND_PX / (shrunk * _smallest_height(boxes))
        if shrunk == 1 or needed_px <= glance_px:
            return boxes, scores
        return self._detect(bgr, options.min_score, min(round(needed_px), most_px))

    def _detect(self, bgr: Image, min_score: float, max_px: int) -> tuple[Vectors, list[float]]:
        """Find lines at a resolution. -> their corners `float32[N, 4, 2]`, laid along the writing, and their scores"""
        height, width = bgr.shape[:2]
        scale = min(1.0, max_px / max(height, width))
        size = [max(_STEP_PX, round(side * scale / _STEP_PX) * _STEP_PX) for side in (width, height)]
        small = cv2.resize(bgr, size, interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR)
        (text_map,) = self._detection.run(None, {self._detection.get_inputs()[0].name: _as_input(small)})
        find_boxes = self._boxes_of_map(_MAP_THRESHOLD, min_score, _MOST_TEXTS, _UNCLIP, "fast", use_dilation=True)
        boxes, scores = find_boxes(text_map, (height, width))
        corners = np.asarray(boxes, np.float32).reshape(-1, 4, 2)
        laid = [np.roll(box, -roll, axis=0) for box, roll in zip(corners, lay_along(corners), strict=True)]
        return np.asarray(laid, np.float32).reshape(-1, 4, 2), [float(score) for score in scores]

    def _read_lines(self, lines: Sequence[_Line], min_score: float) -> list[tuple[_Line, str, float]]:
        """Read each line the way up that the lines agree on, and the other way too where its own looks say so.

        -> those that say something, turned the way in which they do, with what they say and its score
        """
        if not lines:
            return []
        odds = np.array([self._head_odds(line.pixels) for line in lines], np.float32)
        turned, doubtful = agree_on_heads(np.stack([line.corners for line in lines]), odds)
        found = []
        for line, is_turned, is_doubtful in zip(lines, turned, doubtful, strict=True):
            upright = line.turned() if is_turned else line
            text, score = self._read_one(upright.pixels)
            if is_doubtful:
                other = upright.turned()
                other_text, other_score = self._read_one(other.pixels)
                if other_score * len(other_text) > _CLEARLY * score * len(text):
                    upright, text, score = other, other_text, other_score
            if text and score >= min_score:
                found.append((upright, text, score))
        return found

    def _head_odds(self, pixels: Image) -> float:
        """How much the line looks the right way up, 1, or on its head, -1: parts of a long one, for it cannot be told
        from what is squeezed."""
        width = _width_of(pixels)
        line = _as_input(cv2.resize(pixels, (width, _LINE_PX)))
        starts = sorted({round(start) for start in np.linspace(0, max(0, width - _HEAD_PX), _HEAD_PARTS)})
        parts = np.zeros((len(starts), 3, _LINE_PX, _HEAD_PX), np.float32)
        for part, start in zip(parts, starts, strict=True):
            part[:, :, : min(width, _HEAD_PX)] = line[0, :, :, start : start + _HEAD_PX]
        (shares,) = self._heads.run(None, {self._heads.get_inputs()[0].name: parts})
        return float((shares[:, 0] - shares[:, 1]).mean())

    def _read_one(self, pixels: Image) -> tuple[str, float]:
        """Read a line alone: on one core, several at once take longer by what the shorter ones are padded with."""
        width = _width_of(pixels)
        whole = np.zeros((1, 3, _LINE_PX, max(width, _NARROWEST_PX)), np.float32)
        whole[:, :, :, :width] = _as_input(cv2.resize(pixels, (width, _LINE_PX)))
        (shares,) = self._recognition.run(None, {self._recognition.get_inputs()[0].name: whole})
        ((text, score),), _ = self._decode(shares)
        return " ".join(text.split()), float(score)


def _smallest_height(boxes: Vectors) -> float:
    """Height of lines `float32[N, 4, 2]`, of the small ones: nine in ten are higher."""
    heights = np.linalg.norm(boxes[:, 3] - boxes[:, 0], axis=1)
    return max(1.0, float(np.quantile(heights, 0.1)))


def _width_of(pixels: Image) -> int:
    """Width of a line at the height that the networks take."""
    return min(_WIDEST_PX, math.ceil(_LINE_PX * int(pixels.shape[1]) / int(pixels.shape[0])))


def _as_input(bgr: Any) -> NDArray[np.float32]:
    """Make a network's input `float32[1, 3, H, W]` from -1 to 1."""
    return np.ascontiguousarray((bgr.astype(np.float32) / 127.5 - 1).transpose(2, 0, 1)[None])


def _with_border(bgr: Image) -> tuple[Image, Vectors]:
    """Widen a narrow picture by its own edge. -> the picture, its place `(x, y)` in the wider one"""
    border = [max(0, -(-(_SMALLEST_SIDE_PX - side) // 2)) for side in (bgr.shape[1], bgr.shape[0])]
    if any(border):
        x, y = border
        bgr = cv2.copyMakeBorder(bgr, y, y, x, x, cv2.BORDER_REPLICATE)
    return bgr, np.array(border, np.float32)


def _cut_line(bgr: Image, corners: Vectors, score: float) -> _Line:
    """Cut a box out, levelled so that its first edge is on top."""
    edges = np.linalg.norm(corners - np.roll(corners, -1, axis=0), axis=1)  # top, right, bottom, left
    width, height = max(1, round(float(max(edges[0], edges[2])))), max(1, round(float(max(edges[1], edges[3]))))
    frame = np.array([(0, 0), (width, 0), (width, height), (0, height)], np.float32)
    pixels: Any = cv2.warpPerspective(
        bgr,
        cv2.getPerspectiveTransform(corners, frame),
        (width, height),
        borderMode=cv2.BORDER_REPLICATE,
        flags=cv2.INTER_CUBIC,
    )
    return _Line(corners, score, pixels)


def _as_text(line: _Line, corners: Vectors, text: str, score: float) -> Text:
    one, two, three, four = ((float(x), float(y)) for x, y in corners)
    return Text((one, two, three, four), line.score, text, score)


def _import_parts() -> tuple[Path, Any, Any]:
    """-> folder of the networks, rapidocr's reading of the detection's map, and of the recognition's output"""
    try:
        import rapidocr
        from rapidocr.ch_ppocr_det.utils import DBPostProcess
        from rapidocr.ch_ppocr_rec.utils import CTCLabelDecode
    except ImportError as error:
        raise NotDeployed("Reading text needs the extra: pip install 'darkroom[texts]'") from error
    return Path(rapidocr.__file__).parent / "models", DBPostProcess, CTCLabelDecode


def _in_wheel(path: Path) -> Path:
    if not path.is_file():
        raise WeightsMissing(
            f"{path.name} is missing from the package rapidocr, which brings it: install the version that is locked.",
            extra={"file": path.name},
        )
    return path
