"""Traps that are drawn: other pages, frames, values and places of one kind, which are no copies of one another."""

from __future__ import annotations

import numpy as np
from PIL import ImageDraw

from bench.quality.copies.drawing import (
    Colour,
    Random,
    blank,
    canvas,
    clipped,
    clouds,
    font,
    jpeg,
    noisy,
    random_colour,
    words,
)
from deployments.contracts.arrays import Image

Sets = list[list[Image]]
_SETS, _MEMBERS = 7, 6


def forms(draw: Random) -> list[Image]:
    """Fill one form in with other words."""
    labels = [words(draw, 2) for _ in range(14)]
    head, title = random_colour(draw), words(draw, 2).upper()
    return [_form(labels, head, title, draw) for _ in range(_MEMBERS)]


def _form(labels: list[str], head: Colour, title: str, draw: Random) -> Image:
    page, pen = canvas(blank(800, 1000))
    pen.rectangle((0, 0, 800, 80), fill=head)
    pen.text((40, 20), title, font=font(34), fill="white")
    for row, label in enumerate(labels):
        top = 120 + 60 * row
        pen.text((40, top), label + ":", font=font(21), fill=(60, 60, 60))
        pen.rectangle((280, top - 8, 760, top + 34), outline=(120, 120, 120), width=2)
        pen.text((292, top), words(draw, 3), font=font(21), fill=(10, 10, 10))
    return jpeg(np.asarray(page), 85)


