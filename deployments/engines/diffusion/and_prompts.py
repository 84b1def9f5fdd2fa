"""Composable diffusion (`a AND b:0.5`) via UNet forward hooks, since diffusers' loops know one prompt per image.

The loop asks the UNet for the unconditional and the conditional prediction and moves away from the one towards the
other. Here the UNet is asked for every condition in the same call, and answers, for the conditional prediction,
`uncond + sum(weight * (cond - uncond))`: the loop then does what A1111 does.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from deployments.engines.diffusion.conditioning import StepConditioning

_RESIDUALS = ("down_block_additional_residuals", "mid_block_additional_residual")


@contextmanager
def composable_unet(unet: Any, conditioning: Callable[[], Sequence[StepConditioning]]) -> Iterator[None]:
    """Hook the UNet so that it composes the conditions that AND joins, while the block runs.

    The UNet's batch is N unconditional rows and N conditional ones; `conditioning` returns the rows' conditioning at
    the present call. ControlNets have seen the first condition only, and add the same to all.
    """
    hooks = (
        unet.register_forward_pre_hook(lambda _, args, kwargs: _widen(args, kwargs, conditioning()), with_kwargs=True),
        unet.register_forward_hook(lambda _, __, output: _compose(output, conditioning())),
    )
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()


def _widen(
    args: tuple[Any, ...], options: dict[str, Any], conditionings: Sequence[StepConditioning]
) -> tuple[tuple[Any, ...], Any]:
    """Add a row to the UNet's inputs for each condition after the first."""
    import torch

    count = len(conditionings)
    places = [count + row for row, own in enumerate(conditionings) for _ in own.conditions[1:]]
    if not places:
        return args, options
    sample, *rest = args
    embeddings = [condition.embeddings for own in conditionings for condition in own.conditions[1:]]
    options = {**options, "encoder_hidden_states": torch.cat([options["encoder_hidden_states"], *embeddings])}
    if added := options.get("added_cond_kwargs"):
        pooled = [condition.pooled for own in conditionings for condition in own.conditions[1:]]
        options["added_cond_kwargs"] = {
            "text_embeds": torch.cat([added["text_embeds"], *pooled]),
            "time_ids": _repeat(added["time_ids"], places),
        }
    for name in _RESIDUALS:
        if (residuals := options.get(name)) is not None:
            if isinstance(residuals, torch.Tensor):
                options[name] = _repeat(residuals, places)
            else:
                options[name] = [_repeat(residual, places) for residual in residuals]
    return (_repeat(sample, places), *rest), options


def _compose(output: tuple[Any, ...], conditionings: Sequence[StepConditioning]) -> tuple[Any, ...]:
    """Combine the predictions of each row's conditions into its one conditional prediction."""
    import torch

    predictions, count = output[0], len(conditionings)
    negative, first, others = predictions[:count], predictions[count : 2 * count], list(predictions[2 * count :])
    rows = []
    for row, conditioning in enumerate(conditionings):
        own = [first[row], *(others.pop(0) for _ in conditioning.conditions[1:])]
        parts = [c.weight * (part - negative[row]) for c, part in zip(conditioning.conditions, own, strict=True)]
        rows.append(negative[row] + sum(parts) if conditioning.is_composed else first[row])
    return (torch.cat([negative, torch.stack(rows)]), *output[1:])


def _repeat(tensor: Any, places: Sequence[int]) -> Any:
    import torch

    return torch.cat([tensor, tensor[list(places)]])
