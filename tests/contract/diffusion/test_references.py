"""Reference images (reference_only): against attention that is written out as processors of diffusers."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("diffusers")

import diffusers
import torch

from deployments.contracts.diffusion import ControlHint, Hires, Reference
from deployments.engines.diffusion.conditioning import Conditioner
from deployments.engines.diffusion.engine import DiffusionEngine
from deployments.engines.diffusion.vaes import encode
from deployments.errors import InvalidRequest
from tests.support.builders import an_image
from tests.support.diffusing import NEGATIVE, PROMPT, SIZE, a_mask, a_request, an_engine, difference, make, make_one
from tests.support.stock_samplers import LINSPACE
from tests.support.tiny_diffusion import CHECKPOINT, CONTROLNETS

IMAGE = an_image((SIZE, SIZE), 11)
SEED, STEPS, GUIDANCE = 7, 4, 7.0


@pytest.fixture(scope="module")
def models(tiny_models: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The small models with self-attention that matters."""
    folder = Path(shutil.copytree(tiny_models, tmp_path_factory.mktemp("references") / "models"))
    place = folder / "checkpoints" / CHECKPOINT / "unet"
    unet = diffusers.UNet2DConditionModel.from_pretrained(place)
    with torch.no_grad():
        for name, weight in unet.named_parameters():
            if ".attn1." in name and name.endswith(("to_v.weight", "to_out.0.weight")):
                weight.mul_(6)
    unet.save_pretrained(place)
    return folder


@pytest.fixture(scope="module")
def engine(models: Path) -> DiffusionEngine:
    return an_engine(models)


class Looking:
    """Processor of self-attention that keeps what it sees, or looks at it too."""

    def __init__(self, fidelity: float) -> None:
        self.kept: Any = None
        self.is_keeping = True
        self.fidelity = fidelity
        self._plain = diffusers.models.attention_processor.AttnProcessor()

    def __call__(self, attention: Any, hidden: Any, encoder_hidden_states: Any = None, **_: Any) -> Any:
        if encoder_hidden_states is not None:
            return self._plain(attention, hidden, encoder_hidden_states)
        if self.is_keeping:
            self.kept = hidden
            return self._plain(attention, hidden)
        both = self._plain(attention, hidden, torch.cat([hidden, self.kept], dim=1))
        alone = self._plain(attention, hidden)
        negative = self.fidelity * alone[:1] + (1 - self.fidelity) * both[:1]
        return torch.cat([negative, both[1:]])


