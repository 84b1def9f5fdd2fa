"""Names that the original gives to the parts of SDXL's UNet, by which trainers name the layers of LoRAs."""

from __future__ import annotations

import re

_LEVEL = 3
"""Blocks of a level: two resnets and what changes the size, or three resnets on the way up."""
_OUTSIDE = {
    "time_embedding.linear_1": "time_embed.0",
    "time_embedding.linear_2": "time_embed.2",
    "add_embedding.linear_1": "label_emb.0.0",
    "add_embedding.linear_2": "label_emb.0.2",
    "conv_in": "input_blocks.0.0",
    "conv_norm_out": "out.0",
    "conv_out": "out.2",
}
_OF_RESNETS = {
    "norm1": "in_layers.0",
    "conv1": "in_layers.2",
    "time_emb_proj": "emb_layers.1",
    "norm2": "out_layers.0",
    "conv2": "out_layers.3",
    "conv_shortcut": "skip_connection",
}
_BLOCK = re.compile(
    r"(?P<way>down|mid|up)_blocks?\.(?:(?P<level>\d)\.)?(?P<kind>resnets|attentions|downsamplers|upsamplers)\."
    r"(?P<place>\d)\.?(?P<rest>.*)"
)


def original_name(name: str) -> str:
    """Translate the name of a module of diffusers' UNet; "" where the original has none."""
    if name in _OUTSIDE:
        return _OUTSIDE[name]
    found = _BLOCK.fullmatch(name)
    if found is None:
        return ""
    way, kind, place, rest = found["way"], found["kind"], int(found["place"]), found["rest"]
    level = int(found["level"] or 0)
    if kind == "resnets":
        head, _, tail = rest.partition(".")
        rest = ".".join(part for part in (_OF_RESNETS.get(head, head), tail) if part)
    if way == "mid":
        return f"middle_block.{2 * place if kind == 'resnets' else 1}.{rest}"
    if kind == "downsamplers":
        return f"input_blocks.{_LEVEL * level + _LEVEL}.0.{rest.replace('conv', 'op')}"
    if kind == "upsamplers":
        return f"output_blocks.{_LEVEL * level + 2}.2.{rest}"
    part = 0 if kind == "resnets" else 1
    if way == "down":
        return f"input_blocks.{_LEVEL * level + place + 1}.{part}.{rest}"
    return f"output_blocks.{_LEVEL * level + place}.{part}.{rest}"
