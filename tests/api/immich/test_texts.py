"""Immich's machine learning: the text in pictures."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

from configs.settings import Settings
from deployments.contracts.arrays import Image
from deployments.contracts.texts import ANY_TEXT, Text, TextOptions
from serve_app.services.container import Services
from tests.api.conftest import assert_problem
from tests.api.immich.asking import RED, asking, predict
from tests.support.builders import a_flat_image, encoded_turned
from tests.support.fakes import FakeCapabilities

OCR_MODEL = "PP-OCRv5_mobile"


OCR = {
    "ocr": {
        "detection": {"modelName": OCR_MODEL, "options": {"minScore": 0.4, "maxResolution": 640}},
        "recognition": {"modelName": OCR_MODEL, "options": {"minScore": 0.6}},
    }
}


class Reads(FakeCapabilities):
    """Reads one text in whatever picture, and remembers what it was asked for."""

    def __init__(self) -> None:
        super().__init__()
        self.readings: list[tuple[tuple[int, ...], TextOptions]] = []

    async def read_texts(self, images: Sequence[Image], options: TextOptions = ANY_TEXT) -> list[list[Text]]:
        self.readings += [(image.shape, options) for image in images]
        corners = ((12.0, 8.0), (48.0, 8.0), (48.0, 16.0), (12.0, 16.0))
        return [[Text(corners, 0.9, "Total 5.00", 0.75)] for _ in images]


class TestText:
    async def test_corners_are_shares_of_the_picture_and_options_are_heeded(
        self, services: Services, settings: Settings
    ) -> None:
        reader = Reads()
        async with asking(services, settings, reader) as client:
            answer = (await predict(client, OCR, RED)).json()
        assert answer["ocr"] == {
            "text": ["Total 5.00"],
            "box": pytest.approx([0.125, 0.125, 0.5, 0.125, 0.5, 0.25, 0.125, 0.25]),
            "boxScore": [0.9],
            "textScore": [0.75],
        }
        assert (answer["imageWidth"], answer["imageHeight"]) == (96, 64)
        assert reader.readings == [((64, 96, 3), TextOptions(0.4, 0.6, max_px=640))]

    async def test_what_the_request_does_not_say_is_as_immich_has_it(
        self, services: Services, settings: Settings
    ) -> None:
        reader = Reads()
        entries = {"ocr": {kind: {"modelName": OCR_MODEL} for kind in ("recognition", "detection")}}
        async with asking(services, settings, reader) as client:
            assert (await predict(client, entries, RED)).status_code == 200
        assert [options for _, options in reader.readings] == [TextOptions(0.5, 0.8, max_px=736)]

    async def test_a_page_is_read_as_it_is_stored(self, services: Services, settings: Settings) -> None:
        reader = Reads()
        async with asking(services, settings, reader) as client:
            await predict(client, OCR, encoded_turned(a_flat_image((96, 64), (9, 9, 9)), 6))
        assert [shape for shape, _ in reader.readings] == [(96, 64, 3)], "on its side, as the file has it"

    @pytest.mark.parametrize("name", ["KOREAN__PP-OCRv5_mobile", "PP-OCRv6_mobile"])
    async def test_another_model_is_refused_by_name(self, services: Services, settings: Settings, name: str) -> None:
        reader = Reads()
        entries = {"ocr": {"detection": {"modelName": OCR_MODEL}, "recognition": {"modelName": name}}}
        async with asking(services, settings, reader) as client:
            problem = assert_problem(await predict(client, entries, RED), 422, "not-supported")
        assert name in problem["detail"]
        assert OCR_MODEL in problem["detail"]
        assert reader.readings == []

    @pytest.mark.parametrize(
        ("entries", "status"),
        [
            ({"recognition": {"modelName": OCR_MODEL}}, 400),
            ({"detection": {"modelName": OCR_MODEL}}, 422),
            ({**OCR["ocr"], "detection": {"modelName": OCR_MODEL, "options": {"maxResolution": 8}}}, 422),
            ({**OCR["ocr"], "detection": {"modelName": OCR_MODEL, "options": {"maxResolution": "736"}}}, 422),
            ({**OCR["ocr"], "recognition": {"modelName": OCR_MODEL, "options": {"minScore": 2}}}, 422),
        ],
    )
    async def test_what_makes_no_sense_is_refused_before_anything_is_read(
        self, services: Services, settings: Settings, entries: Any, status: int
    ) -> None:
        reader = Reads()
        async with asking(services, settings, reader) as client:
            assert (await predict(client, {"ocr": entries}, RED)).status_code == status
            assert (await predict(client, OCR, text="no picture")).status_code == 400
        assert reader.readings == []
