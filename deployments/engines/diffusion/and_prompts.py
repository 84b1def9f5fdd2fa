"""`a AND b:0.5` inside diffusers' loops, which know one prompt a picture.

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
def composable_unet(unet: Any, told: Callable[[], Sequence[StepConditioning]]) -> Iterator[None]:
    """While it holds, the UNet's batch is N unconditional rows and N conditional ones, and `told` says what each row is
    told at the present call. ControlNets have seen the first condition only, and add the same to all."""
    hooks = (
        unet.register_forward_pre_hook(lambda _, args, options: _widen(args, options, told()), with_kwargs=True),
        unet.register_forward_hook(lambda _, __, made: _compose(made, told())),
    )
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()


def _widen(
    args: tuple[Any, ...], options: dict[str, Any], told: Sequence[StepConditioning]
) -> tuple[tuple[Any, ...], Any]:
    """A row more for each condition after the first."""
    import torch

    places = [len(told) + row for row, one in enumerate(told) for _ in one.conditions[1:]]
    if not places:
        return args, options
    sample, *rest = args
    words = [condition.embeddings for one in told for condition in one.conditions[1:]]
    options = {**options, "encoder_hidden_states": torch.cat([options["encoder_hidden_states"], *words])}
    for name in _RESIDUALS:
        if (residuals := options.get(name)) is not None:
            if isinstance(residuals, torch.Tensor):
                options[name] = _repeat(residuals, places)
            else:
                options[name] = [_repeat(residual, places) for residual in residuals]
    return (_repeat(sample, places), *rest), options


def _compose(made: tuple[Any, ...], told: Sequence[StepConditioning]) -> tuple[Any, ...]:
    import torch

    predictions, count = made[0], len(told)
    nothing, first, others = predictions[:count], predictions[count : 2 * count], list(predictions[2 * count :])
    rows = []
    for row, one in enumerate(told):
        own = [first[row], *(others.pop(0) for _ in one.conditions[1:])]
        parts = [c.weight * (own_part - nothing[row]) for c, own_part in zip(one.conditions, own, strict=True)]
        rows.append(nothing[row] + sum(parts) if one.is_composed else first[row])
    return (torch.cat([nothing, torch.stack(rows)]), *made[1:])


def _repeat(tensor: Any, places: Sequence[int]) -> Any:
    import torch

    return torch.cat([tensor, tensor[list(places)]])
