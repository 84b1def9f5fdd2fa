"""Inpainting in image space as the Stable Diffusion web UI does it: masks, the area to work on, the fill under the
mask, and blending the result over the original.

Masks are `uint8[H, W]`: 255 make anew, 0 keep, between: both.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from deployments.algorithms.a1111.resizing import fit, resize
from deployments.contracts.arrays import Gray, Image
from deployments.contracts.diffusion import ResizeMode

_FILL_SIGMAS = ((256, 1), (64, 1), (16, 2), (4, 4), (2, 2), (0, 1))
"""Blurs of the surroundings, pixels, and how often each is laid over the last: coarse colours first, then detail."""
_BLUR_AT = 8.0
"""Larger blurs are done on a reduced image, where they are this large."""
_RIM_PX, _HALF = 7, 127
"""Pixels by which what was made anew reaches beyond its mask (the extension's `control_net_inpaint_blur_sigma`)."""


@dataclass(frozen=True, slots=True)
class PixelBox:
    """A box in pixels: `left`, `top` inclusive, `right`, `bottom` exclusive."""

    left: int
    top: int
    right: int
    bottom: int

    @property
    def size(self) -> tuple[int, int]:
        """Width and height."""
        return self.right - self.left, self.bottom - self.top

    def cut(self, pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """Cut the box out of `pixels`; returns a copy."""
        return np.ascontiguousarray(pixels[self.top : self.bottom, self.left : self.right])


@dataclass(frozen=True, slots=True)
class InpaintCanvas:
    """Input of the engine, and what its result is laid over."""

    image: Image
    mask: Gray | None = None
    """Mask of the same size; None: all of it is made anew."""
    original: Image | None = None
    """Image kept where `overlay` is 0; None: the result stands alone."""
    overlay: Gray | None = None
    area: PixelBox | None = None
    """Place of the result in `original`; None: all of it."""


def mask_of(image: Image, alpha: Gray | None, *, rounded: bool = True) -> Gray:
    """Convert a client's mask image to a mask: its transparency where it has any, else its brightness; white is made
    anew."""
    if alpha is None:
        return np.asarray(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY), np.uint8)
    return np.where(alpha > 128, 255, 0).astype(np.uint8) if rounded else alpha


def blur_mask(mask: Gray, across: int, down: int) -> Gray:
    """Soften a mask by a Gaussian of so many pixels' standard deviation an axis."""
    if across > 0:
        mask = np.asarray(cv2.GaussianBlur(mask, (_kernel(across), 1), across), np.uint8)
    if down > 0:
        mask = np.asarray(cv2.GaussianBlur(mask, (1, _kernel(down)), 0, sigmaY=down), np.uint8)
    return mask


def is_hiding(mask: Gray) -> bool:
    """Whether `keep_outside` lets anything of the image through."""
    return bool((mask > _HALF).any())


def keep_outside(image: Image, original: Image, mask: Gray) -> Image:
    """Lay an image over its original where `mask` is 255, a few pixels further too, where one fades into the other
    (sd-webui-controlnet: "inpaint_only")."""
    anew = np.where(mask > _HALF, 255, 0).astype(np.uint8)
    wide = cv2.blur(cv2.dilate(anew, np.ones((_RIM_PX, _RIM_PX), np.uint8)), (_RIM_PX, _RIM_PX))
    share = wide[..., None].astype(np.float32) / 255
    return np.asarray(np.rint(image * share + original * (1 - share)), np.uint8)


def _kernel(sigma: int) -> int:
    return 2 * int(2.5 * sigma + 0.5) + 1


def masked_area(mask: Gray, padding: int) -> PixelBox | None:
    """Find the smallest box around what the mask marks, `padding` wider, inside the image; None: nothing is marked."""
    ys, xs = np.nonzero(mask)
    if not len(xs):
        return None
    height, width = mask.shape
    return PixelBox(
        max(0, int(xs.min()) - padding),
        max(0, int(ys.min()) - padding),
        min(width, int(xs.max()) + 1 + padding),
        min(height, int(ys.max()) + 1 + padding),
    )


def widen(box: PixelBox, aspect: tuple[int, int], frame: tuple[int, int]) -> PixelBox:
    """Grow a box to the shape of `aspect` (width, height) as far as `frame` has room; move it inwards where it sticks
    out."""
    width, height = box.size
    wanted = aspect[0] / aspect[1]
    if width / height > wanted:
        top, bottom = _stretch(box.top, box.bottom, round(width / wanted), frame[1])
        return PixelBox(box.left, top, box.right, bottom)
    left, right = _stretch(box.left, box.right, round(height * wanted), frame[0])
    return PixelBox(left, box.top, right, box.bottom)


def _stretch(begin: int, end: int, wanted: int, room: int) -> tuple[int, int]:
    length = min(room, max(wanted, end - begin))
    begin -= (length - (end - begin)) // 2
    begin = min(max(0, begin), room - length)
    return begin, begin + length


def fill_masked(image: Image, mask: Gray) -> Image:
    """Fill in under the mask with the surroundings' colours, the softer the farther from its border."""
    kept = 1 - mask.astype(np.float32)[..., None] / 255
    if not kept.any():
        return image
    known: NDArray[np.float32] = np.concatenate([image.astype(np.float32) * kept, kept], axis=2)  # premultiplied
    out: NDArray[np.float32] = np.zeros_like(known)
    for sigma, times in _FILL_SIGMAS:
        blurred = _blur(known, sigma)
        for _ in range(times):
            out = blurred + out * (1 - blurred[..., 3:])
    return np.clip(np.rint(out[..., :3] / np.maximum(out[..., 3:], 1e-6)), 0, 255).astype(np.uint8)


def _blur(layer: NDArray[np.float32], sigma: float) -> NDArray[np.float32]:
    if sigma == 0:
        return layer
    height, width = layer.shape[:2]
    factor = max(1.0, sigma / _BLUR_AT)
    size = (max(1, round(width / factor)), max(1, round(height / factor)))
    small = cv2.resize(layer, size, interpolation=cv2.INTER_AREA) if factor > 1 else layer
    small = cv2.GaussianBlur(small, (0, 0), sigma / factor, borderType=cv2.BORDER_REPLICATE)
    return np.asarray(cv2.resize(small, (width, height), interpolation=cv2.INTER_LINEAR), np.float32)


def lay_over(result: Image, canvas: InpaintCanvas) -> Image:
    """Blend the engine's image into its place of the original, soft along the mask."""
    if canvas.original is None or canvas.overlay is None:
        return result
    if canvas.area is not None:
        made = canvas.original.copy()
        made[canvas.area.top : canvas.area.bottom, canvas.area.left : canvas.area.right] = fit(
            result, canvas.area.size, "crop"
        )
    else:
        made = resize(result, (canvas.original.shape[1], canvas.original.shape[0]))
    share = canvas.overlay.astype(np.float32)[..., None] / 255
    mixed = made * share + canvas.original * (1 - share)
    return np.clip(np.rint(mixed), 0, 255).astype(np.uint8)


def prepare(
    image: Image,
    mask: Gray | None,
    size: tuple[int, int],
    mode: ResizeMode,
    *,
    only_masked: bool = True,
    padding: int = 0,
    fill: bool = True,
) -> InpaintCanvas:
    """Prepare an image and its (softened) mask for the engine, at `size`.

    `only_masked`: the engine sees the marked area alone, enlarged to `size`, and the result keeps the image's own
    size. An empty mask then means none at all. `fill`: see `fill_masked`.
    """
    if mask is None:
        return InpaintCanvas(fit(image, size, mode))
    if only_masked:
        frame = (image.shape[1], image.shape[0])
        mask = resize(mask, frame)
        area = masked_area(mask, padding)
        if area is None:
            return InpaintCanvas(fit(image, size, mode))
        area = widen(area, size, frame)
        canvas, small = fit(area.cut(image), size, "fill"), fit(area.cut(mask), size, "fill")
        return InpaintCanvas(fill_masked(canvas, small) if fill else canvas, small, image, mask, area)
    canvas, small = fit(image, size, mode), fit(mask, size, mode)
    return InpaintCanvas(fill_masked(canvas, small) if fill else canvas, small, canvas, firm(small))


def firm(mask: Gray) -> Gray:
    """Double a mask's values, as results are laid over whole images: none of the original where half was made anew."""
    return np.clip(mask.astype(np.uint16) * 2, 0, 255).astype(np.uint8)
