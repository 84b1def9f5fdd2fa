"""Colours of a hint put back into a picture while it is made (tile_colorfix), as sd-webui-controlnet does it.

In each call, what the model means the picture to be keeps its detail, and takes over the low frequencies of the hint.
"""

from __future__ import annotations

from typing import Any

from deployments.contracts.diffusion import ColourFix
from deployments.engines.diffusion.predictions import noiseless, prediction_of

_PERCENT = 0.01


def put_back_colours(
    predicted: Any, seen: Any, hint: Any, fix: ColourFix, weight: float, *, sigma: float, kind: str, unconditional: int
) -> Any:
    """Change predictions `[N, C, h, w]` for the latents `seen` so that the picture's colours are those of `hint`.

    `hint`: its scaled latents. `sigma` and `kind`: as `noiseless` takes them. The first `unconditional` rows, without
    the prompt, are blurred where the picture is to be sharper: guidance leads away from them.
    """
    import torch

    x0 = noiseless(seen, predicted, sigma, kind)
    x0 = x0 - blur(x0, fix.radius) + blur(hint, fix.radius)
    if fix.sharpness and unconditional:
        share, plain = fix.sharpness * _PERCENT, x0[:unconditional]
        x0 = torch.cat([share * blur(plain, fix.radius) + (1 - share) * plain, x0[unconditional:]])
    share = min(1.0, weight)
    return prediction_of(seen, x0, sigma, kind) * share + predicted * (1 - share)


def blur(latents: Any, radius: int) -> Any:
    """Average latents over a square of `2 * radius + 1`, the edges repeated."""
    from torch.nn.functional import avg_pool2d, pad

    return avg_pool2d(pad(latents, (radius,) * 4, mode="replicate"), 2 * radius + 1, stride=1)
