"""Lighting: the light of a photograph over a face, estimated, and parts of an animal shaded by it."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from deployments.algorithms.avatars.head_space import HeadPose
from deployments.contracts.arrays import Floats, Gray, Image

LUMA = np.array([0.299, 0.587, 0.114], np.float32)
"""Weights of red, green and blue in luma (Rec. 601)."""
_USUAL_SKIN = np.array([1.22, 0.95, 0.80], np.float32)
"""Colour of usual skin, in its luma: what is redder stands in warm light, within the range of skins."""
_STEPS = 48
"""Samples a side at which the face is read."""


@dataclass(frozen=True, slots=True)
class Light:
    """Light over a face, and the photograph's black, grain and softness."""

    slope: tuple[float, float]
    """Gain of the face's brightness to its right and downwards, in natural logarithms a unit of its roundness."""
    exposure: float
    """Gain of all colours."""
    cast: Floats
    """`float32[3]`: gains of red, green and blue, about 1."""
    black: Floats
    """`float32[3]`, 0 to 1: colour of the darkest places of the photograph."""
    colourfulness: float
    """0 in a grey photograph, 1 in one in colour."""
    skin: float
    """Luma of the middle of the face, 0 to 1."""
    grain: float
    """Standard deviation of the noise, 0 to 1."""
    blur_px: float
    """Softness of the photograph, pixels."""


