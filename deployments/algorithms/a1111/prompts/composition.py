"""Composition `a AND b:0.5`: several conditions, each with a share of the guidance."""

from __future__ import annotations

import re
from typing import NamedTuple

_AND = re.compile(r"\bAND\b(?!_PERP|_SALT|_TOPK)")
_NUMBER = re.compile(r"[-+]?(?:\d+\.?|\d*\.\d+)", re.ASCII)


class PromptPart(NamedTuple):
    """One condition: the prediction is `uncond + sum(weight * guidance * (cond - uncond))`."""

    text: str
    weight: float


def split_parts(prompt: str) -> list[PromptPart]:
    """Split a prompt at AND into at least one part.

    A number behind a last colon is the part's weight, even where there is no AND, as upstream has it.

    AND is split before brackets are read: `(a AND b:1.2)` gives `(a` and `b:1.2)`.
    """
    return [_read(text) for text in _AND.split(prompt)]


def _read(text: str) -> PromptPart:
    before, colon, after = text.rpartition(":")
    after = after.strip()
    if colon and len(after) <= 32 and _NUMBER.fullmatch(after):
        return PromptPart(before.strip(), float(after))
    return PromptPart(text.strip(), 1.0)
