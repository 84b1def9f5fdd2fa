"""Edits of tone, colour and sharpness: filters, HDR, night modes, few colours, compression."""

from __future__ import annotations

import cv2
import numpy as np
from PIL import Image as PillowImage

from bench.quality.copies.drawing import Random, blurred, clipped, jpeg, noisy
from deployments.contracts.arrays import Image


def colour_filter(photo: Image, draw: Random) -> Image:
    """Mix the channels anew, bend each one's curve and darken the corners."""
    height, width = photo.shape[:2]
    mix = np.eye(3) * 0.75 + draw.uniform(0, 0.2, (3, 3))
    bent = np.clip(photo / 255.0 @ mix.T, 0, 1) ** draw.uniform(0.6, 1.6, 3)
    y, x = np.mgrid[-1 : 1 : height * 1j, -1 : 1 : width * 1j]
    return jpeg(clipped(255 * bent * (1 - 0.3 * (x * x + y * y)[..., None] / 2)), 85)


def posterised(photo: Image, draw: Random) -> Image:
    """Keep 3 to 5 levels a channel."""
    levels = int(draw.integers(3, 6))
    return clipped(np.round(photo / 255.0 * (levels - 1)) * 255 / (levels - 1))


def single_channel(photo: Image, draw: Random) -> Image:
    """Show one channel as grey, or the picture through one channel alone."""
    channel = int(draw.integers(3))
    if draw.random() < 0.5:
        return np.repeat(photo[..., channel : channel + 1], 3, axis=2)
    alone = np.zeros_like(photo)
    alone[..., channel] = photo[..., channel]
    return alone


def grey(photo: Image, draw: Random) -> Image:
    """Turn to grey, with more contrast."""
    level = cv2.cvtColor(photo, cv2.COLOR_RGB2GRAY).astype(np.float32)
    return np.repeat(clipped((level - 128) * draw.uniform(1, 1.5) + 128)[..., None], 3, axis=2)


def sepia(photo: Image, draw: Random) -> Image:
    """Turn to brown, with grain."""
    tone = photo @ np.array([[0.393, 0.349, 0.272], [0.769, 0.686, 0.534], [0.189, 0.168, 0.131]])
    return jpeg(noisy(clipped(tone), draw, 8), 80)


def hdr(photo: Image, draw: Random) -> Image:
    """Map tones by local contrast, strongly."""
    lab = cv2.cvtColor(photo, cv2.COLOR_RGB2LAB)
    tiles = int(draw.integers(4, 9))
    lab[..., 0] = cv2.createCLAHE(float(draw.uniform(3, 6)), (tiles, tiles)).apply(lab[..., 0])
    mapped = cv2.cvtColor(lab, cv2.COLOR_LAB2RGB).astype(np.float32)
    return jpeg(clipped(mapped + 0.5 * (mapped - blurred(mapped, 10))), 85)


def night_mode(photo: Image, draw: Random) -> Image:
    """Lift a dark picture and smooth its noise away, as phones do."""
    dark = noisy(clipped(255 * (photo / 255.0) ** 1.4 * 0.35), draw, 2.5)
    lifted = clipped(255 * np.clip(dark / 90.0, 0, 1) ** 0.7)
    return jpeg(cv2.bilateralFilter(lifted, 7, 40, 5), 80)


def darkened(photo: Image, draw: Random) -> Image:
    """Darken by a curve."""
    return jpeg(clipped(255 * (photo / 255.0) ** draw.uniform(1.8, 2.6)), 85)


def overexposed(photo: Image, draw: Random) -> Image:
    """Brighten until the lights are clipped."""
    return jpeg(clipped(photo * draw.uniform(1.4, 1.9)), 85)


def portrait_blur(photo: Image, draw: Random) -> Image:
    """Blur everything but an ellipse around the middle."""
    height, width = photo.shape[:2]
    y, x = np.mgrid[-1 : 1 : height * 1j, -1 : 1 : width * 1j]
    at_x, at_y = draw.uniform(-0.15, 0.15, 2)
    inside = (np.hypot((x - at_x) / 0.55, (y - at_y) / 0.7) < 1).astype(np.float32)
    mask = blurred(inside, 0.02 * max(height, width))[..., None]
    soft = blurred(photo.astype(np.float32), draw.uniform(0.006, 0.014) * max(height, width))
    return jpeg(clipped(photo * mask + soft * (1 - mask)), 85)


def blurred_all(photo: Image, draw: Random) -> Image:
    """Blur by .3 to .6 % of the longer side."""
    return jpeg(clipped(blurred(photo, draw.uniform(0.003, 0.006) * max(photo.shape[:2]))), 85)


def aggressive_jpeg(photo: Image, draw: Random) -> Image:
    """Store as JPEG at quality 5 to 12."""
    return jpeg(photo, int(draw.integers(5, 13)))


def animation_still(photo: Image, draw: Random) -> Image:
    """Take a still of an animation: 32 to 256 colours, dithered, at half of the size."""
    small = PillowImage.fromarray(photo).resize((photo.shape[1] // 2, photo.shape[0] // 2))
    colours = int(draw.choice([32, 64, 256]))
    return np.asarray(small.quantize(colours, dither=PillowImage.Dither.FLOYDSTEINBERG).convert("RGB"))


KINDS = {
    "colour filter": colour_filter,
    "posterised": posterised,
    "single channel": single_channel,
    "grey": grey,
    "sepia with grain": sepia,
    "HDR": hdr,
    "night mode": night_mode,
    "darkened": darkened,
    "overexposed": overexposed,
    "portrait blur": portrait_blur,
    "blurred": blurred_all,
    "aggressive JPEG": aggressive_jpeg,
    "animation to still": animation_still,
}
