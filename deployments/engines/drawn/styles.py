"""Style engine without weights: the `[local]` recipes of `configs/styles`, drawn by `deployments.algorithms.styles`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import ConfigDict, ValidationError, create_model

from configs.styles import Style, load_styles
from deployments.algorithms.styles import FILTERS, apply_style, options_of
from deployments.contracts.arrays import Image
from deployments.errors import InvalidRequest


class LocalStylist:
    """Style engine `opencv`. Thread-safe, one core a call; deterministic for a seed."""

    def __init__(self, styles: Mapping[str, Style] | None = None) -> None:
        """Check every style's options; `styles`: default all of `configs/styles`.

        Raises `ValueError` that names the style when one asks for a look or an option that does not exist, or for a
        value out of its option's range.
        """
        known = load_styles() if styles is None else styles
        self._options = {name: _checked_options(style) for name, style in known.items()}

    def render(self, image: Image, style: Style, strength: float | None = None, seed: int = 0) -> Image:
        """Redraw an image `uint8[H, W, 3]`, RGB, in the style, at the same size.

        `strength`, 0 to 1: 0 is the source image; None: the style's own. Raises `InvalidRequest` for a style that the
        engine was not built with.
        """
        if style.name not in self._options:
            raise InvalidRequest(f"There is no style {style.name!r}.")
        chosen = style.local.strength if strength is None else strength
        return apply_style(image, style.local.look, chosen, seed, self._options[style.name])


def _checked_options(style: Style) -> dict[str, Any]:
    """Check the style's options; -> all options of its filter, unnamed ones at their defaults."""
    look = style.local.look
    if look not in FILTERS:
        raise ValueError(f"style {style.name}: there is no look {look!r}, only {', '.join(FILTERS)}")
    fields: dict[str, Any] = {name: (option.annotation, option.default) for name, option in options_of(look).items()}
    form = create_model(look, __config__=ConfigDict(extra="forbid"), **fields)
    try:
        return form(**style.local.options).model_dump()
    except ValidationError as error:
        first = error.errors()[0]
        option = ".".join(str(part) for part in first["loc"])
        raise ValueError(f"style {style.name}: option {option!r} of look {look!r}: {first['msg']}") from None
