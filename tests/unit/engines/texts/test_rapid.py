"""The text engine over the networks in rapidocr's wheel, on pages that are drawn here."""

from __future__ import annotations

import socket
import sys
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from deployments.algorithms.texts.rows import plain_text
from deployments.contracts.arrays import Image
from deployments.contracts.texts import ANY_TEXT, Text, TextOptions
from deployments.engines.texts.rapid import RapidTextEngine
from deployments.errors import NotDeployed, WeightsMissing
from tests.support.pages import RECEIPT_TEXT, a_page, a_receipt

pytest.importorskip("rapidocr")


@pytest.fixture(scope="module")
def engine() -> RapidTextEngine:
    return RapidTextEngine(1280)


def written(texts: list[Text]) -> str:
    return plain_text([text.corners for text in texts], [text.text for text in texts])


@pytest.mark.parametrize("degrees", [0, 90, 180, 270, 6, -12])
def test_a_receipt_is_read_row_by_row_whichever_way_it_is_turned(engine: RapidTextEngine, degrees: float) -> None:
    assert written(engine.read(a_receipt(degrees=degrees), ANY_TEXT)) == RECEIPT_TEXT


def test_corners_are_those_of_the_writing_in_pixels_of_the_picture(engine: RapidTextEngine) -> None:
    [text] = engine.read(a_page([["Departures"]], size=(400, 120)), ANY_TEXT)
    (left, top), (right, _), (_, bottom), (_, _) = text.corners
    assert 20 <= left <= 34
    assert 130 <= right <= 160
    assert 18 <= top <= 34
    assert 44 <= bottom <= 62
    assert 0.5 <= text.score <= 1
    assert 0.9 <= text.text_score <= 1


def test_text_on_its_head_begins_at_its_own_top_left(engine: RapidTextEngine) -> None:
    [text] = engine.read(a_page([["Departures"]], size=(400, 120), degrees=180), ANY_TEXT)
    (begin_x, begin_y), (end_x, _), (_, below_y), _ = text.corners
    assert text.text == "Departures"
    assert begin_x > end_x
    assert begin_y > below_y


def test_each_score_is_that_of_its_own_box(engine: RapidTextEngine) -> None:
    """rapidocr's own detector sorts the boxes and not their scores."""
    rows = [["A long line of print"], ["x"], ["Another long line"]]
    page = a_page(rows, px=26, size=(480, 220))
    whole = {text.text: text.score for text in engine.read(page, ANY_TEXT)}
    least = sorted(whole.values())[1]
    strict = engine.read(page, TextOptions(min_score=least))
    assert {text.text for text in strict} == {text for text, score in whole.items() if score >= least}


def test_what_is_read_with_less_than_the_minimum_is_left_out(engine: RapidTextEngine) -> None:
    page = a_page([["Departures"]], size=(400, 120))
    assert engine.read(page, TextOptions(min_text_score=1.0)) == []


def test_small_print_is_found_at_a_high_resolution_and_missed_at_a_low_one(engine: RapidTextEngine) -> None:
    lines = [f"Small print, number {number}" for number in range(6)]
    page = a_page([[line] for line in lines], px=10, size=(640, 240))
    assert len(engine.read(page, TextOptions(max_px=640))) == len(lines)
    assert "Small print" not in written(engine.read(page, TextOptions(max_px=96)))


def test_lines_that_are_much_longer_than_high_stand_the_right_way_up(engine: RapidTextEngine) -> None:
    """PP-OCR squeezes a whole line into 192 pixels to tell head from foot: seven characters are left of this."""
    line = "The quick brown fox jumps over the lazy dog while 42 wizards brew 1380 jars of jam for the fair"
    for degrees in (0, 180):
        texts = engine.read(a_page([[line], [line]], px=14, size=(760, 130), degrees=degrees), ANY_TEXT)
        assert [text.text for text in texts] == [line, line]


def test_numbers_that_read_well_on_their_heads_keep_the_way_of_their_page(engine: RapidTextEngine) -> None:
    rows = [["Croissant with ham", "96"], ["Sandwich, large", "66"], ["Total of all items", "9"]]
    page = a_page(rows, columns=(30, 380))
    assert written(engine.read(page, ANY_TEXT)).split("\n")[:2] == ["Croissant with ham\t96", "Sandwich, large\t66"]


def test_a_glance_decides_whether_a_picture_is_read_at_all(engine: RapidTextEngine) -> None:
    page = a_page([["Small print, of ten pixels"]] * 4, px=10, size=(640, 160))
    assert engine.read(page, TextOptions(glance_px=640)) == engine.read(page, ANY_TEXT) != []
    assert engine.read(page, TextOptions(glance_px=32)) == []


