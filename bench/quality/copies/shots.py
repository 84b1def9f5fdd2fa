"""Traps made of photographs: other shots of one scene and other words on one template, which are no copies."""

from __future__ import annotations

import cv2
import numpy as np

from bench.quality.copies.drawing import Random, blurred, canvas, clipped, clouds, font, jpeg, noisy, resized, words
from bench.quality.copies.overlays import caption_across, meme_bars
from bench.quality.copies.sources import PORTRAITS
from deployments.contracts.arrays import Image

Photos = dict[str, Image]
Sets = list[list[Image]]
_SHOTS, _PASSES = 5, 4


def bursts(photos: Photos, draw: Random) -> Sets:
    """Shoot each scene by hand: all is displaced a little by its depth, the middle moves, light and noise differ."""
    return [[_hand_held(photo, draw) for _ in range(_SHOTS)] for photo in photos.values()]


def tripod_series(photos: Photos, draw: Random) -> Sets:
    """Shoot each scene from a tripod while something out of another photograph passes through it."""
    names = list(photos)
    return [_passing(photos[name], photos[names[(place + 1) % len(names)]], draw) for place, name in enumerate(names)]


def portrait_sessions(photos: Photos, draw: Random) -> Sets:
    """Shoot portraits: the ground stands still, head and shoulders turn."""
    return [[_posed(photo, draw) for _ in range(_SHOTS + 1)] for name, photo in photos.items() if name in PORTRAITS]


def panoramas(photos: Photos, draw: Random) -> Sets:
    """Turn the camera: neighbours share 55 to 80 % of the scene."""
    sets = []
    for photo in photos.values():
        width = photo.shape[1]
        shares = (0.0, 0.13, 0.29, 0.45)
        cuts = [photo[:, round(at * width) : round((at + 0.55) * width)] for at in shares]
        sets.append([jpeg(noisy(np.ascontiguousarray(cut), draw, 2), 85) for cut in cuts])
    return sets


def memes(photos: Photos, draw: Random) -> Sets:
    """Write other words on one template: in bars, or across."""
    sets = []
    for photo in photos.values():
        state = int(draw.integers(2**31))
        barred = [_barred(photo, state, draw) for _ in range(4)]
        across = [caption_across(photo, draw) for _ in range(4)]
        sets += [barred, across]
    return sets


def _hand_held(photo: Image, draw: Random) -> Image:
    height, width = photo.shape[:2]
    short = min(height, width)
    y, x = np.mgrid[:height, :width].astype(np.float32)
    shift_x, shift_y = (
        clouds(draw, width, height, short / 5) * draw.uniform(0.008, 0.02) * short + draw.uniform(-0.02, 0.02) * short
        for _ in range(2)
    )
    turn = draw.uniform(-0.02, 0.02)
    shot = cv2.remap(
        photo,
        (x + shift_x - turn * (y - height / 2)).astype(np.float32),
        (y + shift_y + turn * (x - width / 2)).astype(np.float32),
        cv2.INTER_CUBIC,
        borderMode=cv2.BORDER_REFLECT,
    )
    return jpeg(noisy(clipped(shot * draw.uniform(0.9, 1.1)), draw, 3), 85)


def _coat(draw: Random) -> Image:
    """Draw cloth of one colour with folds, lit from one side."""
    light = np.linspace(1.0, draw.uniform(0.75, 0.9), 200)[None, :] * (1 + 0.04 * clouds(draw, 200, 300, 40))
    return clipped(draw.uniform(30, 220, 3) * light[..., None])


def _passing(photo: Image, other: Image, draw: Random) -> list[Image]:
    """Let a part of `other`, 10 to 24 % of the shorter side wide, pass by."""
    height, width = photo.shape[:2]
    tall = round(min(height, width) * draw.uniform(0.14, 0.32))
    wide = round(tall * draw.uniform(0.5, 0.8))
    from_y, from_x = (other.shape[0] - tall * 2) // 2, (other.shape[1] - wide * 2) // 2
    top, left = max(0, from_y), max(0, from_x)
    thing = resized(other[top : top + tall * 2, left : left + wide * 2], wide, tall)
    y, x = np.mgrid[-1 : 1 : tall * 1j, -1 : 1 : wide * 1j]
    mask = blurred((np.hypot(x, y) < 0.92).astype(np.float32), 1.5)[..., None]
    shots = []
    for step in range(_PASSES):
        at_y = int(draw.integers(height // 3, max(height // 3 + 1, height - tall)))
        at_x = round((width - wide) * (step + draw.uniform(0.1, 0.9)) / _PASSES)
        shot = photo.copy()
        part = shot[at_y : at_y + tall, at_x : at_x + wide]
        shot[at_y : at_y + tall, at_x : at_x + wide] = clipped(part * (1 - mask) + thing * mask)
        shots.append(jpeg(noisy(shot, draw, 2), 85))
    return shots


def _posed(photo: Image, draw: Random) -> Image:
    """Turn, move and grow what is in the middle; the ground beside it stays in place."""
    height, width = photo.shape[:2]
    short = min(height, width)
    y, x = np.mgrid[:height, :width].astype(np.float32)
    inside = np.exp(-((((x - width / 2) / (0.32 * width)) ** 4) + ((y - 0.55 * height) / (0.42 * height)) ** 4))
    turn, grow = draw.uniform(-0.08, 0.08), draw.uniform(-0.05, 0.05)
    move_x, move_y = draw.uniform(0.015, 0.05, 2) * draw.choice([-1, 1], 2) * short
    shift_x = grow * (x - width / 2) - turn * (y - height / 2) + move_x + clouds(draw, width, height, short / 6) * 3
    shift_y = grow * (y - height / 2) + turn * (x - width / 2) + move_y + clouds(draw, width, height, short / 6) * 3
    shot = cv2.remap(
        photo,
        (x + inside * shift_x).astype(np.float32),
        (y + inside * shift_y).astype(np.float32),
        cv2.INTER_CUBIC,
        borderMode=cv2.BORDER_REFLECT,
    )
    return jpeg(noisy(shot, draw, 2), 85)


def _barred(photo: Image, state: int, draw: Random) -> Image:
    """Draw the bars of one template (`state`) with words of `draw`."""
    template = np.random.default_rng(state)
    height, width = photo.shape[:2]
    bare = meme_bars(photo, template)
    bar = round((bare.shape[0] - height) / 2) if bare.shape[0] - height > 0.21 * width else bare.shape[0] - height
    ground = tuple(int(level) for level in bare[2, 2])
    page, pen = canvas(bare)
    for top in (0, bar + height):
        pen.rectangle((0, top, width, top + bar - 1), fill=ground)
        ink = "black" if ground[0] > 128 else "white"
        said = words(draw, 4)
        pen.text((width / 2, top + bar / 2), said, font=font(round(width / 15)), fill=ink, anchor="mm")
    return jpeg(np.asarray(page), 80)


TRAPS = {
    "burst": bursts,
    "tripod series": tripod_series,
    "portraits of a session": portrait_sessions,
    "panorama": panoramas,
    "meme, other words": memes,
}
