"""Documents that are drawn, with other entries and as other pages of the same form, and what scanners and cameras do to
them. Fonts are those of `written_pages`, another for each half."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

import cv2
import numpy as np
from PIL import Image as PillowImage
from PIL import ImageDraw

from bench.quality.copies.drawing import WORDS, Random, blurred, clipped, clouds, jpeg, noisy, resized
from bench.quality.written_pages import AnyFont, font_of
from deployments.contracts.arrays import Image

FONTS = {
    "tuned": ("DejaVuSans.ttf", "DejaVuSansMono.ttf"),
    "reported": ("DejaVuSerif.ttf", "LiberationSans-Regular.ttf"),
}
_NAMES = (
    "Anna Kowalska,Peter Miller,Zoë Brandt,Luis Ortega,Mei Tanaka,Ivan Petrov,Clara Jensen,Omar Haddad,Ruth Adler,"
    "Nils Berg,Paula Costa,Henri Blanc,Greta Holm,Tom Fisher,Ines Faria,Jan de Vries"
).split(",")
_GOODS = (
    "Espresso,Croissant,Orange juice,Mineral water,Apple pie,Cheese roll,Green tea,Tomato soup,Garden salad,Baguette,"
    "Paper A4,Ink black,Stapler,Envelopes,Notebook,Desk lamp,Hex bolts M8,Washers,Copper wire,Plywood 12 mm"
).split(",")


@dataclass(frozen=True, slots=True)
class Field:
    """A piece of text on a page."""

    x: float
    y: float
    text: str
    px: int = 20
    is_entry: bool = True
    """It is what somebody filled in, not the form's own."""
    ends_there: bool = False
    """`x` is its right end."""


@dataclass(frozen=True, slots=True)
class Document:
    """A page, before it is drawn."""

    size: tuple[int, int]
    fields: tuple[Field, ...]
    boxes: tuple[tuple[float, float, float, float], ...] = ()

    def draw(self, name: str) -> Image:
        """Draw in a font."""
        page = PillowImage.new("RGB", self.size, "white")
        pen = ImageDraw.Draw(page)
        for box in self.boxes:
            pen.rectangle(box, outline=(120, 120, 120), width=2)
        for field in self.fields:
            font: AnyFont = font_of(name, field.px)
            pen.text(
                (field.x, field.y), field.text, font=font, fill=(20, 20, 20), anchor="ra" if field.ends_there else "la"
            )
        return np.asarray(page)


Filler = Callable[[Random, Random], Document]
"""Fills a form in: draws of the form, draws of its entries."""


def _amount(draw: Random, most: float = 900) -> str:
    return f"{draw.uniform(1, most):.2f}"


def _date(draw: Random) -> str:
    return f"{draw.integers(1, 29):02}.{draw.integers(1, 13):02}.{draw.integers(2015, 2027)}"


def _one_of(draw: Random, of: list[str]) -> str:
    return of[int(draw.integers(len(of)))]


def _sentence(draw: Random, letters: int) -> str:
    line = ""
    while len(line) < letters:
        line += (" " if line else "") + _one_of(draw, WORDS)
    return line


def _form(form: Random, entries: Random) -> Document:
    labels = [f"{_one_of(form, WORDS).capitalize()} {_one_of(form, WORDS)}:" for _ in range(9)]
    values: tuple[Callable[[Random], str], ...] = (lambda draw: _one_of(draw, _NAMES), _date, _amount)
    fields, boxes = [Field(40, 40, "Application " + _sentence(form, 12), 34, is_entry=False)], []
    for row, label in enumerate(labels):
        top = 130 + 66 * row
        value = values[int(form.integers(3))](entries)
        fields += [Field(40, top, label, is_entry=False), Field(330, top, value)]
        boxes.append((315.0, top - 12.0, 760.0, top + 38.0))
    return Document((820, 780), tuple(fields), tuple(boxes))


