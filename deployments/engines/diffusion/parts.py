"""Parts of a call: rows for which the networks are asked at once, also rows of several passes together."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any, NamedTuple

from deployments.engines.diffusion.conditioning import Condition
from deployments.engines.diffusion.controlnets import add_residuals
from deployments.engines.diffusion.graphs import Graphs, Inputs
from deployments.engines.diffusion.image_prompts import ImagePromptPass, looking_at
from deployments.engines.diffusion.passes import Control
from deployments.engines.diffusion.references import HiddenReference, predict_with_references

_SHARED = ("timestep", "guidance")
"""Inputs that are the same for all rows of a part."""


class Ask(NamedTuple):
    """A row with one of its conditions."""

    row: int
    condition: Condition
    is_negative: bool = False


@dataclass
class Part:
    """Rows of one length, those without their prompt first, with all that the networks are told of them."""

    asks: Sequence[Ask]
    places: Sequence[int]
    """Where the rows are among all that the call asks for."""
    unet: Any
    controls: Sequence[Control]
    prompts: Sequence[ImagePromptPass]
    inputs: Inputs
    """Tensors by name, with a row for each ask, but for those that are the same for all."""
    unconditional: int
    """Rows without their prompt."""
    hidden: Sequence[HiddenReference]
    graphs: Graphs
    answer: Any = field(default=None, init=False)
    """What the networks predict, `float32[rows, C, h, w]`."""

    @property
    def how(self) -> tuple[Hashable, ...]:
        """What besides networks and tensors decides the answer."""
        return (*(control.unit for control in self.controls), *(one.prompt.weight for one in self.prompts))

    @property
    def networks(self) -> list[Any]:
        """Networks that compute it."""
        own = [control.net for control in self.controls] + [one.adapter.network for one in self.prompts]
        return [self.unet, *own]

    @property
    def key(self) -> Hashable:
        """What parts have in common that are computed together: networks, settings, and shapes but for the rows. Those
        with references share with none, for what is seen of them is kept in the network's layers."""
        if self.hidden:
            return id(self)
        shapes = tuple(
            (name, tuple(tensor.shape[0 if name in _SHARED else 1 :]), tensor.dtype)
            for name, tensor in self.inputs.items()
        )
        return self.how, tuple(map(id, self.networks)), shapes


def compute_together(parts: Sequence[Part]) -> None:
    """Compute the answers of parts of one key."""
    import torch

    first = parts[0]
    if len(parts) == 1:
        first.answer = _compute_part(first, first.inputs, first.unconditional)
        return
    given = [_with_rows(part) for part in parts]
    negatives = [part.unconditional for part in parts]
    # Rows without their prompts come first, of all parts.
    inputs = {
        name: torch.cat(
            [own[name][:count] for own, count in zip(given, negatives, strict=True)]
            + [own[name][count:] for own, count in zip(given, negatives, strict=True)]
        )
        for name in given[0]
    }
    made = _compute_part(first, inputs, sum(negatives))
    positives = [len(part.asks) - part.unconditional for part in parts]
    halves = made.split([*negatives, *positives])
    for place, part in enumerate(parts):
        part.answer = torch.cat([halves[place], halves[len(parts) + place]])


def _with_rows(part: Part) -> Inputs:
    """Give what is the same for all rows of a part a row for each."""
    count = len(part.asks)

    def spread(name: str, tensor: Any) -> Any:
        if name not in _SHARED:
            return tensor
        return tensor.expand(count) if name == "timestep" else tensor.expand(count, -1)

    return {name: spread(name, tensor) for name, tensor in part.inputs.items()}


def _compute_part(part: Part, inputs: Inputs, unconditional: int) -> Any:
    compute = partial(_compute, part.unet, part.controls, part.prompts, unconditional)
    if not part.hidden:
        return part.graphs.run(compute, inputs, part.networks, (unconditional, *part.how))
    return predict_with_references(
        part.unet,
        lambda reference: _compute(part.unet, (), part.prompts, unconditional, _inputs_of(reference, inputs)),
        lambda: compute(inputs),
        part.hidden,
        unconditional=unconditional,
    )


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