@pytest.mark.parametrize(("mode", "fidelity"), [("balanced", 0.3), ("prompt", 0.0), ("control", 1.0)])
def test_a_reference_is_looked_at_as_the_extension_does(
    engine: DiffusionEngine, models: Path, mode: Any, fidelity: float
) -> None:
    parts = diffusers.StableDiffusionPipeline.from_pretrained(models / "checkpoints" / CHECKPOINT).components
    unet, vae = parts["unet"], parts["vae"]
    processors = {name: Looking(fidelity) for name in unet.attn_processors if "attn1" in name}
    unet.set_attn_processor({**unet.attn_processors, **processors})
    told = Conditioner(parts["tokenizer"], parts["text_encoder"]).encode(PROMPT, NEGATIVE, STEPS).at(0)
    words = torch.cat([told.negative, told.positive])
    scheduler = diffusers.EulerDiscreteScheduler.from_config(parts["scheduler"].config, **LINSPACE)
    scheduler.set_timesteps(STEPS)
    own, hiding = (torch.Generator().manual_seed(SEED) for _ in range(2))
    x = torch.randn((1, 4, SIZE // 8, SIZE // 8), generator=own) * scheduler.init_noise_sigma
    with torch.no_grad():
        pixels = torch.from_numpy(IMAGE.transpose(2, 0, 1))[None].float() / 255 * 2 - 1
        reference = vae.encode(pixels).latent_dist.mean * vae.config.scaling_factor
        for step, timestep in enumerate(scheduler.timesteps):
            sigma = scheduler.sigmas[step]
            hidden = (reference + sigma * torch.randn(reference.shape, generator=hiding)) / (1 + sigma**2) ** 0.5
            for sample, is_keeping in ((hidden, True), (scheduler.scale_model_input(x, timestep), False)):
                for processor in processors.values():
                    processor.is_keeping = is_keeping
                made = unet(torch.cat([sample, sample]), timestep, encoder_hidden_states=words).sample
            x = scheduler.step(made[:1] + GUIDANCE * (made[1:] - made[:1]), timestep, x)[0]
        pixels = vae.decode(x / vae.config.scaling_factor).sample
    expected = ((pixels[0] / 2 + 0.5).clamp(0, 1).permute(1, 2, 0) * 255).round().numpy().astype(np.uint8)
    ours = make_one(engine, references=(Reference(IMAGE, 0.3, mode=mode),))
    assert difference(ours, expected) <= 1
    assert difference(ours, make_one(engine)) > 3


def test_a_reference_without_weight_or_outside_its_window_changes_nothing_and_leaves_no_trace(
    engine: DiffusionEngine,
) -> None:
    plain = make_one(engine)
    for reference in (Reference(IMAGE, weight=0.0), Reference(IMAGE, start=1.0)):
        np.testing.assert_array_equal(make_one(engine, references=(reference,)), plain)
    make_one(engine, references=(Reference(IMAGE),))
    np.testing.assert_array_equal(make_one(engine), plain)


def test_a_picture_with_a_reference_is_the_same_alone_and_in_a_batch(engine: DiffusionEngine) -> None:
    own = a_request(references=(Reference(IMAGE),), sampler="Euler a")
    other = replace(own, seed=1, references=(Reference(an_image((SIZE, SIZE), 12)),))
    both = make(engine, other, own)
    assert difference(both[1].image, make(engine, own)[0].image) <= 1


def test_a_reference_acts_in_the_passes_that_it_is_for(engine: DiffusionEngine) -> None:
    hires = Hires(96, 96, 2, 0.6)
    large = an_image((96, 96), 11)
    plain = make_one(engine, hires=hires)
    second = make_one(engine, hires=hires, references=(Reference(large, passes="hires"),))
    first = make_one(engine, hires=hires, references=(Reference(IMAGE, passes="first"),))
    assert min(difference(plain, second), difference(plain, first), difference(first, second)) > 3


@pytest.mark.parametrize(
    "reference",
    [
        Reference(an_image((128, 64))),
        Reference(IMAGE, fidelity=2),
        Reference(IMAGE, weight=3),
        Reference(IMAGE, 0.5, 1, 1, 0),
    ],
)
def test_an_absurd_reference_is_refused(engine: DiffusionEngine, reference: Reference) -> None:
    with pytest.raises(InvalidRequest):
        engine.check(a_request(references=(reference,)))


def test_a_reference_is_seen_without_the_controlnets_of_the_picture(engine: DiffusionEngine) -> None:
    with engine.models.cache.lease() as lease:
        checkpoint = engine.models.checkpoint(lease, "")
        net = engine.models.controlnet(lease, CONTROLNETS["canny"], checkpoint)
    calls: list[int] = []
    hook = net.register_forward_pre_hook(lambda _, args: calls.append(len(args[0])))
    try:
        make_one(engine, references=(Reference(IMAGE),), controls=(ControlHint(CONTROLNETS["canny"], IMAGE),))
    finally:
        hook.remove()
    assert calls == [2] * STEPS


def test_a_network_for_inpainting_sees_the_reference_whole_and_kept(models: Path) -> None:
    source = models / "checkpoints" / CHECKPOINT
    place = models / "checkpoints" / "inpainting"
    shutil.copytree(source, place)
    unet = diffusers.UNet2DConditionModel.from_pretrained(source / "unet")
    unet.conv_in = torch.nn.Conv2d(9, unet.conv_in.out_channels, 3, padding=1)
    unet.register_to_config(in_channels=9)
    unet.save_pretrained(place / "unet")
    engine = an_engine(models, checkpoint="inpainting")
    with engine.models.cache.lease() as lease:
        checkpoint = engine.models.checkpoint(lease, "")
    with torch.no_grad():
        pixels = torch.from_numpy(IMAGE.transpose(2, 0, 1))[None].float() / 255 * 2 - 1
        latents = encode(checkpoint.vae, pixels)
    seen: list[Any] = []
    hook = checkpoint.unet.register_forward_pre_hook(lambda _, args: seen.append(args[0]))
    try:
        make_one(engine, references=(Reference(IMAGE),), init_image=an_image((SIZE, SIZE), 5), mask=a_mask(), steps=2)
    finally:
        hook.remove()
    (first, of_picture) = seen[:2]
    assert torch.equal(first[:, 4:5], torch.zeros_like(first[:, 4:5]))
    torch.testing.assert_close(first[:, 5:], latents.expand(len(first), -1, -1, -1))
    assert of_picture[:, 4:5].mean() == 0.5


def test_in_a_second_pass_only_a_reference_that_leads_is_not_seen_without_the_prompt(engine: DiffusionEngine) -> None:
    hires, large = Hires(96, 96, 2, 0.6), an_image((96, 96), 11)
    balanced, prompt, control = (
        make_one(engine, hires=hires, references=(Reference(large, 0.9, mode=mode, passes="hires"),))  # type: ignore[arg-type]
        for mode in ("balanced", "prompt", "control")
    )
    np.testing.assert_array_equal(balanced, prompt)
    assert difference(balanced, control) > 3
