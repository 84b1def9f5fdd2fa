"""Prompt schedules `[a:b:0.5]`, `[a::5]`, `[a|b]`: prompts that change while an image is made."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import NamedTuple

MAX_DEPTH = 100
"""Deepest nesting of brackets; deeper ones are text, so that a prompt's cost per call stays near its length."""
_TOKEN = re.compile(r"(?:[^\\\[\]():|]|\\.)+|[\[\]():|\\]", re.DOTALL)
_NUMBER = re.compile(r"[+-]?(?:\d+\.?\d*|\.\d+)(?:e[+-]?\d+)?", re.ASCII | re.IGNORECASE)
_CLOSES = {")": "(", "]": "["}


class Until(NamedTuple):
    """Text for calls of the denoiser, counted from 0, up to and with `call`."""

    call: int
    text: str


@dataclass(slots=True, eq=False)
class _Group:
    """Content of two brackets, or the whole prompt. `items`: text, separators among it, and groups."""

    bracket: str = ""
    items: list[str | _Group] = field(default_factory=list)
    separators: list[int] = field(default_factory=list)
    """Indices in `items` of colons and bars that are none of text."""
    kind: str = "text"
    """`text`, `scheduled` or `alternating`."""
    when: int = 0
    is_well_formed: bool = True
    """Without stray brackets and colons; only then can a group around it be a schedule."""


def schedule_prompt(text: str, steps: int, first_pass_steps: int | None = None) -> list[Until]:
    """Schedule a prompt: at least one text, in order, the last until `steps`.

    `steps` are calls of the denoiser, twice the steps of second-order samplers.

    A number with a point is a share of the steps, one without a step. With `first_pass_steps` the text is for a second
    pass of `steps`: there shares 1 to 2 count, and steps from those of the first pass on. What is no schedule is left
    as it stands.
    """
    groups: list[_Group] = []
    root = _parse(text, groups)
    ends = {steps}
    for group in groups:
        if group.kind == "scheduled":
            group.when = _read_when(group, steps, first_pass_steps)
            if group.when >= 1:
                ends.add(group.when)
        elif group.kind == "alternating":
            ends.update(range(1, steps + 1))
    return [Until(end, "".join(_render(root, end))) for end in sorted(ends)]


def _parse(text: str, groups: list[_Group]) -> _Group:
    """Parse the tree of groups; those that mean something are added to `groups`. Keeps its own stack: nesting is
    free."""
    root = _Group()
    stack = [root]
    for piece in _TOKEN.findall(text):
        top = stack[-1]
        if piece in "([":
            stack.append(_Group(piece, is_well_formed=len(stack) <= MAX_DEPTH))
        elif piece in _CLOSES and top.bracket == _CLOSES[piece]:
            stack.pop()
            _close(top)
            stack[-1].items.append(top)
            stack[-1].is_well_formed &= top.is_well_formed
            if top.kind != "text":
                groups.append(top)
        elif piece in _CLOSES:  # nothing that is open here can still close well
            _dissolve(stack)
            root.items.append(piece)
        else:
            if piece in ":|" and top is not root:
                top.separators.append(len(top.items))
            top.items.append(piece)
    _dissolve(stack)
    return root


def _dissolve(stack: list[_Group]) -> None:
    """Turn open groups into text of the prompt itself."""
    root = stack[0]
    for group in stack[1:]:
        root.items.append(group.bracket)
        root.items.extend(group.items)
    del stack[1:]


def _close(group: _Group) -> None:
    """Decide what a group is, and put the brackets of those that are only text back."""
    colons = [place for place in group.separators if group.items[place] == ":"]
    bars = [place for place in group.separators if group.items[place] == "|"]
    if group.bracket == "[" and group.is_well_formed:
        if 1 <= len(colons) <= 2 and _number_behind(group, colons[-1]):
            group.kind, group.separators = "scheduled", colons
            return
        if bars and not colons:
            group.kind, group.separators = "alternating", bars
            return
    group.is_well_formed &= len(colons) <= (1 if group.bracket == "(" else 0)
    group.items = [group.bracket, *group.items, ")" if group.bracket == "(" else "]"]


def _number_behind(group: _Group, colon: int) -> re.Match[str] | None:
    behind = group.items[colon + 1 :]
    return _NUMBER.fullmatch(behind[0].strip()) if len(behind) == 1 and isinstance(behind[0], str) else None


def _read_when(group: _Group, steps: int, first_pass_steps: int | None) -> int:
    number = str(group.items[-1]).strip()
    value = float(number)
    if "." in number:
        value = (value - (0 if first_pass_steps is None else 1)) * steps
    else:
        value -= first_pass_steps or 0
    return int(max(-1.0, min(float(steps), value)))


def _render(root: _Group, call: int) -> Iterator[str]:
    """Iterate the pieces of text that hold at a call, counted from 1."""
    stack: list[Iterator[str | _Group]] = [iter(root.items)]
    while stack:
        for item in stack[-1]:
            if isinstance(item, str):
                yield item
            else:
                stack.append(iter(_choose(item, call)))
                break
        else:
            stack.pop()


def _choose(group: _Group, call: int) -> list[str | _Group]:
    """Choose the items of a group that hold at a call, counted from 1."""
    if group.kind == "text":
        return group.items
    bounds = [-1, *group.separators, len(group.items)]
    if group.kind == "alternating":
        place = (call - 1) % (len(group.separators) + 1)
    else:
        before = call <= group.when
        if len(group.separators) == 1:
            if before:
                return []
            place = 0
        else:
            place = 0 if before else 1
    return group.items[bounds[place] + 1 : bounds[place + 1]]
