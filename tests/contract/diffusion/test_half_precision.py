"""VAEs that overflow in half precision: no image is black, and the VAE stays in float32."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("diffusers")

import torch

from deployments.contracts.diffusion import Hires
from deployments.engines.diffusion.vaes import decode, encode
from tests.support.builders import an_image
from tests.support.diffusing import SIZE, a_request, an_engine, difference, make, make_one
from tests.support.tiny_diffusion import VAE, build_vae


@pytest.fixture
def models(tiny_models: Path, tmp_path: Path) -> Path:
    """Models with a VAE that overflows in its middle, where its norms make it good again in float32."""
    folder = Path(shutil.copytree(tiny_models, tmp_path / "models"))
    vae = build_vae(2)
    with torch.no_grad():
        for convolution in (vae.decoder.conv_in, vae.encoder.conv_in):
            convolution.weight *= 3e4
            convolution.bias *= 3e4
    vae.save_pretrained(folder / "vaes" / "wild")
    return folder


def test_an_overflowing_vae_is_run_again_in_float32_and_stays_there(models: Path) -> None:
    engine = an_engine(models, dtype="float16")
    (first,) = make(engine, a_request(vae="wild"))
    assert [text for text in first.warnings if "float32" in text]
    assert np.ptp(first.image) > 50
    assert difference(first.image, make_one(an_engine(models), vae="wild")) <= 24
    (second,) = make(engine, a_request(vae="wild"))
    assert second.warnings == ()
    assert difference(first.image, second.image) == 0


def test_an_overflow_while_encoding_is_mended_as_well(models: Path) -> None:
    engine = an_engine(models, dtype="float16")
    picture = an_image((SIZE, SIZE), 5)
    (made,) = make(engine, a_request(vae="wild", init_image=picture, denoising_strength=0.3))
    assert np.ptp(made.image) > 50
    exact = make_one(an_engine(models), vae="wild", init_image=picture, denoising_strength=0.3)
    assert difference(made.image, exact) <= 24


def test_a_mended_vae_serves_both_passes_of_hires_fix(models: Path) -> None:
    hires = Hires(2 * SIZE, 2 * SIZE, 2, 0.5, upscaler="Lanczos")
    (made,) = make(an_engine(models, dtype="float16"), a_request(vae="wild", hires=hires))
    assert made.image.shape == (2 * SIZE, 2 * SIZE, 3)
    assert np.ptp(made.image) > 50


def test_a_vae_that_does_not_overflow_stays_in_half_precision(models: Path) -> None:
    engine = an_engine(models, dtype="float16")
    (made,) = make(engine, a_request(vae=VAE))
    assert made.warnings == ()
    with engine.models.cache.lease() as lease:
        assert engine.models.vae(lease, VAE, engine.models.checkpoint(lease, "")).dtype == torch.float16


def test_a_rescue_changes_nothing_for_the_other_images_of_a_batch(models: Path) -> None:
    """One of two images overflows; the other is what it would be beside one that does not."""
    vae = build_vae(2).to(torch.float16)
    latents = torch.randn((2, 4, 8, 8), generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        undisturbed = decode(vae, latents)
    assert vae.dtype == torch.float16
    with torch.no_grad():
        both = decode(vae, torch.stack([latents[0], latents[1] * 1e5]))
    assert vae.dtype == torch.float32
    assert both.isfinite().all()
    assert torch.equal(both[:1], undisturbed[:1])


@pytest.mark.parametrize("way", [encode, decode])
def test_images_that_are_coded_together_are_those_that_are_coded_alone(way: Any) -> None:
    vae = build_vae(2)
    given = torch.randn((3, 3 if way is encode else 4, 16, 16), generator=torch.Generator().manual_seed(0))
    together = way(vae, given)
    for row in range(3):
        torch.testing.assert_close(together[row, None], way(vae, given[row, None]), rtol=1e-4, atol=1e-4)
