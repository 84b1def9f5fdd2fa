"""Saved styles, comments and `<lora:name:weight>`: put into or taken out of a prompt before it is read."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable
from dataclasses import dataclass

from deployments.contracts.diffusion import Lora
from deployments.errors import InvalidRequest

MAX_PROMPT_CHARS = 100_000
PLACEHOLDER = "{prompt}"
"""Place of the prompt in a saved style; without it the style is appended."""
_TAG = re.compile(r"<(\w+):")


@dataclass(frozen=True, slots=True)
class ExtraNetworks:
    """A prompt without its `<kind:arguments>` tags, and the networks they name."""

    text: str
    loras: tuple[Lora, ...] = ()
    """Each name once; tags that repeat it add up."""
    ignored: tuple[str, ...] = ()
    """Tags that were taken out but not understood, for a warning."""


def merge_styles(prompt: str, styles: Iterable[str]) -> str:
    """Apply saved styles, one after the other. Raises `InvalidRequest` when the result is longer than
    `MAX_PROMPT_CHARS`."""
    for style in styles:
        if PLACEHOLDER in style:
            length = len(style) + style.count(PLACEHOLDER) * (len(prompt) - len(PLACEHOLDER))
            if length <= MAX_PROMPT_CHARS:
                prompt = style.replace(PLACEHOLDER, prompt)
        else:
            length = len(prompt) + len(style)
            prompt = ", ".join(part for part in (prompt.strip(), style.strip()) if part)
        if length > MAX_PROMPT_CHARS:
            raise InvalidRequest(f"The prompt with its styles is longer than {MAX_PROMPT_CHARS:,} characters")
    return prompt


def strip_comments(text: str) -> str:
    """Remove `#` and what follows it in its line; a line that is nothing else goes altogether."""
    lines = text.split("\n")
    return "\n".join(line.split("#", 1)[0] for line in lines if not line.startswith("#"))


def extract_networks(text: str) -> ExtraNetworks:
    """Extract `<lora:name:1.1>`, `<lora:name:te:unet>`, `<lora:name:te=1:unet=0.5>` and the alias `<lyco:...>`.

    The first weight is that of the text encoder, the second that of the UNet: by default the same.
    """
    kept: list[str] = []
    weights: dict[str, tuple[float, float]] = {}
    ignored: list[str] = []
    position = 0
    while opening := _TAG.search(text, position):
        end = text.find(">", opening.end())
        if end < 0:
            break
        arguments = text[opening.end() : end]
        if not arguments:
            kept.append(text[position : opening.end()])
            position = opening.end()
            continue
        kept.append(text[position : opening.start()])
        position = end + 1
        lora = _read_lora(arguments) if opening[1] in ("lora", "lyco") else None
        if lora is None:
            ignored.append(text[opening.start() : position])
        else:
            before = weights.get(lora.name, (0.0, 0.0))
            weights[lora.name] = (before[0] + lora.text_encoder_weight, before[1] + lora.unet_weight)
    kept.append(text[position:])
    loras = tuple(Lora(name, text_encoder, unet) for name, (text_encoder, unet) in weights.items())
    return ExtraNetworks("".join(kept), loras, tuple(ignored))


def _read_lora(arguments: str) -> Lora | None:
    """Parse a tag's arguments; None when a weight is no number or the name is empty. A dynamic rank (third, `dyn=`) has
    no effect."""
    named: dict[str, str] = {}
    positional: list[str] = []
    for argument in arguments.split(":"):
        key, equals, value = argument.partition("=")
        if equals:
            named[key.strip()] = value
        else:
            positional.append(argument)
    name = positional[0].strip() if positional else ""
    try:
        text_encoder = float(named.get("te", positional[1] if len(positional) > 1 else "1"))
        unet = float(named.get("unet", positional[2] if len(positional) > 2 else text_encoder))
    except ValueError:
        return None
    if not name or not math.isfinite(text_encoder) or not math.isfinite(unet):
        return None
    return Lora(name, text_encoder, unet)
