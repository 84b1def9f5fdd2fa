"""Names in tables whose letters the usual font has not: another font's, or spelled out."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import ImageFont

from serve_app.services.sdapi.plot_font import FONTS, choose_font
from serve_app.services.sdapi.plot_sheet import lay_out

NAMES = ["Steps: 4", "고양이", "Кот"]


def test_names_in_plain_letters_keep_the_usual_font() -> None:
    font, written = choose_font(NAMES[:1], 12)
    assert written == NAMES[:1]
    assert font.getname() == ImageFont.load_default(12).getname()  # type: ignore[union-attr]


def test_names_are_spelled_by_their_sound_where_no_font_has_their_letters() -> None:
    _, written = choose_font([*NAMES, "猫 é"], 12, fonts=())
    assert written[0] == "Steps: 4"
    assert written[1] == "goyangi"
    assert written[3].startswith("[U+732B] ")


@pytest.mark.skipif(not any(path.is_file() for path in FONTS), reason="no font with Hangul on this machine")
def test_names_in_hangul_are_written_in_hangul_where_a_font_has_it() -> None:
    font, written = choose_font(NAMES[:2], 16)
    assert written == NAMES[:2]
    assert bytes(font.getmask("고")) != bytes(font.getmask("양"))


def test_a_font_that_is_no_font_with_the_letters_is_passed_over(tmp_path: Path) -> None:
    _, written = choose_font(["고"], 12, fonts=(tmp_path / "nothing.ttf",))
    assert written == ["go"]


def test_a_table_shows_names_in_hangul_as_ink_of_their_own() -> None:
    image = np.zeros((200, 200, 3), np.uint8)
    tables = [lay_out([image], 1, ([name], [])) for name in ("고양이", "강아지")]
    assert all((table[:-200] < 128).any() for table in tables)
    assert (tables[0] != tables[1]).any()
