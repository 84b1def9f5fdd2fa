"""Infill of unknown pixels from their surroundings (push-pull interpolation): the background behind hair, colours
beside edges."""

from __future__ import annotations

import cv2
import numpy as np

from deployments.algorithms.avatars.planes import blurred
from deployments.contracts.arrays import Floats, Gray


def hair_zone(x: Floats, y: Floats) -> Floats:
    """Weigh turned head space by where hair may hang, 0 to 1: around the head and down to the neck, no shoulders."""
    away = np.sqrt((x / 3.1) ** 2 + ((y + 0.4) / 3.2) ** 2)
    above = np.clip((2.1 - 0.2 * np.abs(x) - y) / 0.35, 0, 1)
    return np.asarray(np.clip((1 - away) / 0.12, 0, 1) * above, np.float32)


def without_hair(
    picture: Floats, person: Gray, x: Floats, y: Floats, unit_px: float, rng: np.random.Generator
) -> Floats:
    """Replace the head and its hair by background: `float32[H, W, 3]`, 0 to 255."""
    zone = hair_zone(x, y)
    if not (zone.any() and (person < 110).any()):
        return picture
    smaller = min(1.0, 300 / max(picture.shape[:2]))
    size = (max(1, round(picture.shape[1] * smaller)), max(1, round(picture.shape[0] * smaller)))
    small = cv2.resize(picture, size, interpolation=cv2.INTER_AREA)
    mask = cv2.resize(person, size, interpolation=cv2.INTER_AREA)
    filled = behind(small, mask, 0.1 * unit_px * smaller)
    filled = cv2.resize(filled, picture.shape[1::-1], interpolation=cv2.INTER_CUBIC)
    filled += rng.normal(0, grain_of(picture, person), picture.shape[:2]).astype(np.float32)[..., None]
    grown = cv2.dilate(
        person, cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * max(1, round(0.07 * unit_px)) + 1,) * 2)
    )
    mirrored, near = _mirrored(picture, grown, unit_px)
    filled += (mirrored - filled) * near[..., None]
    share = np.clip((grown.astype(np.float32) - 110) / 60, 0, 1)
    gone = (zone * blurred(share, 0.03 * unit_px))[..., None]
    return np.asarray(picture * (1 - gone) + filled * gone, np.float32)


def _mirrored(picture: Floats, person: Gray, unit_px: float) -> tuple[Floats, Floats]:
    """Mirror what lies outside of the person's outline into it, so that patterns go on beside the head.

    Returns where that can be, 0 to 1, too: not far inside, and not from another person.
    """
    inside = (person >= 90).astype(np.uint8)
    away, labels = cv2.distanceTransformWithLabels(inside, cv2.DIST_L2, 5, labelType=cv2.DIST_LABEL_PIXEL)
    rows, columns = np.nonzero(inside == 0)
    nearest = np.zeros((int(labels.max()) + 1, 2), np.float32)
    nearest[labels[rows, columns]] = np.stack([columns, rows], axis=1)
    xs, ys = np.meshgrid(np.arange(person.shape[1], dtype=np.float32), np.arange(person.shape[0], dtype=np.float32))
    out = nearest[labels] - np.dstack([xs, ys])
    out = np.dstack([blurred(np.ascontiguousarray(out[..., k]), 0.08 * unit_px) for k in (0, 1)])
    # A little farther than the outline: its own light shines on what is near.
    reach = 2 + 0.1 * unit_px / np.maximum(away, 1)
    there_x, there_y = xs + out[..., 0] * reach, ys + out[..., 1] * reach
    there_x, there_y = there_x.astype(np.float32), there_y.astype(np.float32)
    mirrored = cv2.remap(picture, there_x, there_y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT)
    free = cv2.remap(255 - person, there_x, there_y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_CONSTANT)
    near = np.clip(1.6 - away / (0.7 * unit_px), 0, 1) * np.clip(free.astype(np.float32) / 100 - 1, 0, 1)
    return np.asarray(mirrored, np.float32), blurred(np.asarray(near, np.float32), 0.06 * unit_px)


def grain_of(picture: Floats, person: Gray) -> float:
    """Measure the standard deviation of the background's noise."""
    luma = np.ascontiguousarray(picture[..., 1])
    fine = np.abs(luma - cv2.GaussianBlur(luma, (0, 0), 1))[person < 30]
    # A Gaussian of 1 takes about a fifth of white noise away; the median leaves edges out.
    return float(min(np.median(fine) * 1.48 * 1.2, 10)) if fine.size else 0.0


def behind(picture: Floats, person: Gray, spread_px: float) -> Floats:
    """Fill the person in from around, `float32[H, W, 3]`; grain is up to the caller."""
    reach = max(1, round(spread_px))
    grown = cv2.dilate(person, np.ones((2 * reach + 1, 2 * reach + 1), np.uint8))
    known = (grown < 110).astype(np.float32)
    return fill_in(picture, known) if known.any() else picture


def fill_in(colours: Floats, known: Floats) -> Floats:
    """Fill in `float32[H, W, 3]` where `known`, `float32[H, W]`, is 0, by colours from ever farther away."""
    levels = [np.dstack([colours * known[..., None], known])]
    while min(levels[-1].shape[:2]) > 2:
        levels.append(cv2.pyrDown(levels[-1]))
    filled = levels[-1][..., :3] / np.maximum(levels[-1][..., 3:], 1e-4)
    for level in levels[-2::-1]:
        filled = cv2.pyrUp(filled, dstsize=level.shape[1::-1])
        weight = level[..., 3:]
        filled += (level[..., :3] / np.maximum(weight, 1e-4) - filled) * np.minimum(weight * 4, 1)
    return np.asarray(filled, np.float32)