def _invoice(form: Random, entries: Random) -> Document:
    firm = _one_of(form, _NAMES).split(" ")[1] + " & Sons"
    fields = [
        Field(40, 40, firm, 34, is_entry=False),
        Field(40, 90, f"{form.integers(1, 99)} {_one_of(form, WORDS).capitalize()} Street", 18, is_entry=False),
        Field(760, 50, "INVOICE", 30, is_entry=False, ends_there=True),
        Field(40, 150, "Bill to", 18, is_entry=False),
        Field(140, 150, _one_of(entries, _NAMES), 18),
        Field(500, 150, "Number", 18, is_entry=False),
        Field(760, 150, f"{entries.integers(1000, 9999)}", 18, ends_there=True),
        Field(500, 180, "Date", 18, is_entry=False),
        Field(760, 180, _date(entries), 18, ends_there=True),
    ]
    heads = (("Item", 40), ("Qty", 430), ("Price", 600), ("Amount", 760))
    fields += [Field(x, 240, text, 18, is_entry=False, ends_there=x > 40) for text, x in heads]
    for row in range(8):
        top = 280 + 38 * row
        cells = (_one_of(entries, _GOODS), str(entries.integers(1, 40)), _amount(entries, 90), _amount(entries))
        fields += [Field(x, top, cell, ends_there=x > 40) for cell, (_, x) in zip(cells, heads, strict=True)]
    fields += [
        Field(500, 620, "Total due", 26, is_entry=False),
        Field(760, 620, _amount(entries, 9000), 26, ends_there=True),
        Field(40, 700, f"Please pay within 30 days. Account {form.integers(10**7, 10**8)}", 16, is_entry=False),
    ]
    return Document((820, 780), tuple(fields))


def _receipt(form: Random, entries: Random) -> Document:
    shop = _one_of(form, _NAMES).split(" ")[0].upper() + " MARKET"
    fields = [
        Field(60, 30, shop, 34, is_entry=False),
        Field(60, 80, f"{_one_of(form, WORDS).capitalize()} Road {form.integers(1, 99)}", 18, is_entry=False),
        Field(40, 120, _date(entries), 18),
        Field(400, 120, f"{entries.integers(8, 21):02}:{entries.integers(0, 60):02}", 18, ends_there=True),
    ]
    for row in range(10):
        top = 170 + 36 * row
        fields += [Field(40, top, _one_of(entries, _GOODS)), Field(400, top, _amount(entries, 40), ends_there=True)]
    fields += [
        Field(40, 560, "TOTAL EUR", 26, is_entry=False),
        Field(400, 560, _amount(entries, 300), 26, ends_there=True),
        Field(40, 610, "Card payment", 18, is_entry=False),
        Field(400, 610, f"****{entries.integers(1000, 9999)}", 18, ends_there=True),
        Field(60, 660, "Thank you for your visit", 18, is_entry=False),
    ]
    return Document((440, 720), tuple(fields))


def _letter(form: Random, entries: Random) -> Document:
    fields = [
        Field(40, 30, "Office of " + _sentence(form, 14), 28, is_entry=False),
        Field(40, 74, f"Telephone {form.integers(10**6, 10**7)}", 16, is_entry=False),
        Field(760, 74, _date(entries), 16, ends_there=True),
    ]
    fields += [Field(40, 130 + 34 * row, _sentence(entries, 62), 18) for row in range(18)]
    fields.append(Field(410, 760, f"Page {entries.integers(1, 9)}", 16))
    return Document((820, 800), tuple(fields))


def _timetable(form: Random, entries: Random) -> Document:
    stops = [_one_of(form, _NAMES).split(" ")[1] + f" {_one_of(form, WORDS)}" for _ in range(13)]
    fields = [Field(40, 30, f"Line {form.integers(1, 99)}  Departures", 30, is_entry=False)]
    for row, stop in enumerate(stops):
        top = 100 + 46 * row
        fields.append(Field(40, top, stop, is_entry=False))
        for column in range(4):
            time = f"{entries.integers(5, 23):02}:{entries.integers(0, 60):02}"
            fields.append(Field(380 + 110 * column, top, time))
    return Document((820, 720), tuple(fields))


DOCUMENTS: Mapping[str, Filler] = {
    "form": _form,
    "invoice": _invoice,
    "receipt": _receipt,
    "letter": _letter,
    "timetable": _timetable,
}


def one_digit(document: Document, draw: Random) -> Document:
    """Change a digit of one entry."""
    places = [
        place for place, field in enumerate(document.fields) if field.is_entry and any(map(str.isdigit, field.text))
    ]
    place = places[int(draw.integers(len(places)))]
    text = document.fields[place].text
    at = _one_at(draw, [index for index, letter in enumerate(text) if letter.isdigit()])
    digit = str((int(text[at]) + int(draw.integers(1, 10))) % 10)
    return _with_text(document, place, text[:at] + digit + text[at + 1 :])


