"""Reference images (reference_only): against attention that is written out as processors of diffusers."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("diffusers")

import diffusers
import torch

from deployments.contracts.arrays import Image
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
LARGE = 128
LARGE_IMAGE = np.full((LARGE, LARGE, 3), (255, 0, 0), np.uint8)
"""For statistics: features of the smallest level have a deviation, and the picture's are others than these."""
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


def draw_with_diffusers(parts: dict[str, Any], image: Image, tell: Callable[[bool], None]) -> Image:
    """Draw an image of the size of a reference, by a UNet that sees the reference before each step. `tell` is told
    whether it sees the reference, and is to keep what it finds there."""
    unet, vae = parts["unet"], parts["vae"]
    told = Conditioner(parts["tokenizer"], parts["text_encoder"]).encode(PROMPT, NEGATIVE, STEPS).at(0)
    words = torch.cat([told.negative, told.positive])
    scheduler = diffusers.EulerDiscreteScheduler.from_config(parts["scheduler"].config, **LINSPACE)
    scheduler.set_timesteps(STEPS)
    own, hiding = (torch.Generator().manual_seed(SEED) for _ in range(2))
    height, width = image.shape[:2]
    x = torch.randn((1, 4, height // 8, width // 8), generator=own) * scheduler.init_noise_sigma
    with torch.no_grad():
        pixels = torch.from_numpy(image.transpose(2, 0, 1))[None].float() / 255 * 2 - 1
        reference = vae.encode(pixels).latent_dist.mean * vae.config.scaling_factor
        for step, timestep in enumerate(scheduler.timesteps):
            sigma = scheduler.sigmas[step]
            hidden = (reference + sigma * torch.randn(reference.shape, generator=hiding)) / (1 + sigma**2) ** 0.5
            for sample, is_keeping in ((hidden, True), (scheduler.scale_model_input(x, timestep), False)):
                tell(is_keeping)
                made = unet(torch.cat([sample, sample]), timestep, encoder_hidden_states=words).sample
            x = scheduler.step(made[:1] + GUIDANCE * (made[1:] - made[:1]), timestep, x)[0]
        pixels = vae.decode(x / vae.config.scaling_factor).sample
    drawn = ((pixels[0] / 2 + 0.5).clamp(0, 1).permute(1, 2, 0) * 255).round().numpy().astype(np.uint8)
    return np.asarray(drawn, np.uint8)


@pytest.mark.parametrize(("mode", "fidelity"), [("balanced", 0.3), ("prompt", 0.0), ("control", 1.0)])
def test_a_reference_is_looked_at_as_the_extension_does(
    engine: DiffusionEngine, models: Path, mode: Any, fidelity: float
) -> None:
    parts = diffusers.StableDiffusionPipeline.from_pretrained(models / "checkpoints" / CHECKPOINT).components
    unet = parts["unet"]
    processors = {name: Looking(fidelity) for name in unet.attn_processors if "attn1" in name}
    unet.set_attn_processor({**unet.attn_processors, **processors})

    def tell(is_keeping: bool) -> None:
        for processor in processors.values():
            processor.is_keeping = is_keeping

    expected = draw_with_diffusers(parts, IMAGE, tell)
    ours = make_one(engine, references=(Reference(IMAGE, 0.3, mode=mode),))
    assert difference(ours, expected) <= 1
    assert difference(ours, make_one(engine)) > 3


BLOCKS = [
    ("mid_block", 0.0),
    *((f"down_blocks.{name}", weight) for name, weight in zip(
        ("1.attentions.0", "1.attentions.1", "2.attentions.0", "2.attentions.1", "3.resnets.0", "3.resnets.1"),
        (2.0, 1.66667, 1.33333, 1.0, 0.66667, 0.33333),
        strict=True,
    )),
    *((f"up_blocks.{name}", weight) for name, weight in zip(
        (
            "0.resnets.0", "0.resnets.1", "0.upsamplers.0", "1.attentions.0", "1.attentions.1", "1.upsamplers.0",
            "2.attentions.0", "2.attentions.1",
        ),
        (0.0, 0.25, 0.5, 0.75, 1.0, 1.25, 1.5, 1.75),
        strict=True,
    )),
]  # fmt: skip
"""Blocks of SD 1 whose statistics are taken over, each with the weight over which they are, as the extension has it:
the middle, its input blocks 4, 5, 7, 8, 10 and 11, and its output blocks 0 to 7."""


@pytest.mark.parametrize("how", ["statistics", "both"])
@pytest.mark.parametrize(
    ("weight", "mode", "fidelity"), [(1.8, "balanced", 0.3), (1.6, "prompt", 0.0), (2, "control", 1)]
)
def test_statistics_of_a_reference_are_taken_over_as_the_extension_does(
    engine: DiffusionEngine, models: Path, how: Any, weight: float, mode: Any, fidelity: float
) -> None:
    parts = diffusers.StableDiffusionPipeline.from_pretrained(models / "checkpoints" / CHECKPOINT).components
    unet = parts["unet"]
    looking = [(f"{name}.processor", Looking(fidelity)) for name in attention_order(unet)]
    acting = looking[: -(-int(len(looking) * min(weight, 1) * 1e6) // 1_000_000)] if how == "both" else []
    unet.set_attn_processor({**unet.attn_processors, **dict(acting)})
    blocks = [unet.get_submodule(name) for name, least in BLOCKS if weight > least]
    kept: dict[Any, Any] = {}
    state = {"keeping": True}

    def settle(module: Any, _: Any, made: Any) -> Any:
        features = made[0] if isinstance(made, tuple) else made
        mean, variance = features.mean((2, 3), keepdim=True), features.var((2, 3), keepdim=True, correction=0)
        deviation = variance.clamp(min=1e-6).sqrt()
        if state["keeping"]:
            kept[module] = (mean, deviation)
            return made
        changed = (features - mean) / deviation * kept[module][1] + kept[module][0]
        changed[:1] = fidelity * features[:1] + (1 - fidelity) * changed[:1]
        return (changed,) if isinstance(made, tuple) else changed

    for block in blocks:
        block.register_forward_hook(settle)

    def tell(is_keeping: bool) -> None:
        state["keeping"] = is_keeping
        for _, processor in acting:
            processor.is_keeping = is_keeping

    size = {"width": LARGE, "height": LARGE}
    expected = draw_with_diffusers(parts, LARGE_IMAGE, tell)
    ours = make_one(engine, **size, references=(Reference(LARGE_IMAGE, 0.3, weight, mode=mode, how=how),))
    assert difference(ours, expected) <= 1
    assert difference(ours, make_one(engine, **size)) > 3


def attention_order(unet: Any) -> list[str]:
    """Names of the self-attentions in the order in which a weight takes them: all are of one width here."""
    return [name for name, module in unet.named_modules() if name.endswith("attn1")]


def test_the_ways_of_a_reference_make_pictures_of_their_own(engine: DiffusionEngine) -> None:
    size = {"width": LARGE, "height": LARGE}
    made = [
        make_one(engine, **size, references=(Reference(LARGE_IMAGE, how=how),))
        for how in ("attention", "statistics", "both")
    ]
    assert not any(np.array_equal(one, other) for place, one in enumerate(made) for other in made[:place])


def test_a_reference_without_weight_or_outside_its_window_changes_nothing_and_leaves_no_trace(
    engine: DiffusionEngine,
) -> None:
    plain = make_one(engine)
    for how in ("attention", "statistics", "both"):
        for reference in (Reference(IMAGE, weight=0.0, how=how), Reference(IMAGE, start=1.0, how=how)):
            np.testing.assert_array_equal(make_one(engine, references=(reference,)), plain)
        make_one(engine, references=(Reference(IMAGE, how=how),))
    np.testing.assert_array_equal(make_one(engine), plain)


@pytest.mark.parametrize("how", ["attention", "statistics", "both"])
def test_a_picture_with_a_reference_is_the_same_alone_and_in_a_batch(engine: DiffusionEngine, how: Any) -> None:
    own = a_request(references=(Reference(IMAGE, how=how),), sampler="Euler a")
    other = replace(own, seed=1, references=(Reference(an_image((SIZE, SIZE), 12), how=how),))
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
