"""Fonts for the names in tables: Pillow's own where it has all letters, else one of the machine's, else spelled out."""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from pathlib import Path

from PIL import ImageFont

Font = ImageFont.FreeTypeFont | ImageFont.ImageFont
FONTS = tuple(
    Path(place)
    for place in (
        "/usr/share/fonts/opentype/noto/NotoSansCJK-Regular.ttc",
        "/usr/share/fonts/google-noto-cjk/NotoSansCJK-Regular.ttc",
        "/usr/share/fonts/noto-cjk/NotoSansCJK-Regular.ttc",
        "/usr/share/fonts/truetype/nanum/NanumGothic.ttf",
        "/System/Library/Fonts/AppleSDGothicNeo.ttc",
    )
)
"""Where systems have fonts with Hangul, kana and Chinese characters."""
_NO_LETTER = "\uffff"
_SCRIPTS = ("HANGUL SYLLABLE ", "HIRAGANA LETTER ", "KATAKANA LETTER ", "CYRILLIC SMALL LETTER ", "GREEK SMALL LETTER ")
"""Scripts whose letters are named by how they sound."""


def choose_font(names: Sequence[str], size: int, fonts: Sequence[Path] = FONTS) -> tuple[Font, list[str]]:
    """Choose a font that has the letters of all names. -> it, and the names as it can write them"""
    own = ImageFont.load_default(size)
    if _has(own, names):
        return own, list(names)
    for path in fonts:
        if path.is_file() and _has(font := ImageFont.truetype(path, size), names):
            return font, list(names)
    return own, ["".join(letter if _has(own, [letter]) else _spell(letter) for letter in name) for name in names]


def _has(font: Font, names: Sequence[str]) -> bool:
    nothing = bytes(font.getmask(_NO_LETTER))
    letters = {letter for name in names for letter in name if not letter.isspace()}
    return all(bytes(font.getmask(letter)) != nothing for letter in letters)


def _spell(letter: str) -> str:
    """Spell a letter by its sound, without its accents, or by its number."""
    name = unicodedata.name(letter.lower(), "")
    for script in _SCRIPTS:
        if name.startswith(script):
            return name.removeprefix(script).lower()
    plain = unicodedata.normalize("NFKD", letter).encode("ascii", "ignore").decode()
    return plain or f"[U+{ord(letter):04X}]"
