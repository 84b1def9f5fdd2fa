"""Edits that lay something over or around a photograph: captions, stickers, frames, collages, screens."""

from __future__ import annotations

import cv2
import numpy as np
from PIL import Image as PillowImage

from bench.quality.copies.drawing import (
    Random,
    blank,
    blurred,
    canvas,
    clipped,
    font,
    jpeg,
    noisy,
    random_colour,
    resized,
    words,
)
from deployments.contracts.arrays import Image


def meme_bars(photo: Image, draw: Random) -> Image:
    """Put bars with words above and, mostly, below."""
    height, width = photo.shape[:2]
    bar = round(width * draw.uniform(0.12, 0.2))
    is_dark, below = draw.random() < 0.5, bar if draw.random() < 0.7 else 0
    ground, ink = ((0, 0, 0), (255, 255, 255)) if is_dark else ((255, 255, 255), (0, 0, 0))
    page, pen = canvas(np.vstack([blank(width, bar, ground), photo, blank(width, below, ground)]))
    for middle in (bar / 2, *([bar * 1.5 + height] if below else [])):
        pen.text((width / 2, middle), words(draw, 4), font=font(round(width / 15)), fill=ink, anchor="mm")
    return jpeg(np.asarray(page), 80)


def caption_across(photo: Image, draw: Random) -> Image:
    """Write white words with dark outlines into the upper and the lower part."""
    height, width = photo.shape[:2]
    page, pen = canvas(photo)
    size = round(width / 12)
    for middle in (0.09 * height, 0.91 * height):
        style = {"fill": "white", "stroke_fill": "black", "stroke_width": max(1, size // 12)}
        pen.text((width / 2, middle), words(draw, 3).upper(), font=font(size), anchor="mm", **style)
    return jpeg(np.asarray(page), 80)


def stickers(photo: Image, draw: Random) -> Image:
    """Stick one to three flat drawings on, each 12 to 22 % of the shorter side."""
    height, width = photo.shape[:2]
    page, pen = canvas(photo)
    for _ in range(int(draw.integers(1, 4))):
        radius = min(height, width) * draw.uniform(0.06, 0.11)
        x, y = draw.uniform(radius, width - radius), draw.uniform(radius, height - radius)
        box = (x - radius, y - radius, x + radius, y + radius)
        if draw.random() < 0.5:
            pen.ellipse(box, fill=(255, 205, 50), outline=(150, 100, 0), width=2)
            for side in (-0.35, 0.35):
                eye = radius * 0.12
                pen.ellipse((x + side * radius - eye, y - 0.4 * radius, x + side * radius + eye, y), fill=(60, 40, 20))
            pen.arc((x - radius / 2, y - radius / 3, x + radius / 2, y + radius * 0.6), 20, 160, (60, 40, 20), 4)
        else:
            pen.rounded_rectangle(box, radius / 4, fill=random_colour(draw), outline="white", width=4)
            pen.text((x, y), words(draw, 1)[:4], font=font(max(8, round(radius * 0.7))), fill="white", anchor="mm")
    return jpeg(np.asarray(page), 85)


def framed(photo: Image, draw: Random) -> Image:
    """Put a flat, a double or a textured frame around."""
    height, width = photo.shape[:2]
    pad = round(min(height, width) * draw.uniform(0.05, 0.15))
    style = int(draw.integers(3))
    frame = blank(width + 2 * pad, height + 2 * pad, random_colour(draw))
    if style == 1:
        frame[pad // 2 : -pad // 2, pad // 2 : -pad // 2] = random_colour(draw)
    if style == 2:
        grain = blurred(draw.normal(0, 60, frame.shape[:2]).astype(np.float32), 1.5)
        frame = clipped(frame * 0.6 + 50 + grain[..., None] * 2)
    frame[pad : pad + height, pad : pad + width] = photo
    return jpeg(frame, 85)


def tiled_watermark(photo: Image, draw: Random) -> Image:
    """Repeat a half-transparent word aslant over all of it."""
    height, width = photo.shape[:2]
    side = int(np.hypot(height, width)) + 1
    page, pen = canvas(blank(side, side, (0, 0, 0)))
    size = round(width / draw.uniform(14, 22))
    word = words(draw, 2)
    for row, top in enumerate(range(0, side, round(size * 3.5))):
        for left in range(-row % 2 * 4 * size, side, size * 11):
            pen.text((left, top), word, font=font(size), fill=(255, 255, 255))
    turn = cv2.getRotationMatrix2D((side / 2, side / 2), 30, 1)
    mark = cv2.warpAffine(np.asarray(page), turn, (side, side))[:height, :width] / 255.0
    strength = draw.uniform(0.25, 0.45)
    return jpeg(clipped(photo * (1 - strength * mark) + 255 * strength * mark), 85)


def pixelated_part(photo: Image, draw: Random) -> Image:
    """Pixelate a rectangle of 5 to 12 % of the area."""
    height, width = photo.shape[:2]
    side = draw.uniform(0.05, 0.12) ** 0.5
    tall, wide = round(side * height), round(side * width)
    top, left = int(draw.integers(0, height - tall)), int(draw.integers(0, width - wide))
    part = photo[top : top + tall, left : left + wide]
    cell = max(6, round(min(height, width) / 35))
    small = resized(part, wide / cell, tall / cell)
    result = photo.copy()
    result[top : top + tall, left : left + wide] = cv2.resize(small, (wide, tall), interpolation=cv2.INTER_NEAREST)
    return jpeg(result, 85)


def scribbles(photo: Image, draw: Random) -> Image:
    """Draw two to four curves by hand."""
    height, width = photo.shape[:2]
    result = photo.copy()
    for _ in range(int(draw.integers(2, 5))):
        centre = draw.uniform(0.2, 0.8, 2) * (width, height)
        steps = draw.normal(0, 0.05 * min(height, width), (14, 2)).cumsum(axis=0)
        smooth = cv2.resize((centre + steps).astype(np.float32)[:, None], (1, 120), interpolation=cv2.INTER_CUBIC)
        thick = max(2, round(min(height, width) * draw.uniform(0.006, 0.012)))
        cv2.polylines(result, [np.rint(smooth).astype(np.int32)], False, random_colour(draw), thick, cv2.LINE_AA)
    return jpeg(result, 85)


def phone_screenshot(photo: Image, draw: Random) -> Image:
    """Show it on a phone's screen between bars with a clock and buttons."""
    photo = resized(photo, 540, 540 * photo.shape[0] / photo.shape[1])
    height = photo.shape[0]
    above, below = (round(540 * share) for share in draw.uniform(0.2, 0.5, 2))
    page, pen = canvas(np.vstack([blank(540, above, (18, 18, 18)), photo, blank(540, below, (18, 18, 18))]))
    pen.text((20, 10), f"{draw.integers(24)}:{draw.integers(10, 60)}", font=font(24), fill="white")
    for place in (1, 3, 5, 7):
        x, y = 540 * place / 8, above + height + below / 2
        pen.ellipse((x - 20, y - 20, x + 20, y + 20), outline=(200, 200, 200), width=3)
    return jpeg(np.asarray(page), 85)


def chat_screenshot(photo: Image, draw: Random) -> Image:
    """Show it as a message among others in a chat."""
    picture = resized(photo, 400, 400 * photo.shape[0] / photo.shape[1])
    height = picture.shape[0]
    page, pen = canvas(blank(540, height + 620, (236, 229, 221)))
    pen.rectangle((0, 0, 540, 90), fill=(7, 94, 84))
    pen.text((70, 30), words(draw, 2), font=font(24), fill="white")
    top = 110 + int(draw.integers(0, 120))
    left = int(draw.choice([20, 120]))
    pen.rounded_rectangle((left - 6, top - 6, left + 406, top + height + 34), 12, fill="white")
    pen.text((left + 8, top + height + 6), words(draw, 5), font=font(20), fill=(20, 20, 20))
    page.paste(PillowImage.fromarray(picture), (left, top))
    at = top + height + 60
    while at < page.height - 70:
        said = words(draw, int(draw.integers(2, 6)))
        wide = pen.textlength(said, font=font(20)) + 30
        x = 15 if draw.random() < 0.5 else 525 - wide
        pen.rounded_rectangle((x, at, x + wide, at + 44), 14, fill="white")
        pen.text((x + 15, at + 10), said, font=font(20), fill=(20, 20, 20))
        at += 58
    return jpeg(np.asarray(page), 80)


def photographed_screen(photo: Image, draw: Random) -> Image:
    """Photograph a screen: slight perspective, a dark rim, moire, a reflection, noise."""
    height, width = photo.shape[:2]
    y, x = np.mgrid[:height, :width]
    moire = 1 + 0.06 * np.sin(x * draw.uniform(0.6, 1.2) + y * 0.1) * np.sin(y * draw.uniform(0.6, 1.2))
    light = draw.uniform(0, 60) * np.exp(-(((x / width - 0.7) / 0.4) ** 2) - ((y / height - 0.2) / 0.4) ** 2)
    shown = clipped(photo * moire[..., None] * 0.85 + light[..., None])
    corners = np.array([[0, 0], [width, 0], [width, height], [0, height]], np.float32)
    inward = np.array([[1, 1], [-1, 1], [-1, -1], [1, -1]], np.float32)
    seen = corners + inward * draw.uniform(0.03, 0.09, (4, 2)) * (width, height)
    matrix = cv2.getPerspectiveTransform(corners, seen.astype(np.float32))
    photographed = cv2.warpPerspective(shown, matrix, (width, height), borderValue=(24, 22, 20))
    return jpeg(noisy(clipped(blurred(photographed, 0.8)), draw, 4), 75)


def rescanned(photo: Image, draw: Random) -> Image:
    """Print and scan: fewer colours, askew, unevenly lit, noisy, a white margin."""
    height, width = photo.shape[:2]
    pad = round(min(height, width) * 0.06)
    inks = clipped((photo * 0.85 + 25) * draw.uniform(0.92, 1.0, 3))
    sheet = cv2.copyMakeBorder(inks, pad, pad, pad, pad, cv2.BORDER_CONSTANT, value=(250, 249, 245))
    turn = cv2.getRotationMatrix2D((width / 2, height / 2), draw.uniform(-2, 2), 1)
    askew = cv2.warpAffine(sheet, turn, (width + 2 * pad, height + 2 * pad), borderValue=(250, 249, 245))
    light = np.linspace(draw.uniform(0.82, 0.95), 1, width + 2 * pad)[None, :, None]
    return jpeg(noisy(clipped(blurred(askew, 0.9) * light), draw, 5), 70)


def collage(photo: Image, others: list[Image], draw: Random) -> Image:
    """Lay a photograph and three others out as tiles of 400 pixels' width; not in `KINDS`, since it takes others."""
    height = 400 * photo.shape[0] // photo.shape[1]
    tiles = [resized(one, 400, height) for one in (photo, *others)]
    order = draw.permutation(4)
    gap = int(draw.integers(0, 12))
    page = blank(800 + 3 * gap, 2 * height + 3 * gap)
    for place, tile in enumerate(order):
        top, left = gap + (place // 2) * (height + gap), gap + (place % 2) * (400 + gap)
        page[top : top + height, left : left + 400] = tiles[tile]
    return jpeg(page, 85)


KINDS = {
    "meme with caption bars": meme_bars,
    "caption across": caption_across,
    "stickers": stickers,
    "frame": framed,
    "tiled watermark": tiled_watermark,
    "pixelated part": pixelated_part,
    "scribbles": scribbles,
    "phone screenshot": phone_screenshot,
    "chat screenshot": chat_screenshot,
    "photographed screen": photographed_screen,
    "printed and rescanned": rescanned,
}
