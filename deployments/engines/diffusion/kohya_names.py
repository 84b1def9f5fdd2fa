"""Names that kohya's trainer gives the tensors of a LoRA, for those of diffusers and peft."""

from __future__ import annotations

import re

_NETWORKS = {
    "unet": "lora_unet_", "text_encoder": "lora_te1_text_model_", "text_encoder_2": "lora_te2_text_model_"
}  # fmt: skip
_ENDINGS = (
    (re.compile(r"\.lora_A(?:\.default)?\.weight$"), ".lora_down.weight"),
    (re.compile(r"\.lora_B(?:\.default)?\.weight$"), ".lora_up.weight"),
    (re.compile(r"\.processor\.to_out_lora\.(down|up)\.weight$"), r".to_out.0.lora_\1.weight"),
    (re.compile(r"\.processor\.(\w+)_lora\.(down|up)\.weight$"), r".\1.lora_\2.weight"),
    (re.compile(r"\.lora(?:_linear_layer)?\.(down|up)\.weight$"), r".lora_\1.weight"),
)
_TENSOR = re.compile(r"(.+)\.(lora_(?:down|up)\.weight|alpha)")


def kohya_name(name: str) -> str:
    """Translate the name of a tensor; names that are kohya's already, or nobody's, stay."""
    network, _, rest = name.removeprefix("base_model.model.").partition(".")
    if network not in _NETWORKS:
        return name
    for ending, usual in _ENDINGS:
        rest = ending.sub(usual, rest)
    found = _TENSOR.fullmatch(rest)
    if found is None:
        return name
    return f"{_NETWORKS[network]}{found[1].removeprefix('text_model.').replace('.', '_')}.{found[2]}"
