"""Photographs, pages and edits for the tests of duplicates: bundled with scikit-image or drawn here, all seeded."""

from __future__ import annotations

import io
import random
from collections.abc import Callable

import cv2
import numpy as np
import skimage.data
from PIL import Image as PillowImage
from PIL import ImageDraw, ImageFont

from deployments.contracts.arrays import Image

_WORDS = (
    "time people way water day part sound work place year live give back thing name good man sentence think say great "
    "help line cause much mean before move right boy old same tell does set three want air well also play small end"
).split()


def photo(name: str) -> Image:
    """Load one of scikit-image's bundled images, RGB."""
    pixels = getattr(skimage.data, name)()
    return np.ascontiguousarray(pixels if pixels.ndim == 3 else np.repeat(pixels[..., None], 3, axis=2))


def text_page(seed: int, changed: float = 0.0, size: int = 20) -> Image:
    """Draw a page of text; `changed` of its lines read differently, the others stand as they are."""
    words, other = random.Random(seed), random.Random(seed + 1000)
    page = PillowImage.new("RGB", (700, 960), (252, 252, 250))
    draw = ImageDraw.Draw(page)
    font = ImageFont.load_default(size)
    tops = range(60, 900, round(size * 1.45))
    changed_lines = set(random.Random(seed).sample(range(len(tops)), round(changed * len(tops))))
    for number, top in enumerate(tops):
        line = " ".join(words.choices(_WORDS, k=9))
        if number in changed_lines:
            line = " ".join(other.choices(_WORDS, k=9))
        draw.text((60, top), line, font=font, fill=(25, 25, 25))
    return np.asarray(page)


def form(seed: int, values: int) -> Image:
    """Draw a form whose labels come from `seed` and whose filled-in values come from `values`."""
    labels, filled = random.Random(seed), random.Random(values)
    page = PillowImage.new("RGB", (800, 1000), "white")
    draw = ImageDraw.Draw(page)
    draw.rectangle((0, 0, 800, 80), fill=(30, 60, 120))
    draw.text((40, 20), "APPLICATION", font=ImageFont.load_default(34), fill="white")
    font = ImageFont.load_default(21)
    for top in range(120, 960, 60):
        draw.text((40, top), " ".join(labels.choices(_WORDS, k=2)) + ":", font=font, fill=(60, 60, 60))
        draw.rectangle((280, top - 8, 760, top + 34), outline=(120, 120, 120), width=2)
        draw.text((292, top), " ".join(filled.choices(_WORDS, k=3)), font=font, fill=(10, 10, 10))
    return np.asarray(page)


def chat(seed: int, messages: int) -> Image:
    """Draw a screenshot of a chat: the same frame, messages from `messages`."""
    said = random.Random(messages)
    page = PillowImage.new("RGB", (540, 1000), (236, 229, 221))
    draw = ImageDraw.Draw(page)
    font = ImageFont.load_default(20)
    draw.rectangle((0, 0, 540, 90), fill=(7, 94, 84))
    draw.text((70, 30), " ".join(random.Random(seed).choices(_WORDS, k=2)), font=font, fill="white")
    top = 110
    while top < 880:
        lines = [" ".join(said.choices(_WORDS, k=said.randint(2, 5))) for _ in range(said.randint(1, 3))]
        width = max(draw.textlength(line, font=font) for line in lines) + 30
        left = 540 - width - 15 if said.random() < 0.5 else 15
        bottom = top + 28 * len(lines) + 20
        draw.rounded_rectangle((left, top, left + width, bottom), 14, fill="white")
        for number, line in enumerate(lines):
            draw.text((left + 15, top + 10 + 28 * number), line, font=font, fill=(20, 20, 20))
        top = bottom + 14
    return np.asarray(page)


def jpeg(image: Image, quality: int) -> Image:
    stored = io.BytesIO()
    PillowImage.fromarray(image).save(stored, "JPEG", quality=quality)
    return np.asarray(PillowImage.open(stored).convert("RGB"))


def resized(image: Image, long_side: int) -> Image:
    height, width = image.shape[:2]
    scale = long_side / max(height, width)
    return cv2.resize(image, (round(width * scale), round(height * scale)), interpolation=cv2.INTER_AREA)


def cropped(image: Image, share: float) -> Image:
    height, width = image.shape[:2]
    top, left = round(height * (1 - share) * 0.3), round(width * (1 - share) * 0.7)
    return image[top : top + round(height * share), left : left + round(width * share)].copy()


def turned(image: Image, degrees: float) -> Image:
    height, width = image.shape[:2]
    matrix = cv2.getRotationMatrix2D((width / 2, height / 2), degrees, 1)
    return cv2.warpAffine(image, matrix, (width, height), flags=cv2.INTER_CUBIC, borderValue=(235, 235, 230))