def light_over(photograph: Image, face_mask: Gray, pose: HeadPose) -> Light:
    """Estimate the light over a face of the photograph."""
    steps = np.linspace(0, 1, _STEPS, dtype=np.float32)
    x, y = (np.asarray(plane, np.float32) for plane in np.meshgrid(steps * 1.7 - 0.85, steps * 2 - 0.5))
    columns, rows = pose.to_picture(x, y)
    columns, rows = columns.astype(np.float32), rows.astype(np.float32)
    spread = max(pose.unit_px / 16, 0.5)
    small = _around(photograph, pose)
    face = cv2.remap(photograph, columns, rows, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    weights = cv2.remap(face_mask, columns, rows, cv2.INTER_LINEAR, borderMode=cv2.BORDER_CONSTANT)
    face = cv2.GaussianBlur(face, (0, 0), 2).astype(np.float32) / 255
    weights = weights.astype(np.float32) / 255 + 1e-3
    luma = face @ LUMA
    # Eyes, brows, lips and beards are not light: what is far from the median counts little.
    middle = float(np.median(luma[weights > 0.3])) if (weights > 0.3).any() else float(np.median(luma))
    weights = weights * np.exp(-((np.log((luma + 0.02) / (middle + 0.02)) / 0.7) ** 2))
    slope = _slope(np.log(luma + 0.03), x, y, weights)
    skin_colour = (face * weights[..., None]).sum(axis=(0, 1)) / weights.sum()
    pixels = small.reshape(-1, 3).astype(np.float32) / 255
    lumas = pixels @ LUMA
    bright, dark = float(np.percentile(lumas, 92)), np.percentile(pixels, 1.0, axis=0)
    chroma = float(np.percentile(pixels.max(axis=1) - pixels.min(axis=1), 80))
    exposure = 0.6 * np.clip(bright / 0.8, 0.2, 1.1) + 0.4 * np.clip((middle / 0.5) ** 0.5, 0.35, 1.15)
    warm = skin_colour / max(float(skin_colour @ LUMA), 0.02) / _USUAL_SKIN
    world = pixels.mean(axis=0) / max(float(lumas.mean()), 0.02)
    cast = np.clip(warm, 0.5, 2) ** 0.22 * np.clip(world, 0.5, 2) ** 0.22
    # Skin has a colour in any light; the surroundings may have none.
    skin_chroma = float(skin_colour.max() - skin_colour.min()) / (middle + 0.03)
    colourfulness = float(np.clip(max((chroma - 0.02) / 0.06, (skin_chroma - 0.05) / 0.15), 0, 1))
    return Light(
        slope,
        float(np.clip(exposure, 0.3, 1.1)),
        np.clip(cast / float(cast @ LUMA), 0.8, 1.25).astype(np.float32),
        np.clip(dark * 0.7, 0, 0.2).astype(np.float32),
        colourfulness,
        max(middle, 0.05),
        _grain(photograph, pose, spread),
        _blur(photograph, pose),
    )


def shade(colours: Floats, normals: Floats, light: Light, shine: float) -> Floats:
    """Shade colours `float32[H, W, 3]`, 0 to 1, by the light; `normals`, `float32[H, W, 2]`: those of the surface."""
    nx, ny = normals[..., 0], normals[..., 1]
    facing = np.sqrt(np.maximum(1 - nx * nx - ny * ny, 0))
    diffuse = np.exp(nx * light.slope[0] + ny * (light.slope[1] - 0.22)) * (0.56 + 0.46 * facing)
    made = colours * (diffuse * light.exposure)[..., None] * light.cast
    if shine:
        half = np.array([0.5 * light.slope[0], -0.45 + 0.5 * light.slope[1]], np.float32)
        gleam = np.exp(-((nx - half[0]) ** 2 + (ny - half[1]) ** 2) / 0.06)
        made = made + (shine * light.exposure) * gleam[..., None] * (0.25 + 0.75 * made)
    if light.colourfulness < 1:
        grey = (made @ LUMA)[..., None]
        made = grey + (made - grey) * light.colourfulness
    return np.asarray(
        light.black + np.clip(_shoulder(np.asarray(made, np.float32)), 0, 1) * (1 - light.black), np.float32
    )


def _shoulder(values: Floats) -> Floats:
    """Compress highlights so that they run out instead of being cut off."""
    over = np.maximum(values - 0.75, 0)
    return np.asarray(np.where(values > 0.75, 0.75 + 0.25 * (1 - np.exp(-over / 0.25)), values), np.float32)


def _slope(logs: Floats, x: Floats, y: Floats, weights: Floats) -> tuple[float, float]:
    """Fit the slope of log brightness over the face, by regularised least squares."""
    root = np.sqrt(weights).ravel()
    design = np.stack([np.ones(x.size), x.ravel(), y.ravel() - 0.5], axis=1) * root[:, None]
    design = np.vstack([design, np.diag([0.0, 3.0, 3.0])])
    values = np.concatenate([logs.ravel() * root, np.zeros(3)])
    found = np.linalg.lstsq(design, values, rcond=None)[0]
    return float(np.clip(found[1], -0.6, 0.6)), float(np.clip(found[2], -0.45, 0.45))


def _around(photograph: Image, pose: HeadPose) -> Image:
    """Cut out the head and what is near, 64 x 64 pixels."""
    height, width = photograph.shape[:2]
    reach = 4 * pose.unit_px
    x, y = pose.origin
    top, left = int(np.clip(y - reach, 0, height - 1)), int(np.clip(x - reach, 0, width - 1))
    bottom, right = int(np.clip(y + reach, top + 1, height)), int(np.clip(x + reach, left + 1, width))
    return np.asarray(cv2.resize(photograph[top:bottom, left:right], (64, 64), interpolation=cv2.INTER_AREA))


def _middle_of_face(photograph: Image, pose: HeadPose) -> Floats:
    """Cut out the luma of the middle of the face, 0 to 1."""
    height, width = photograph.shape[:2]
    x, y = pose.place(0, 0.5)
    reach = max(1.1 * pose.unit_px, 6)
    top, left = int(np.clip(y - reach, 0, height - 1)), int(np.clip(x - reach, 0, width - 1))
    bottom, right = int(np.clip(y + reach, top + 1, height)), int(np.clip(x + reach, left + 1, width))
    return np.asarray(photograph[top:bottom, left:right].astype(np.float32) @ LUMA / 255, np.float32)


def _grain(photograph: Image, pose: HeadPose, spread: float) -> float:
    """Estimate the standard deviation of the noise in the face, 0 to 1."""
    luma = _middle_of_face(photograph, pose)
    fine = luma - cv2.GaussianBlur(luma, (0, 0), 1)
    return float(np.clip(np.median(np.abs(fine)) * 1.48 * 0.8, 0, 0.04))


def _blur(photograph: Image, pose: HeadPose) -> float:
    """Estimate softness from how much finer structure there is than coarser: enlarged photographs have none."""
    luma = _middle_of_face(photograph, pose)
    once, twice = cv2.GaussianBlur(luma, (0, 0), 1), cv2.GaussianBlur(luma, (0, 0), 2.5)
    ratio = float((luma - once).std() / ((once - twice).std() + 1e-4))
    return float(np.interp(ratio, [0.25, 0.6], [1.3, 0.45]))
