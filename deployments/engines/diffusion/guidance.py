"""Classifier-free guidance over a UNet: prompts that AND joins, ControlNets, a refiner for the last steps.

Conditions of equal length share a call of the UNet; others are asked for apart, as A1111 does. What goes into the
networks has their precision, what comes out is float32.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import partial
from typing import Any, NamedTuple

from deployments.engines.diffusion.colour_fix import put_back_colours
from deployments.engines.diffusion.conditioning import Condition, StepConditioning
from deployments.engines.diffusion.controlnets import add_residuals, window
from deployments.engines.diffusion.graphs import Graphs, Inputs
from deployments.engines.diffusion.image_prompts import ImagePromptPass, looking_at
from deployments.engines.diffusion.loading import Checkpoint
from deployments.engines.diffusion.passes import Control, DenoisePass
from deployments.engines.diffusion.references import HiddenReference, predict_with_references
from deployments.engines.diffusion.refiner import Refiner
from deployments.engines.diffusion.sigmas import NoiseLevels


class Prediction(NamedTuple):
    """Prediction of a model, `float32[N, C, h, w]`: noise or v, as it was trained to."""

    guided: Any
    unconditional: Any
    """Prediction without the prompt; `guided` where the pass has no guidance."""


class _Ask(NamedTuple):
    row: int
    condition: Condition
    is_negative: bool = False


class GuidedModel:
    """Model of one pass with the prompts of its rows."""

    def __init__(
        self, checkpoint: Checkpoint, job: DenoisePass, calls: int, levels: NoiseLevels, graphs: Graphs
    ) -> None:
        """`calls`: those of the whole pass. `levels`: noise levels that the model was trained on."""
        self._checkpoint, self._job = checkpoint, job
        self._calls, self._levels, self._graphs = calls, levels, graphs
        self._is_guided = checkpoint.is_guided(job.guidance_scale)
        self._scale = job.guidance_scale * job.scheduler.guidance_factor
        windows = [window(control.unit.start, control.unit.end, calls) for control in job.controls]
        self._controls = [(one, own) for one, own in zip(job.controls, windows, strict=True) if own and one.unit.weight]
        self._hidden: list[HiddenReference] = []
        """Reference images under the noise of the present call."""
        self._is_refining = False

    def __call__(self, scaled: Any, timestep: Any, call: int) -> Prediction:
        """Predict from latents `float32[N, C, h, w]` of unit variance at `timestep`; `call` counts from 0."""
        refiner = self._job.refiner
        if refiner is not None:  # it stays where a sampler puts noise back, or asks at a higher level once more
            self._is_refining = self._is_refining or refiner.takes_over(float(timestep))
            refiner = refiner if self._is_refining else None
        conditionings = refiner.conditionings if refiner else self._job.conditionings
        told = [conditioning.at(call) for conditioning in conditionings]
        asks = _list_asks(told, guided=self._is_guided)
        self._begin_call(timestep, call)
        answers: list[Any] = [None] * len(asks)
        for places in _of_equal_length(asks):
            own_asks = [asks[place] for place in places]
            made = self._ask(own_asks, scaled, timestep, call, refiner)
            if refiner is None:
                made = self._put_back_colours(made, own_asks, scaled, timestep, call)
            for place, own in zip(places, made, strict=True):
                answers[place] = own
        return self._combine(told, asks, answers)

    def _combine(self, told: Sequence[StepConditioning], asks: Sequence[_Ask], answers: Sequence[Any]) -> Prediction:
        import torch

        count = len(told)
        if not self._is_guided:
            plain = torch.stack(answers[:count])
            return Prediction(plain, plain)
        negative = torch.stack(answers[:count])
        towards = []
        for row, conditioning in enumerate(told):
            own = [answer for ask, answer in zip(asks, answers, strict=True) if ask.row == row and not ask.is_negative]
            if conditioning.is_composed:
                parts = zip(conditioning.conditions, own, strict=True)
                towards.append(sum(condition.weight * (part - negative[row]) for condition, part in parts))
            else:
                towards.append(own[0] - negative[row])
        return Prediction(negative + self._scale * torch.stack(towards), negative)

    def _ask(self, asks: Sequence[_Ask], scaled: Any, timestep: Any, call: int, refiner: Refiner | None) -> Any:
        """Ask the network for some rows at once; -> `float32[len(asks), C, h, w]`."""
        import torch

        checkpoint = refiner.checkpoint if refiner else self._checkpoint
        unet = checkpoint.unet
        rows = [ask.row for ask in asks]
        embeddings = torch.cat([ask.condition.embeddings for ask in asks])
        inputs = {
            "sample": scaled[rows].to(embeddings.dtype),
            "timestep": timestep.to(embeddings.device),
            "embeddings": embeddings,
        }
        if asks[0].condition.pooled is not None:
            inputs |= self._added(asks, is_refiner=checkpoint.family == "sdxl-refiner")
        if unet.config.time_cond_proj_dim is not None:
            inputs["guidance"] = _embed_guidance(self._scale - 1, unet.config.time_cond_proj_dim, embeddings)
        inpainting = self._job.inpainting
        if inpainting and inpainting.channels is not None and unet.config.in_channels > inputs["sample"].shape[1]:
            inputs["inpainting"] = inpainting.channels[rows].to(embeddings.dtype)
        controls = [] if refiner else self._acting(call)
        for number, control in enumerate(controls):
            inputs[f"hint {number}"] = control.hints[rows]
        prompts = [] if refiner else [one for one in self._job.image_prompts if one.acts(call, self._calls)]
        for number, prompt in enumerate(prompts):
            inputs[f"image {number}"] = prompt.told([(ask.row, ask.is_negative) for ask in asks], embeddings.dtype)
        unconditional = sum(ask.is_negative for ask in asks)
        compute = partial(_compute, unet, controls, prompts, unconditional)
        if not refiner and self._hidden:
            return predict_with_references(
                unet,
                lambda reference: _compute(unet, (), prompts, unconditional, _inputs_of(reference, inputs)),
                lambda: compute(inputs),
                [reference.of(rows, embeddings.dtype) for reference in self._hidden],
                unconditional=unconditional,
            )
        how = (unconditional, *(control.unit for control in controls), *(one.prompt.weight for one in prompts))
        nets = [control.net for control in controls] + [one.adapter.network for one in prompts]
        return self._graphs.run(compute, inputs, [unet, *nets], how)

    def _put_back_colours(self, predicted: Any, asks: Sequence[_Ask], scaled: Any, timestep: Any, call: int) -> Any:
        """Change predictions of some rows by the hints whose colours the picture takes over."""
        rows = [ask.row for ask in asks]
        for control in self._acting(call):
            if control.unit.colours:
                predicted = put_back_colours(
                    predicted,
                    scaled[rows],
                    control.latents[rows],
                    control.unit.colours,
                    control.unit.weight,
                    sigma=self._levels.sigma(float(timestep)),
                    kind=self._job.scheduler.config.prediction_type,
                    unconditional=sum(ask.is_negative for ask in asks),
                )
        return predicted

    def _begin_call(self, timestep: Any, call: int) -> None:
        """Hide the reference images that act under as much noise as the picture has now."""
        if not self._job.references:
            return
        sigma = self._levels.sigma(float(timestep))
        self._hidden = [one.hide(sigma) for one in self._job.references if one.acts(call, self._calls)]

    def _acting(self, call: int) -> list[Control]:
        """List the ControlNets that act in a call."""
        start, end = call / self._calls, (call + 1) / self._calls
        return [control for control, (first, last) in self._controls if not (start < first or end > last)]

    def _added(self, asks: Sequence[_Ask], *, is_refiner: bool) -> dict[str, Any]:
        """What SDXL and its refiner are told besides: the pooled prompts, sizes, and to the refiner a score."""
        import torch

        width, height = self._job.size
        pooled = torch.cat([ask.condition.pooled for ask in asks])
        ids = []
        for ask in asks:
            end = [self._job.scores[0 if ask.is_negative else 1]] if is_refiner else [height, width]
            ids.append([height, width, *self._job.crop, *end])
        return {"text_embeds": pooled, "time_ids": torch.tensor(ids, dtype=pooled.dtype, device=pooled.device)}


def _compute(
    unet: Any, controls: Sequence[Control], prompts: Sequence[ImagePromptPass], unconditional: int, given: Inputs
) -> Any:
    """Run ControlNets and UNet over tensors by name."""
    import torch

    sample, timestep, embeddings = given["sample"], given["timestep"], given["embeddings"]
    added = {name: given[name] for name in ("text_embeds", "time_ids")} if "text_embeds" in given else None
    options: dict[str, Any] = {"encoder_hidden_states": embeddings, "return_dict": False, "added_cond_kwargs": added}
    if "guidance" in given:
        options["timestep_cond"] = given["guidance"]
    residuals = add_residuals(
        [control.net for control in controls],
        [control.unit for control in controls],
        (sample, timestep, embeddings),
        [given[f"hint {number}"] for number in range(len(controls))],
        unconditional=unconditional,
        added=added,
    )
    if residuals is not None:
        options |= {"down_block_additional_residuals": residuals[:-1], "mid_block_additional_residual": residuals[-1]}
    if "inpainting" in given:
        sample = torch.cat([sample, given["inpainting"]], dim=1)
    words = [given[f"image {number}"] for number in range(len(prompts))]
    with looking_at(unet, [one.adapter for one in prompts], words, [one.prompt.weight for one in prompts]):
        return unet(sample, timestep, **options)[0].float()


def _inputs_of(reference: HiddenReference, given: Inputs) -> Inputs:
    """Put a reference in the place of the picture; a network for inpainting sees all of it, and that it keeps it."""
    import torch

    changed = {**given, "sample": reference.hidden}
    if "inpainting" in given:
        changed["inpainting"] = torch.cat([torch.zeros_like(reference.latents[:, :1]), reference.latents], dim=1)
    return changed


def _list_asks(told: Sequence[StepConditioning], *, guided: bool) -> list[_Ask]:
    """List what the network is asked for: each row without its prompt and with it, then further parts of AND."""
    first = [_Ask(row, conditioning.conditions[0]) for row, conditioning in enumerate(told)]
    if not guided:
        return first
    negative = [
        _Ask(row, Condition(conditioning.negative, pooled=conditioning.negative_pooled), is_negative=True)
        for row, conditioning in enumerate(told)
    ]
    more = [_Ask(row, part) for row, conditioning in enumerate(told) for part in conditioning.conditions[1:]]
    return [*negative, *first, *more]


def _of_equal_length(asks: Sequence[_Ask]) -> list[list[int]]:
    """Group the places of conditions that have one length, and can share a call."""
    groups: dict[int, list[int]] = {}
    for place, ask in enumerate(asks):
        groups.setdefault(ask.condition.embeddings.shape[1], []).append(place)
    return list(groups.values())


def _embed_guidance(scale: float, width: int, like: Any) -> Any:
    """Embed the guidance scale `[1, width]` for models that were distilled with it, by sines as timesteps are."""
    import torch

    half = width // 2
    rates = torch.exp(torch.arange(half) * -(math.log(10_000.0) / (half - 1)))
    angles = 1000.0 * scale * rates
    return torch.cat([angles.sin(), angles.cos()])[None].to(like.device, like.dtype)
