"""Pages of text, drawn on the spot: scripts, sizes, angles, what cameras and copiers do to them, and what they say.

Fonts are those of this machine: DejaVu for Latin, Greek and Cyrillic (`fonts-dejavu-core`), Noto CJK for Han, kana and
Hangul (`fonts-noto-cjk`), both Debian's. Without DejaVu, Latin is drawn with the font that Pillow brings; what has no
font is left out.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import cv2
import numpy as np
from PIL import Image as PillowImage
from PIL import ImageDraw, ImageFont

from deployments.contracts.arrays import Image

FONT_FOLDERS = [Path("/usr/share/fonts")]
_DEJAVU, _CJK = "DejaVuSans.ttf", "NotoSansCJK-Regular.ttc"
_SIZE = (900, 640)
_MARGIN = 40
WORDS = {
    "Latin": "Invoice total of 1,299.50 due within 30 days; Zürich café à São Paulo Straße number quick brown fox "
    "jumps over lazy dog while wizards brew jars niño être Łódź Køln (incl. 7% VAT) order #4821 departs 10:45 Gate B22",
    "Greek": "Η γρήγορη καφέ αλεπού πηδάει πάνω από το τεμπέλικο σκυλί και ο ήλιος λάμπει στη θάλασσα κάθε πρωί 2024",
    "Cyrillic": "Съешь же ещё этих мягких французских булок да выпей чаю быстрая лиса прыгает через ленивую 2024",
    "Han": "营业时间 上午九点 下午六点 请勿吸烟 出口 发票 合计 金额 日期 地址 北京市 朝阳区 电话 号码 欢迎光临 "
    "谢谢惠顾 会议记录 第一章 经济发展 科学技术",
    "Japanese": "営業時間 午前九時から ご利用ください ありがとうございます 東京駅 タワー レシート 合計金額 "
    "お問い合わせ カタログ 新しい朝が来た ひらがなとカタカナ 禁煙 出口",
    "Korean": "영업시간 오전 아홉시부터 이용해 주세요 감사합니다 서울역 영수증 합계 금액 문의 전화번호 출구 금연",
}
_FONT_OF = {
    "Latin": _DEJAVU,
    "Greek": _DEJAVU,
    "Cyrillic": _DEJAVU,
    "Han": _CJK,
    "Japanese": _CJK,
    "Korean": _CJK,
}
_UNSPACED = ("script: Han", "script: Japanese")
_LATIN_FONTS = {"serif": "DejaVuSerif.ttf", "monospaced": "DejaVuSansMono.ttf", "bold": "DejaVuSans-Bold.ttf"}
Damage = Callable[[Image, np.random.Generator], Image]


@dataclass(frozen=True, slots=True)
class WrittenPage:
    """A page, what it says, and what is special about it."""

    kind: str
    image: Image
    text: str
    """Its rows, cells separated by a tab."""


def pages(lines: int, seeds: Sequence[int]) -> Iterator[WrittenPage]:
    """Draw pages of every kind, of so many lines, one for each seed."""
    for seed in seeds:
        for script, name in _FONT_OF.items():
            if (font := _font(name, 22)) is not None or script == "Latin":
                yield _page(f"script: {script}", WORDS[script], font or ImageFont.load_default(22), lines, seed)
        for style, name in _LATIN_FONTS.items():
            if (font := _font(name, 22)) is not None:
                yield _page(f"font: {style}", WORDS["Latin"], font, lines, seed)
        for px in (7, 10, 14, 18, 32, 48):
            yield _page(f"letters of {px} px", WORDS["Latin"], latin_font(px), lines, seed)
        plain = _page("", WORDS["Latin"], latin_font(22), lines, seed)
        for degrees in (3, 10, 30, 90, 180, 270):
            yield WrittenPage(f"turned by {degrees}°", _turned(plain.image, degrees), plain.text)
        for name, damage in DAMAGES.items():
            yield WrittenPage(name, damage(plain.image, np.random.default_rng(seed)), plain.text)
        table = _table(lines, seed)
        yield table
        yield WrittenPage("a table, turned by 93°", _turned(table.image, 93), table.text)
        seen = _photographed(table.image, np.random.default_rng(seed))
        yield WrittenPage("a table, from the side", seen, table.text)
        yield _columns(lines, seed)


def _turned(image: Image, degrees: float) -> Image:
    picture = PillowImage.fromarray(image)
    return np.asarray(picture.rotate(degrees, PillowImage.Resampling.BICUBIC, expand=True, fillcolor="white"))


def _noisy(sigma: float) -> Damage:
    def damage(image: Image, rng: np.random.Generator) -> Image:
        return np.clip(image + rng.normal(0, sigma, image.shape), 0, 255).astype(np.uint8)

    return damage


def _recompressed(image: Image, rng: np.random.Generator) -> Image:
    file = io.BytesIO()
    PillowImage.fromarray(image).save(file, "JPEG", quality=20)
    return np.asarray(PillowImage.open(file))


def _blurred(sigma_px: float) -> Damage:
    def damage(image: Image, rng: np.random.Generator) -> Image:
        return np.asarray(cv2.GaussianBlur(image, (0, 0), sigma_px), np.uint8)

    return damage


def _faint(image: Image, rng: np.random.Generator) -> Image:
    return (200 + image.astype(np.float32) * 40 / 255).astype(np.uint8)


def _inverted(image: Image, rng: np.random.Generator) -> Image:
    return np.subtract(255, image, dtype=np.uint8)


def _photographed(image: Image, rng: np.random.Generator) -> Image:
    """Seen from the side, in uneven light, on something."""
    height, width = image.shape[:2]
    corners = np.array([(0, 0), (width, 0), (width, height), (0, height)], np.float32)
    seen = corners + np.array([(60, 30), (-30, 70), (-70, -40), (30, -20)], np.float32)
    matrix = cv2.getPerspectiveTransform(corners, seen)
    coarse = rng.integers(60, 140, (height // 40, width // 40, 3), np.uint8)
    ground = cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC)
    is_paper = cv2.warpPerspective(np.full((height, width), 255, np.uint8), matrix, (width, height))
    paper = cv2.warpPerspective(image, matrix, (width, height), flags=cv2.INTER_CUBIC)
    light = np.linspace(1.0, 0.5, width, dtype=np.float32)[None, :, None]
    return np.asarray(np.where(is_paper[..., None] > 127, paper, ground) * light, np.uint8)


DAMAGES: dict[str, Damage] = {
    "noise of σ 25": _noisy(25),
    "noise of σ 80": _noisy(80),
    "JPEG quality 20": _recompressed,
    "blur of σ 1.6 px": _blurred(1.6),
    "blur of σ 4 px": _blurred(4.0),
    "grey on light grey": _faint,
    "white on black": _inverted,
    "photographed from the side": _photographed,
}


@cache
def _font(name: str, px: int) -> ImageFont.FreeTypeFont | None:
    found = next((path for folder in FONT_FOLDERS for path in sorted(folder.rglob(name))), None)
    return None if found is None else ImageFont.truetype(str(found), px)


def font_of(name: str, px: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    """Open a font by its file's name, or Pillow's own where this machine lacks it."""
    return _font(name, px) or ImageFont.load_default(px)


def latin_font(px: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    return font_of(_DEJAVU, px)


AnyFont = ImageFont.FreeTypeFont | ImageFont.ImageFont


def _line(words: Sequence[str], font: AnyFont, width: int, rng: np.random.Generator, space: str = " ") -> str:
    line = ""
    while True:
        longer = f"{line}{space if line else ''}{rng.choice(words)}"
        if line and font.getlength(longer) > width:
            return line
        line = longer


def _page(kind: str, words: str, font: AnyFont, lines: int, seed: int) -> WrittenPage:
    rng = np.random.default_rng(seed)
    pitch = round(_px(font) * 1.7)
    page, draw = _blank((_SIZE[0], max(2 * _MARGIN + lines * pitch, 300)))
    space = "" if kind in _UNSPACED else " "
    written = [_line(words.split(), font, _SIZE[0] - 2 * _MARGIN, rng, space) for _ in range(lines)]
    for number, line in enumerate(written):
        draw.text((_MARGIN, _MARGIN + number * pitch), line, font=font, fill=(20, 20, 20))
    return WrittenPage(kind, np.asarray(page), "\n".join(written))


def _table(lines: int, seed: int) -> WrittenPage:
    rng = np.random.default_rng(seed)
    font, words = latin_font(22), [word for word in WORDS["Latin"].split() if word.isalpha()]
    page, draw = _blank((_SIZE[0], 2 * _MARGIN + lines * 40))
    rows = []
    for number in range(lines):
        cells = [" ".join(rng.choice(words, 2)), str(rng.integers(10, 99)), f"{rng.integers(100, 99999) / 100:.2f}"]
        for x, cell in zip((_MARGIN, 480, 700), cells, strict=True):
            draw.text((x, _MARGIN + 40 * number), cell, font=font, fill=(20, 20, 20))
        rows.append("\t".join(cells))
    return WrittenPage("a table", np.asarray(page), "\n".join(rows))


def _columns(lines: int, seed: int) -> WrittenPage:
    rng = np.random.default_rng(seed)
    font, words = latin_font(18), WORDS["Latin"].split()
    page, draw = _blank((_SIZE[0], 2 * _MARGIN + lines * 30))
    columns = [[_line(words, font, 370, rng) for _ in range(lines)] for _ in range(2)]
    for x, column in zip((_MARGIN, 490), columns, strict=True):
        for number, line in enumerate(column):
            draw.text((x, _MARGIN + 30 * number), line, font=font, fill=(20, 20, 20))
    return WrittenPage("two columns", np.asarray(page), "\n".join(line for column in columns for line in column))


def _px(font: AnyFont) -> float:
    return font.size if isinstance(font, ImageFont.FreeTypeFont) else 22.0


def _blank(size: tuple[int, int]) -> tuple[PillowImage.Image, ImageDraw.ImageDraw]:
    page = PillowImage.new("RGB", size, "white")
    return page, ImageDraw.Draw(page)