@pytest.mark.parametrize(
    "image",
    [
        np.zeros((1, 1, 3), np.uint8),
        np.full((1, 4000, 3), 255, np.uint8),
        np.full((3000, 2, 3), 128, np.uint8),
        np.zeros((200, 300, 3), np.uint8),
    ],
    ids=["a pixel", "a long strip", "a high strip", "black"],
)
def test_a_picture_without_text_has_none(engine: RapidTextEngine, image: Image) -> None:
    assert engine.read(image, ANY_TEXT) == []


def test_text_that_fills_a_strip_is_found_though_it_touches_the_edges(engine: RapidTextEngine) -> None:
    page = a_page([["Total: 1,299.00"]], size=(240, 100))
    strip = page[25:51, 28:190]
    assert [text.text for text in engine.read(strip, ANY_TEXT)] == ["Total: 1,299.00"]


def test_pictures_are_read_though_nothing_can_be_fetched(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("the engine opened a connection")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    assert written(RapidTextEngine(1280).read(a_receipt(), ANY_TEXT)) == RECEIPT_TEXT


def test_without_the_package_the_engine_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "rapidocr", None)
    with pytest.raises(NotDeployed, match=r"darkroom\[texts\]"):
        RapidTextEngine(1280)


def test_a_model_that_is_not_there_is_named_with_its_setting_and_without_its_folder(tmp_path: Path) -> None:
    with pytest.raises(WeightsMissing) as raised:
        RapidTextEngine(1280, tmp_path / "korean.onnx")
    assert "DARKROOM_TEXTS__RECOGNITION_MODEL" in raised.value.message
    assert str(tmp_path) not in raised.value.message


def test_a_model_that_does_not_say_its_characters_is_refused_instead_of_a_list_being_fetched(tmp_path: Path) -> None:
    path = tmp_path / "nameless.onnx"
    line = helper.make_tensor_value_info("x", TensorProto.FLOAT, [1])
    graph = helper.make_graph(
        [helper.make_node("Identity", ["x"], ["y"])],
        "nameless",
        [line],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [1])],
    )
    onnx.save(helper.make_model(graph, ir_version=8, opset_imports=[helper.make_opsetid("", 13)]), path)
    with pytest.raises(WeightsMissing, match=r"nameless\.onnx does not say which characters"):
        RapidTextEngine(1280, path)


@pytest.mark.parametrize("options", [{"min_score": -0.1}, {"min_text_score": 1.1}, {"max_px": 31}, {"glance_px": 8}])
def test_options_out_of_range_are_refused(options: dict[str, float]) -> None:
    with pytest.raises(ValueError, match=r"from 0 to 1|at least 32"):
        TextOptions(**options)  # type: ignore[arg-type]


def test_after_a_glance_small_print_is_looked_for_more_closely_and_large_print_is_not(engine: RapidTextEngine) -> None:
    small = a_page([[f"Small print, line {number}"] for number in range(5)], px=14, size=(1200, 900))
    large = a_page([["LARGE PRINT"], ["OF A SIGN"]], px=150, size=(1200, 800))
    for page, is_closer in ((small, True), (large, False)):
        bgr = np.ascontiguousarray(page[:, :, ::-1])
        glanced, _ = engine._detect(bgr, 0.5, 480)
        found, _ = engine._look(bgr, TextOptions(glance_px=480))
        assert (not np.array_equal(found, glanced)) is is_closer
    assert len(engine.read(small, TextOptions(glance_px=480))) == 5


def test_networks_whose_inputs_vary_in_size_keep_no_memory_for_the_next(engine: RapidTextEngine) -> None:
    """Pages and lines are of any size: what each needed would be kept beside all others."""
    for session in (engine._detection, engine._recognition):
        assert session.get_session_options().enable_cpu_mem_arena is False
        assert session.get_session_options().enable_mem_pattern is False


def test_a_model_of_ones_own_reads_with_the_characters_that_it_names(tmp_path: Path) -> None:
    """The wheel's, with capitals in place of small letters in its list."""
    import rapidocr

    model = onnx.load(Path(rapidocr.__file__).parent / "models" / "PP-OCRv6_rec_small.onnx")
    [characters] = [entry for entry in model.metadata_props if entry.key == "character"]
    characters.value = characters.value.upper()
    onnx.save(model, tmp_path / "capitals.onnx")
    texts = RapidTextEngine(1280, tmp_path / "capitals.onnx").read(a_receipt(), ANY_TEXT)
    assert written(texts) == RECEIPT_TEXT.upper()
