"""Refiner: another checkpoint that takes over the last steps of a pass, as A1111's `refiner_switch_at` says."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from deployments.algorithms.a1111.samplers import count_calls
from deployments.contracts.diffusion import GenerationRequest
from deployments.engines.diffusion.conditioning import Conditioner, Conditioning, StepConditioning
from deployments.engines.diffusion.loading import Checkpoint
from deployments.engines.diffusion.textual_inversions import TextualInversions
from deployments.errors import NotSupported

_LAST_TIMESTEP, _TIMESTEPS = 999, 1000
_SCORES = (2.5, 6.0)
"""Aesthetic scores that SDXL's refiner is told of the negative and the positive prompt; A1111's defaults."""
_RESIDUALS = ("down_block_additional_residuals", "mid_block_additional_residual")


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
    conditioner = Conditioner(tokenizer, encoder, inversions, second, is_refiner=refiner.text_encoder is None)
    prompt, negative, first = request.prompt, request.negative_prompt, None
    calls = count_calls(request.sampler, request.steps)
    if hires := request.hires:
        prompt, negative, first = hires.prompt or prompt, hires.negative_prompt or negative, calls
        calls = count_calls(hires.sampler or request.sampler, hires.steps)
    clip_skip = request.clip_skip if refiner.skips_layers else 1
    return conditioner.encode(prompt, negative, calls, clip_skip=clip_skip, first_pass_steps=first)


class SwitchingUnet:
    """UNet in the place of the base's: it asks the refiner's from the timestep on that is said. ControlNets act on the
    base alone."""

    def __init__(self, base: Any, refiner: Refiner, size: tuple[int, int], *, guided: bool) -> None:
        """`size`: width and height of the pictures. `guided`: the batch holds the unconditional halves first."""
        self._base, self._refiner, self._size, self._guided = base, refiner, size, guided
        self.call = 0
        """Number of the call that comes next."""

    def __getattr__(self, name: str) -> Any:
        return getattr(self._base, name)

    def __call__(self, sample: Any, timestep: Any, encoder_hidden_states: Any, **options: Any) -> Any:
        import torch

        if not self._refiner.takes_over(float(timestep)):
            return self._base(sample, timestep, encoder_hidden_states=encoder_hidden_states, **options)
        rows = self.current()
        halves = [[row.negative for row in rows], [row.positive for row in rows]]
        states = torch.cat([embeddings for half in halves[0 if self._guided else 1 :] for embeddings in half])
        options = {name: value for name, value in options.items() if name not in _RESIDUALS}
        options["added_cond_kwargs"] = self._added(rows, states)
        unet = self._refiner.checkpoint.unet
        own = sample[:, : unet.config.in_channels]
        return unet(own, timestep, encoder_hidden_states=states, **options)

    def current(self) -> list[StepConditioning]:
        """Prompts of the rows at the present call, as the refiner sees them."""
        return [conditioning.at(self.call) for conditioning in self._refiner.conditionings]

    def _added(self, rows: Sequence[StepConditioning], states: Any) -> dict[str, Any] | None:
        """What SDXL and its refiner are told besides: the pooled prompts, sizes, and to the refiner a score."""
        import torch

        if rows[0].negative_pooled is None:
            return None
        pooled = [[row.negative_pooled for row in rows], [row.conditions[0].pooled for row in rows]]
        width, height = self._size
        is_refiner = self._refiner.checkpoint.family == "sdxl-refiner"
        ids = [[height, width, 0, 0, *([score] if is_refiner else [height, width])] for score in _SCORES]
        first = 0 if self._guided else 1
        return {
            "text_embeds": torch.cat([one for half in pooled[first:] for one in half]),
            "time_ids": torch.tensor(
                [own for own in ids[first:] for _ in rows], dtype=states.dtype, device=states.device
            ),
        }
