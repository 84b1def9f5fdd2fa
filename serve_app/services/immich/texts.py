"""Immich's OCR: texts of a picture with their places."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from configs.settings import Settings
from deployments.algorithms.images.resizing import shrink
from deployments.contracts.texts import SMALLEST_MAX_PX, Text, TextOptions, TextReader
from deployments.errors import BadRequest, InvalidRequest
from deployments.kit.threads import Threads
from serve_app.services.immich.entries import Entries, Entry
from serve_app.services.immich.tasks import Given, check_name

OWN_NAME = "darkroom-rapidocr"
"""Name of the reader of texts, which Immich knows no name for."""
_MIN_SCORE, _MIN_TEXT_SCORE, _MAX_PX = 0.5, 0.8, 736
"""Immich's own, where the request says none."""
_MOST_PX = 4096


class Texts:
    """Task `ocr`: detection and recognition, in any order -> four lists, side by side."""

    def __init__(self, reader: TextReader, settings: Settings, threads: Threads) -> None:
        self._reader = reader
        self._threads = threads
        self._read_px = settings.texts.read_px
        self._served: Sequence[str] = (OWN_NAME, *settings.immich.texts_as)

    def check(self, entries: Entries, *, has_picture: bool, has_text: bool) -> None:
        """See `tasks.Task`."""
        if not entries.keys() <= {"detection", "recognition"} or "recognition" not in entries:
            raise InvalidRequest("entries, ocr: name `detection` and `recognition`.")
        if "detection" not in entries:
            raise BadRequest("ocr: `recognition` needs the places of `detection`: name it too.")
        for entry in entries.values():
            check_name("OCR model", entry.name, self._served)
        _options(entries)
        if not has_picture:
            raise BadRequest("ocr needs a picture: send `image`.")

    async def answer(self, entries: Entries, given: Given) -> Any:
        """-> texts, their scores, and their corners as shares of the picture's width and height, eight numbers each"""
        picture = await self._threads.run(shrink, given.seen("ocr"), self._read_px)
        [found] = await self._reader.read_texts([picture], _options(entries))
        height, width = picture.shape[:2]
        return {
            "text": [one.text for one in found],
            "box": [share for one in found for share in _shares(one, width, height)],
            "boxScore": [round(float(one.score), 6) for one in found],
            "textScore": [round(float(one.text_score), 6) for one in found],
        }


def _options(entries: Entries) -> TextOptions:
    return TextOptions(
        min_score=entries["detection"].share("minScore", _MIN_SCORE),
        min_text_score=entries["recognition"].share("minScore", _MIN_TEXT_SCORE),
        max_px=_longest_side(entries["detection"]),
    )


def _longest_side(entry: Entry) -> int:
    value = entry.options.get("maxResolution", _MAX_PX)
    if isinstance(value, bool) or not isinstance(value, int) or value < SMALLEST_MAX_PX:
        raise InvalidRequest(f"entries: `maxResolution` must be a whole number from {SMALLEST_MAX_PX} on.")
    return min(value, _MOST_PX)


def _shares(text: Text, width: int, height: int) -> list[float]:
    return [side for x, y in text.corners for side in (float(x) / width, float(y) / height)]