def one_entry(document: Document, draw: Random) -> Document:
    """Fill in one entry anew, as another of its kind."""
    places = [place for place, field in enumerate(document.fields) if field.is_entry]
    place = _one_at(draw, places)
    old = document.fields[place].text
    new = old
    while new == old:
        if any(map(str.isdigit, old)):
            new = "".join(str(draw.integers(10)) if letter.isdigit() else letter for letter in old)
        elif len(old) > 30:
            new = _sentence(draw, 62)
        else:
            new = _one_of(draw, _NAMES if old in _NAMES else _GOODS)
    return _with_text(document, place, new)


def _one_at(draw: Random, places: list[int]) -> int:
    return places[int(draw.integers(len(places)))]


def _with_text(document: Document, place: int, text: str) -> Document:
    fields = list(document.fields)
    fields[place] = replace(fields[place], text=text)
    return replace(document, fields=tuple(fields))


def _recompressed(page: Image, draw: Random) -> Image:
    return jpeg(page, int(draw.integers(20, 50)))


def _shrunk(page: Image, draw: Random) -> Image:
    share = draw.uniform(0.55, 0.8)
    return jpeg(resized(page, page.shape[1] * share, page.shape[0] * share), 85)


def _tiny(page: Image, draw: Random) -> Image:
    """Shrink to letters of some eight pixels, which reading gets wrong."""
    share = draw.uniform(0.38, 0.5)
    return jpeg(resized(page, page.shape[1] * share, page.shape[0] * share), 60)


def _quarter_turn(page: Image, draw: Random) -> Image:
    return np.ascontiguousarray(np.rot90(page, int(draw.integers(1, 4))))


def _rescanned(page: Image, draw: Random) -> Image:
    """Lay on a scanner askew: tilted, a little blurred, on grey paper."""
    height, width = page.shape[:2]
    turn = cv2.getRotationMatrix2D(
        (width / 2, height / 2), float(draw.uniform(-2.5, 2.5)), float(draw.uniform(0.97, 1))
    )
    tilted = cv2.warpAffine(page, turn, (width, height), flags=cv2.INTER_CUBIC, borderValue=(255, 255, 255))
    return jpeg(noisy(clipped(blurred(tilted.astype(np.float32), 0.7) * draw.uniform(0.85, 0.97)), draw, 5), 75)


def _photographed(page: Image, draw: Random) -> Image:
    """Photograph the page on a table, from a little aside and in uneven light."""
    height, width = page.shape[:2]
    corners = np.array([(0, 0), (width, 0), (width, height), (0, height)], np.float32)
    frame = np.array([width * 1.16, height * 1.16], np.float32)
    moved = corners + 0.08 * np.array([width, height], np.float32)
    moved += (draw.uniform(-0.035, 0.035, (4, 2)) * (width, height)).astype(np.float32)
    to = cv2.getPerspectiveTransform(corners, moved.astype(np.float32))
    size = (round(float(frame[0])), round(float(frame[1])))
    table = clipped(draw.uniform(60, 140, 3) * (1 + 0.1 * clouds(draw, *size, 12)[..., None]))
    seen = cv2.warpPerspective(page, to, size, flags=cv2.INTER_CUBIC)
    paper = cv2.warpPerspective(np.full((height, width), 255, np.uint8), to, size)[..., None] > 127
    light = 1 - draw.uniform(0.1, 0.35) * np.linspace(0, 1, size[0])[None, :, None]
    return jpeg(noisy(clipped(blurred(np.where(paper, seen, table) * light, 0.6)), draw, 4), 80)


def _badly_photographed(page: Image, draw: Random) -> Image:
    """The same with a shaking hand in the dark."""
    seen = _photographed(page, draw).astype(np.float32) * 0.6
    return jpeg(noisy(clipped(blurred(seen, 1.5)), draw, 10), 40)


def _cropped(page: Image, draw: Random) -> Image:
    height, width = page.shape[:2]
    top, left = round(height * draw.uniform(0, 0.2)), round(width * draw.uniform(0, 0.08))
    return jpeg(page[top : top + round(height * 0.8), left : left + round(width * 0.92)], 85)


def _black_and_white(page: Image, draw: Random) -> Image:
    """Send by fax: black or white."""
    del draw
    return np.where(blurred(page.astype(np.float32), 0.6) > 150, 255, 0).astype(np.uint8)


COPIES: Mapping[str, Callable[[Image, Random], Image]] = {
    "recompressed": _recompressed,
    "shrunk": _shrunk,
    "tiny": _tiny,
    "quarter turn": _quarter_turn,
    "rescanned": _rescanned,
    "photographed": _photographed,
    "badly photographed": _badly_photographed,
    "cropped": _cropped,
    "by fax": _black_and_white,
}
AS_IT_IS = "as it is"
