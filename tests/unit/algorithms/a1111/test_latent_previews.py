"""Previews of latents by a linear projection."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from deployments.algorithms.a1111.latent_previews import project


def latents(*channels: float) -> np.ndarray:
    return np.asarray(channels, np.float16)[:, None, None].repeat(2, axis=1).repeat(3, axis=2)


@pytest.mark.parametrize(
    ("family", "channels", "rgb"),
    [
        ("sd1", (0, 0, 0, 0), [128, 128, 128]),
        ("sd1", (1, 0, 0, 0), [165, 154, 154]),
        ("sd2", (0, 0, 0, 1), [104, 93, 67]),
        ("", (0, 1, 0, 0), [151, 164, 150]),
        ("sdxl", (1, 0, 0, 0), [171, 181, 184]),
        ("sdxl", (0, 0, 0, 1), [80, 96, 101]),
    ],
)
def test_each_channel_adds_its_colour(family: str, channels: tuple[float, ...], rgb: list[int]) -> None:
    image = project(latents(*channels), family)
    assert image is not None
    assert image.shape == (2, 3, 3)
    assert image[1, 2].tolist() == rgb


def test_latents_of_another_family_have_no_preview() -> None:
    assert project(np.zeros((16, 4, 4), np.float16), "sd3") is None
    assert project(np.zeros((4, 4), np.float16), "sd1") is None


@given(arrays(np.float16, (4, 3, 2), elements=st.floats(width=16, allow_nan=True)))
def test_any_numbers_make_a_preview(given_latents: np.ndarray) -> None:
    image = project(given_latents, "sdxl")
    assert image is not None
    assert (image.shape, image.dtype) == ((3, 2, 3), np.uint8)
