"""Classifier-free guidance over a UNet: prompts that AND joins, ControlNets, a refiner for the last steps.

Conditions of equal length share a call of the UNet; others are asked for apart, as A1111 does. What goes into the
networks has their precision, what comes out is float32.
"""

from __future__ import annotations

import math
from collections.abc import Hashable, Sequence
from typing import Any, NamedTuple

from deployments.engines.diffusion.colour_fix import put_back_colours
from deployments.engines.diffusion.conditioning import Condition, StepConditioning
from deployments.engines.diffusion.controlnets import window
from deployments.engines.diffusion.graphs import Graphs
from deployments.engines.diffusion.loading import Checkpoint
from deployments.engines.diffusion.parts import Ask, Part, compute_together
from deployments.engines.diffusion.passes import Control, DenoisePass
from deployments.engines.diffusion.references import HiddenReference
from deployments.engines.diffusion.refiner import Refiner
from deployments.engines.diffusion.sigmas import NoiseLevels


class Prediction(NamedTuple):
    """Prediction of a model, `float32[N, C, h, w]`: noise or v, as it was trained to."""

    guided: Any
    unconditional: Any
    """Prediction without the prompt; `guided` where the pass has no guidance."""


class Question(NamedTuple):
    """What a pass asks its model in a call."""

    model: GuidedModel
    scaled: Any
    """Latents `float32[N, C, h, w]` of unit variance."""
    timestep: Any
    call: int


class Asking(NamedTuple):
    """What a call asks of the networks."""

    told: Sequence[StepConditioning]
    asks: Sequence[Ask]
    parts: Sequence[Part]


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

    def begin(self, scaled: Any, timestep: Any, call: int) -> Asking:
        """Begin a call, counted from 0: list what the networks are asked for, those of equal length together."""
        refiner = self._job.refiner
        if refiner is not None:  # it stays where a sampler puts noise back, or asks at a higher level once more
            self._is_refining = self._is_refining or refiner.takes_over(float(timestep))
            refiner = refiner if self._is_refining else None
        conditionings = refiner.conditionings if refiner else self._job.conditionings
        told = [conditioning.at(call) for conditioning in conditionings]
        asks = _list_asks(told, guided=self._is_guided)
        self._begin_call(timestep, call)
        parts = [
            self._part([asks[place] for place in places], places, scaled, timestep, call, refiner)
            for places in _of_equal_length(asks)
        ]
        return Asking(told, asks, parts)

    def end(self, asking: Asking, scaled: Any, timestep: Any, call: int) -> Prediction:
        """End a call whose parts have their answers."""
        answers: list[Any] = [None] * len(asking.asks)
        for part in asking.parts:
            made = part.answer
            if not self._is_refining:
                made = self._put_back_colours(made, part.asks, scaled, timestep, call)
            for place, own in zip(part.places, made, strict=True):
                answers[place] = own
        return self._combine(asking.told, asking.asks, answers)

    def _combine(self, told: Sequence[StepConditioning], asks: Sequence[Ask], answers: Sequence[Any]) -> Prediction:
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

    def _part(
        self,
        asks: Sequence[Ask],
        places: Sequence[int],
        scaled: Any,
        timestep: Any,
        call: int,
        refiner: Refiner | None,
    ) -> Part:
        """Make ready what the networks are asked for some rows at once."""
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
        hidden = [] if refiner else [reference.of(rows, embeddings.dtype) for reference in self._hidden]
        return Part(asks, places, unet, controls, prompts, inputs, unconditional, hidden, self._graphs)

    def _put_back_colours(self, predicted: Any, asks: Sequence[Ask], scaled: Any, timestep: Any, call: int) -> Any:
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

    def _added(self, asks: Sequence[Ask], *, is_refiner: bool) -> dict[str, Any]:
        """What SDXL and its refiner are told besides: the pooled prompts, sizes, and to the refiner a score."""
        import torch

        width, height = self._job.size
        pooled = torch.cat([ask.condition.pooled for ask in asks])
        ids = []
        for ask in asks:
            end = [self._job.scores[0 if ask.is_negative else 1]] if is_refiner else [height, width]
            ids.append([height, width, *self._job.crop, *end])
        return {"text_embeds": pooled, "time_ids": torch.tensor(ids, dtype=pooled.dtype, device=pooled.device)}


def answer(questions: Sequence[Question]) -> list[Prediction]:
    """Answer the questions of several passes; what has one shape and the same networks is computed together, whosever
    it is."""
    asked = [(one, one.model.begin(one.scaled, one.timestep, one.call)) for one in questions]
    groups: dict[Hashable, list[Part]] = {}
    for _, asking in asked:
        for part in asking.parts:
            groups.setdefault(part.key, []).append(part)
    for parts in groups.values():
        compute_together(parts)
    return [one.model.end(asking, one.scaled, one.timestep, one.call) for one, asking in asked]


def _list_asks(told: Sequence[StepConditioning], *, guided: bool) -> list[Ask]:
    """List what the network is asked for: each row without its prompt and with it, then further parts of AND."""
    first = [Ask(row, conditioning.conditions[0]) for row, conditioning in enumerate(told)]
    if not guided:
        return first
    negative = [
        Ask(row, Condition(conditioning.negative, pooled=conditioning.negative_pooled), is_negative=True)
        for row, conditioning in enumerate(told)
    ]
    more = [Ask(row, part) for row, conditioning in enumerate(told) for part in conditioning.conditions[1:]]
    return [*negative, *first, *more]


def _of_equal_length(asks: Sequence[Ask]) -> list[list[int]]:
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
