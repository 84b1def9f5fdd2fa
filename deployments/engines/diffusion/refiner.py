"""Refiner: another checkpoint that takes over the last steps of a pass, as A1111's `refiner_switch_at` says."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from deployments.algorithms.a1111.samplers import count_calls
from deployments.contracts.diffusion import GenerationRequest
from deployments.engines.diffusion.conditioning import Conditioner, Conditioning
from deployments.engines.diffusion.loading import Checkpoint
from deployments.engines.diffusion.textual_inversions import TextualInversions
from deployments.errors import NotSupported

_LAST_TIMESTEP, _TIMESTEPS = 999, 1000


@dataclass(frozen=True)
class Refiner:
    """A refiner of one pass, with the rows' prompts as its own text encoders see them."""

    checkpoint: Checkpoint
    switch_at: float
    """Share of the noise's way, 0 to 1, after which it takes over."""
    conditionings: Sequence[Conditioning]

    def takes_over(self, timestep: float) -> bool:
        """Say whether it makes the step at `timestep`."""
        return (_LAST_TIMESTEP - round(timestep)) / _TIMESTEPS >= self.switch_at


def check_refiner(refiner: Checkpoint, base: Checkpoint) -> None:
    """Check that a refiner goes on where the base ends. Raises `NotSupported`."""
    names = f"The refiner '{refiner.model.name}' does not fit the checkpoint '{base.model.name}'"
    if refiner.family.removesuffix("-refiner") != base.family:
        raise NotSupported(f"{names}: it is of another family.", extra={"model": refiner.model.name})
    predicted = [one.scheduler.config.get("prediction_type", "epsilon") for one in (refiner, base)]
    if predicted[0] != predicted[1] or (refiner.is_for_inpainting and not base.is_for_inpainting):
        raise NotSupported(f"{names}: it was trained for something else.", extra={"model": refiner.model.name})


def encode_for(refiner: Checkpoint, request: GenerationRequest, inversions: TextualInversions) -> Conditioning:
    """Encode a request's prompts as a refiner sees them: those of the second pass where there are two."""
    tokenizer, encoder, second = refiner.conditioner_parts
    conditioner = Conditioner(
        tokenizer,
        encoder,
        inversions,
        second,
        is_refiner=refiner.text_encoder is None,
        emphasis=request.emphasis,
        pad=request.pad_prompts,
    )
    prompt, negative, first = request.prompt, request.negative_prompt, None
    calls = count_calls(request.sampler, request.steps)
    if hires := request.hires:
        prompt, negative, first = hires.prompt or prompt, hires.negative_prompt or negative, calls
        calls = count_calls(hires.sampler or request.sampler, hires.steps)
    clip_skip = request.clip_skip if refiner.skips_layers else 1
    return conditioner.encode(prompt, negative, calls, clip_skip=clip_skip, first_pass_steps=first)