def bordered(image: Image) -> Image:
    height, width = image.shape[:2]
    pad = width // 12
    framed = np.full((height + 2 * pad + height // 8, width + 2 * pad, 3), 255, np.uint8)
    framed[pad : pad + height, pad : pad + width] = image
    cv2.putText(framed, "a day in june", (pad, height + pad + height // 10), 0, width / 500, (60, 60, 60), 1)
    return framed


def screenshot(image: Image) -> Image:
    height, width = image.shape[:2]
    screen = np.full((height + width // 2, width, 3), 30, np.uint8)
    screen[width // 5 : width // 5 + height] = image
    cv2.putText(screen, "12:41", (10, width // 12), 0, width / 600, (240, 240, 240), 1, cv2.LINE_AA)
    for place in (1, 3, 5, 7):
        cv2.circle(screen, (width * place // 8, height + width // 3), width // 24, (200, 200, 200), 2)
    return screen


def watermarked(image: Image) -> Image:
    marked = image.copy()
    height, width = image.shape[:2]
    at = (width // 10, height * 6 // 10)
    cv2.putText(marked, "(c) photo.example", at, 0, width / 420, (255, 255, 255), 3, cv2.LINE_AA)
    return ((image.astype(np.uint16) + marked) // 2).astype(np.uint8)


def grayed(image: Image) -> Image:
    return np.repeat(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)[..., None], 3, axis=2)


def darkened(image: Image) -> Image:
    return (255 * (image / 255.0) ** 2.2).astype(np.uint8)


def rescanned(image: Image) -> Image:
    """Rescan an image: turned a little, unevenly lit, noisy, blurred, smaller, compressed."""
    askew = turned(image, 1.3)
    light = np.linspace(0.85, 1, image.shape[1])[None, :, None]
    noise = np.random.default_rng(0).normal(0, 5, image.shape)
    worse = np.clip(askew * light + noise, 0, 255).astype(np.uint8)
    return jpeg(cv2.GaussianBlur(resized(worse, round(max(image.shape) * 0.8)), (0, 0), 0.8), 60)


def subject_moved(image: Image, shift: float = 0.06) -> Image:
    """Make a second shot from a tripod: the middle of the image has moved, the rest has not."""
    height, width = image.shape[:2]
    short = min(height, width)
    y, x = np.mgrid[:height, :width].astype(np.float32)
    inside = (np.hypot(x - width / 2, y - height / 2) < short * 0.2).astype(np.float32)
    inside = cv2.GaussianBlur(inside, (0, 0), 2)[..., None]
    shifted = cv2.warpAffine(image, np.float32([[1, 0, shift * short], [0, 1, shift * short / 2]]), (width, height))
    return (image * (1 - inside) + shifted * inside).astype(np.uint8)


def other_viewpoint(image: Image, amplitude: float = 0.012, seed: int = 0) -> Image:
    """Make a hand-held second shot: everything is displaced a little, by its depth."""
    draw = np.random.default_rng(seed)
    height, width = image.shape[:2]
    short = min(height, width)
    shifts = [cv2.GaussianBlur(draw.normal(size=(height, width)).astype(np.float32), (0, 0), short / 14) for _ in "xy"]
    shifts = [shift / shift.std() * amplitude * short for shift in shifts]
    y, x = np.mgrid[:height, :width].astype(np.float32)
    return cv2.remap(image, x + shifts[0], y + shifts[1], cv2.INTER_CUBIC, borderMode=cv2.BORDER_REFLECT)


def photographed(image: Image) -> Image:
    """Photograph a print from the side."""
    height, width = image.shape[:2]
    corners = np.float32([[0, 0], [width, 0], [width, height], [0, height]])
    seen = np.float32([[width * 0.2, height * 0.1], [width, 0], [width * 0.94, height], [0, height * 0.8]])
    matrix = cv2.getPerspectiveTransform(corners, seen)
    return cv2.warpPerspective(image, matrix, (width, height), borderValue=(90, 80, 70))


EDITS: dict[str, Callable[[Image], Image]] = {
    "jpeg_10": lambda image: jpeg(image, 10),
    "small": lambda image: resized(image, 150),
    "tiny": lambda image: resized(image, 56),
    "crop_60": lambda image: cropped(image, 0.6),
    "gray": grayed,
    "dark": darkened,
    "blurred": lambda image: cv2.GaussianBlur(image, (0, 0), 1.5),
    "mirrored": lambda image: image[:, ::-1].copy(),
    "quarter_turn": lambda image: np.rot90(image).copy(),
    "mirrored_crop_jpeg": lambda image: jpeg(cropped(image[:, ::-1], 0.75), 40),
    "turned_4": lambda image: turned(image, 4),
    "watermark": watermarked,
    "border": bordered,
    "screenshot": screenshot,
}


def starry_sky(seed: int) -> Image:
    """Draw 2,000 stars, of which few are bright, on a sky that is nearly black."""
    random = np.random.default_rng(seed)
    sky = np.full((640, 640), 14, np.float32)
    brightness = np.minimum(4 + 20 * random.pareto(1.5, 2000), 700)
    for x, y, peak in zip(*random.integers(20, 620, (2, 2000)), brightness, strict=True):
        profile = cv2.getGaussianKernel(31, 1 + min(3.0, peak / 200))
        sky[y - 15 : y + 16, x - 15 : x + 16] += peak * (profile @ profile.T) / profile.max() ** 2
    sky = sky[20:-20, 20:-20] + random.normal(0, 1, (600, 600))
    return np.dstack([sky, 0.95 * sky, 0.9 * sky]).clip(0, 255).astype(np.uint8)