def comics(draw: Random) -> list[Image]:
    """Draw frames of a comic: the same scenery, figures and balloons elsewhere."""
    sky, ground, wall = random_colour(draw), random_colour(draw), random_colour(draw)
    coats = [random_colour(draw) for _ in range(2)]
    trees = draw.uniform(40, 760, (6, 1)).ravel()
    houses = draw.uniform(0, 640, 3)
    frames = []
    for _ in range(_MEMBERS):
        page, pen = canvas(blank(800, 600, sky))
        pen.rectangle((0, 400, 800, 600), fill=ground, outline="black", width=3)
        for at in houses:
            pen.rectangle((at, 220, at + 160, 420), fill=wall, outline="black", width=4)
            pen.polygon([(at - 10, 220), (at + 80, 140), (at + 170, 220)], fill=(150, 60, 50), outline="black")
            for window in range(4):
                x, y = at + 25 + 70 * (window % 2), 245 + 80 * (window // 2)
                pen.rectangle((x, y, x + 40, y + 50), fill=(190, 220, 240), outline="black", width=2)
        for at in trees:
            pen.ellipse((at - 30, 330, at + 30, 400), fill=(40, 120, 50), outline="black", width=3)
        for coat in coats:
            _figure(pen, coat, draw)
        frames.append(jpeg(np.asarray(page), 85))
    return frames


def _figure(pen: ImageDraw.ImageDraw, coat: Colour, draw: Random) -> None:
    x, y = float(draw.uniform(80, 720)), float(draw.uniform(300, 400))
    pen.ellipse((x - 30, y - 40, x + 30, y + 20), fill=(250, 215, 180), outline="black", width=3)
    pen.polygon([(x - 40, y + 140), (x, y + 20), (x + 40, y + 140)], fill=coat, outline="black")
    for side in (-1, 1):
        pen.ellipse((x + side * 12 - 4, y - 20, x + side * 12 + 4, y - 10), fill="black")
        reach, up = float(draw.uniform(30, 70)), float(draw.uniform(-30, 60))
        pen.line((x + side * 15, y + 55, x + side * reach, y + 55 + up), fill="black", width=6)
    said = words(draw, 3)
    wide = pen.textlength(said, font=font(22)) / 2 + 20
    middle = min(max(x, wide + 5), 795 - wide)
    pen.ellipse((middle - wide, y - 150, middle + wide, y - 70), fill="white", outline="black", width=3)
    pen.text((middle, y - 110), said, font=font(22), fill="black", anchor="mm")


def products(draw: Random) -> list[Image]:
    """Show bottles of one shape on white with other labels and colours."""
    x1, x2 = 300, 500
    neck, shoulder = int(draw.integers(50, 80)), int(draw.integers(200, 300))
    shots = []
    for _ in range(_MEMBERS):
        page, pen = canvas(blank(800, 800))
        body, label = random_colour(draw), random_colour(draw)
        pen.rounded_rectangle((x1, shoulder, x2, 720), 30, fill=body)
        pen.rectangle((400 - neck, 120, 400 + neck, shoulder + 20), fill=body)
        pen.rectangle((400 - neck - 6, 90, 400 + neck + 6, 130), fill=(60, 60, 60))
        pen.rectangle((x1, 430, x2, 620), fill=label)
        for row in range(3):
            said, size = words(draw, 1), 44 if row == 0 else 22
            pen.text((400, 470 + 50 * row), said, font=font(size), fill="white", anchor="mm")
        _emblem(pen, draw)
        shots.append(jpeg(noisy(np.asarray(page), draw, 1), 90))
    return shots


def _emblem(pen: ImageDraw.ImageDraw, draw: Random) -> None:
    pen.polygon(_blob(draw, (400, 380), 10, 38), fill=random_colour(draw), outline="white")


def _blob(draw: Random, middle: tuple[float, float], least: float, most: float) -> list[tuple[float, float]]:
    angles = np.arange(0, 6.2, 0.6)
    reach = draw.uniform(least, most, len(angles))
    return [
        (middle[0] + float(r * np.cos(a)), middle[1] + float(r * np.sin(a))) for r, a in zip(reach, angles, strict=True)
    ]


def charts(draw: Random) -> list[Image]:
    """Plot other values with the same axes and legend."""
    title, names = words(draw, 3), [words(draw, 1) for _ in range(3)]
    colours = [random_colour(draw) for _ in range(3)]
    is_bars = draw.random() < 0.5
    plots = []
    for _ in range(_MEMBERS):
        page, pen = canvas(blank(800, 500))
        pen.text((400, 30), title, font=font(26), fill="black", anchor="mm")
        for step in range(6):
            y = 440 - 65 * step
            pen.line((80, y, 760, y), fill=(220, 220, 220))
            pen.text((70, y), str(20 * step), font=font(16), fill="black", anchor="rm")
        for series in range(3):
            values = draw.uniform(10, 320, 9)
            xs = 100 + 70 * np.arange(9)
            if is_bars:
                for x, value in zip(xs + 20 * series, values, strict=True):
                    pen.rectangle((float(x), float(440 - value), float(x) + 18, 440), fill=colours[series])
            else:
                pen.line([(float(x), float(440 - v)) for x, v in zip(xs, values, strict=True)], colours[series], 4)
            pen.rectangle((600, 60 + 24 * series, 620, 76 + 24 * series), fill=colours[series])
            pen.text((628, 68 + 24 * series), names[series], font=font(16), fill="black", anchor="lm")
        plots.append(jpeg(np.asarray(page), 90))
    return plots


def receipts(draw: Random) -> list[Image]:
    """Print receipts of one shop with other goods, prices and dates."""
    shop, street = words(draw, 2).upper(), words(draw, 2)
    sheets = []
    for _ in range(_MEMBERS):
        page, pen = canvas(blank(420, 760, (244, 242, 236)))
        pen.text((210, 50), shop, font=font(34), fill="black", anchor="mm")
        pen.text((210, 90), street + " 12", font=font(20), fill="black", anchor="mm")
        pen.text((40, 130), f"2024-{draw.integers(1, 13):02}-{draw.integers(1, 29):02}", font=font(20), fill="black")
        for row in range(12):
            top = 180 + 36 * row
            pen.text((40, top), words(draw, 1), font=font(20), fill=(30, 30, 30))
            pen.text((380, top), f"{draw.uniform(1, 90):.2f}", font=font(20), fill=(30, 30, 30), anchor="ra")
        pen.text((40, 650), "TOTAL", font=font(28), fill="black")
        pen.text((380, 650), f"{draw.uniform(50, 400):.2f}", font=font(28), fill="black", anchor="ra")
        sheets.append(jpeg(noisy(np.asarray(page), draw, 3), 80))
    return sheets


def tickets(draw: Random) -> list[Image]:
    """Print tickets of one line with other places, times, seats and codes."""
    colour, line = random_colour(draw), words(draw, 2).upper()
    sheets = []
    for _ in range(_MEMBERS):
        page, pen = canvas(blank(900, 400, (250, 250, 250)))
        pen.rectangle((0, 0, 900, 90), fill=colour)
        pen.text((30, 45), line, font=font(40), fill="white", anchor="lm")
        for place, name in enumerate(("FROM", "TO", "DATE", "TIME", "SEAT", "CAR")):
            x, y = 30 + 210 * (place % 3), 120 + 120 * (place // 3)
            pen.text((x, y), name, font=font(18), fill=(120, 120, 120))
            pen.text((x, y + 26), words(draw, 1) + str(draw.integers(10, 99)), font=font(34), fill="black")
        cells = draw.random((25, 25)) < 0.5
        code = np.kron(np.where(cells, 0, 255).astype(np.uint8), np.ones((8, 8), np.uint8))
        pixels = np.asarray(page).copy()
        pixels[130:330, 670:870] = code[..., None]
        sheets.append(jpeg(pixels, 85))
    return sheets


def maps(draw: Random) -> list[Image]:
    """Draw other quarters of one town in one style."""
    land, water, park = (242, 239, 233), (170, 211, 223), (200, 230, 180)
    quarters = []
    for _ in range(_MEMBERS):
        page, pen = canvas(blank(800, 800, land))
        for colour in (water, park, park):
            x, y = (float(place) for place in draw.uniform(100, 700, 2))
            pen.polygon(_blob(draw, (x, y), 40, 160), fill=colour)
        for wide, count in ((14, 4), (7, 14)):
            for _ in range(count):
                ends = [float(place) for place in draw.uniform(-50, 850, 4)]
                pen.line(ends, fill=(190, 180, 170), width=wide + 3)
                pen.line(ends, fill="white" if wide == 7 else (250, 220, 150), width=wide)
        for _ in range(9):
            x, y = (float(place) for place in draw.uniform(40, 700, 2))
            pen.text((x, y), words(draw, 2), font=font(18), fill=(80, 80, 80), stroke_width=2, stroke_fill="white")
        pen.rectangle((10, 740, 110, 780), fill="white", outline="black")
        pen.text((60, 760), "500 m", font=font(18), fill="black", anchor="mm")
        quarters.append(jpeg(np.asarray(page), 90))
    return quarters


def skies(draw: Random) -> list[Image]:
    """Show other clouds over one horizon."""
    ridge = 480 + 25 * clouds(draw, 800, 1, 60)[0]
    y = np.arange(600)[:, None]
    shots = []
    for _ in range(_MEMBERS):
        cloud = sum(clouds(draw, 800, 600, sigma) * weight for sigma, weight in ((160, 1), (70, 0.5), (25, 0.25)))
        cover = 1 / (1 + np.exp(-2 * cloud))[..., None]
        sky = np.array([90, 140, 210]) + np.array([60, 50, 30]) * (y / 600)[..., None]
        scene = sky * (1 - cover) + 240 * cover
        scene = np.where((y > ridge[None])[..., None], np.array([40, 60, 35]), scene)
        shots.append(jpeg(noisy(clipped(scene), draw, 2), 85))
    return shots


def chats(draw: Random) -> list[Image]:
    """Show other messages in one chat."""
    name = words(draw, 2)
    screens = []
    for _ in range(_MEMBERS):
        page, pen = canvas(blank(540, 1000, (236, 229, 221)))
        pen.rectangle((0, 0, 540, 90), fill=(7, 94, 84))
        pen.text((70, 30), name, font=font(24), fill="white")
        top = 110
        while top < 900:
            said = words(draw, int(draw.integers(2, 6)))
            wide = pen.textlength(said, font=font(20)) + 30
            x = 15 if draw.random() < 0.5 else 525 - wide
            pen.rounded_rectangle((x, top, x + wide, top + 44), 14, fill="white")
            pen.text((x + 15, top + 10), said, font=font(20), fill=(20, 20, 20))
            top += 58
        screens.append(jpeg(np.asarray(page), 85))
    return screens


TRAPS = {
    "pages of a form": forms,
    "frames of a comic": comics,
    "products on white": products,
    "charts, other values": charts,
    "receipts": receipts,
    "tickets": tickets,
    "maps": maps,
    "skies": skies,
    "chats": chats,
}


def draw_sets(trap: str, draw: Random) -> Sets:
    """Draw the sets of a trap; the members of each are no copies of one another."""
    return [TRAPS[trap](draw) for _ in range(_SETS)]
