"""Edge tangent flow, smoothing along it, and an illustrator's lines (flow-based difference of Gaussians)."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from deployments.algorithms.styles.techniques.planes import Plane, blur, luma, mix, ramp, shifted


@dataclass(frozen=True, slots=True)
class Flow:
    """Unit vectors along the edges, sign without meaning; `[H, W]` each."""

    x: Plane
    y: Plane


def edge_flow(picture: Plane, sigma: float) -> Flow:
    """Compute the minor eigenvectors of the structure tensor, smoothed by `sigma`, and by six times that on empty
    ground."""
    dx = cv2.Sobel(picture, cv2.CV_32F, 1, 0, ksize=3, scale=0.25)
    dy = cv2.Sobel(picture, cv2.CV_32F, 0, 1, ksize=3, scale=0.25)
    tensor = np.stack([dx * dx, dy * dy, dx * dy], axis=-1)
    if tensor.ndim == 4:
        tensor = tensor.sum(axis=2)
    tensor = blur(tensor, sigma) + 0.05 * blur(tensor, 6 * sigma) + 0.002 * tensor.mean(axis=(0, 1))
    xx, yy, xy = tensor[..., 0], tensor[..., 1], tensor[..., 2]
    # Doubled angles: the direction of the gradient, a quarter turn less is along the edge.
    angle = 0.5 * np.arctan2(2 * xy, xx - yy) + np.float32(np.pi / 2)
    return Flow(np.cos(angle), np.sin(angle))


def smooth_along(plane: Plane, flow: Flow, length: float) -> Plane:
    """Smooth along the flow (line integral convolution) over about `length` pixels each way, by taps that double their
    distance."""
    step = 1.0
    while step < length:
        ahead = shifted(plane, flow.x * step, flow.y * step)
        behind = shifted(plane, flow.x * -step, flow.y * -step)
        plane = 0.5 * plane + 0.25 * (ahead + behind)
        step *= 1.7
    return plane


def coherent(picture: Plane, sigma: float, length: float, rounds: int = 3) -> Plane:
    """Simplify shapes: smooth along edges and sharpen across them, in turn (after Kyprianidis and Kang, "Image and
    video abstraction by coherence-enhancing filtering", 2011)."""
    for _ in range(rounds):
        picture = smooth_along(picture, edge_flow(picture, sigma), length)
        bulge = cv2.Laplacian(blur(luma(picture), max(sigma * 0.6, 0.6)), cv2.CV_32F)
        kernel = np.ones((3, 3), np.uint8)
        darker, brighter = cv2.erode(picture, kernel), cv2.dilate(picture, kernel)
        picture = mix(picture, brighter, ramp(bulge, -0.0005, -0.012) * 0.7)
        picture = mix(picture, darker, ramp(bulge, 0.0005, 0.012) * 0.7)
    return picture


def kuwahara(picture: Plane, radius: float, sharpness: float = 8.0) -> Plane:
    """Replace each pixel by the mean of whichever of eight neighbouring dabs is the most even (generalised
    Kuwahara)."""
    means = blur(picture, radius * 0.5)
    squares = blur(picture * picture, radius * 0.5)
    spread: Plane = np.sqrt(np.maximum(squares - means * means, 0).sum(axis=2))
    total: Plane = np.zeros_like(picture)
    weights: Plane = np.zeros(picture.shape[:2], np.float32)
    for turn in np.arange(8) * np.pi / 4:
        dx, dy = float(np.cos(turn) * radius), float(np.sin(turn) * radius)
        weight = (0.05 / (0.02 + shifted(spread, dx, dy))) ** np.float32(sharpness)
        total += shifted(means, dx, dy) * weight[..., None]
        weights += weight
    return np.asarray(total / weights[..., None], np.float32)


def ink_lines(tones: Plane, flow: Flow, width: float, *, threshold: float = 0.012, softness: float = 0.02) -> Plane:
    """Draw dark lines where tones turn, `[H, W]`, 0 to 1 (flow-based difference of Gaussians, Kang et al. 2007)."""
    difference = smooth_along(blur(tones, width) - blur(tones, width * 1.6), flow, 5 * width)
    return ramp(-difference, threshold, threshold + softness)


def without_specks(lines: Plane, shortest: float) -> Plane:
    """Fade out lines whose connected stroke is shorter than `shortest` pixels."""
    marks = (lines > 0.25).astype(np.uint8)
    count, labels, stats, _ = cv2.connectedComponentsWithStats(marks, connectivity=8)
    if count < 2:
        return lines
    extent = np.hypot(stats[:, cv2.CC_STAT_WIDTH], stats[:, cv2.CC_STAT_HEIGHT])
    keep = np.clip((extent - shortest * 0.6) / (shortest * 0.4 + 1e-6), 0, 1).astype(np.float32)
    keep[0] = 0
    shares = cv2.dilate(keep[labels], np.ones((3, 3), np.uint8))
    return np.asarray(lines * shares, np.float32)
