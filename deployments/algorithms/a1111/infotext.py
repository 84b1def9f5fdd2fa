"""The line of parameters that travels with a generated image, as the Stable Diffusion web UI writes and reads it:

a cat
Negative prompt: blurry
Steps: 20, Sampler: Euler a, Schedule type: Automatic, CFG scale: 7, Seed: 1, Size: 512x512, Model: tiny
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping

Value = str | int | float | bool

_NEGATIVE = "Negative prompt:"
_PAIR = re.compile(r'\s{0,9}(\w[\w \-/]{0,60}):\s{0,9}("(?:\\.|[^\\"])*"|[^,]*)(?:,|$)')
_SIZE = re.compile(r"(\d+)x(\d+)")
_FEWEST = 3
"""Pairs that make a last line parameters; one of fewer is part of the prompt."""
_DEFAULTS: dict[str, Value] = {
    "Clip skip": "1",
    "Hires resize-1": 0,
    "Hires resize-2": 0,
    "Hires sampler": "Use same sampler",
    "Hires schedule type": "Use same scheduler",
    "Hires checkpoint": "Use same checkpoint",
    "Hires prompt": "",
    "Hires negative prompt": "",
    "Mask mode": "Inpaint masked",
    "Masked content": "original",
    "Inpaint area": "Whole picture",
    "Masked area padding": 32,
    "RNG": "GPU",
    "Schedule type": "Automatic",
    "Emphasis": "Original",
}
"""Values that an older or shorter text leaves out."""


def write_infotext(prompt: str, negative_prompt: str, parameters: Mapping[str, Value | None]) -> str:
    """Write an infotext. Parameters that are None are left out; one that would be misread is quoted."""
    pairs = ", ".join(f"{key}: {_quote(value)}" for key, value in parameters.items() if value is not None)
    negative = f"\n{_NEGATIVE} {negative_prompt}" if negative_prompt else ""
    return f"{prompt}{negative}\n{pairs}".strip()


def read_infotext(text: str, *, with_defaults: bool = True) -> dict[str, Value]:
    """Read `Prompt`, `Negative prompt` and every pair; `512x768` under `Size` becomes `Size-1` and `Size-2`."""
    *lines, last = text.strip().split("\n") or [""]
    pairs = _PAIR.findall(last)
    if len(pairs) < _FEWEST:
        lines, pairs = [*lines, last], []
    prompts: tuple[list[str], list[str]] = ([], [])
    is_negative = False
    for line in map(str.strip, lines):
        if not is_negative and line.startswith(_NEGATIVE):
            is_negative, line = True, line.removeprefix(_NEGATIVE).strip()
        prompts[is_negative].append(line)
    found: dict[str, Value] = {"Prompt": "\n".join(prompts[0]), "Negative prompt": "\n".join(prompts[1])}
    for key, quoted in pairs:
        value = _unquote(quoted.strip())
        if size := _SIZE.fullmatch(value):
            found[f"{key}-1"], found[f"{key}-2"] = size[1], size[2]
        else:
            found[key] = value
    return {**_DEFAULTS, **found} if with_defaults else found


def _quote(value: Value) -> str:
    text = str(value)
    return json.dumps(text, ensure_ascii=False) if re.search(r'[,:\n"]', text) else text


def _unquote(text: str) -> str:
    if len(text) < 2 or text[0] != '"' or text[-1] != '"':
        return text
    try:
        return str(json.loads(text))
    except ValueError:
        return text
