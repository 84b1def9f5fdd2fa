"""Kind and family of a model file, told from the names and shapes of its tensors alone.

Structure decides, not width, wherever it can: an SD 2 transformer projects by matrices where SD 1 has convolutions, a
network of SDXL has two more inputs (`label_emb`, `add_embedding`) and no attention at its largest size.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from deployments.contracts.diffusion import FAMILY_NAMES, ROLE_NAMES

Role = Literal[
    "checkpoint", "vae", "lora", "controlnet", "controlnet-union", "t2i-adapter", "control-lora", "ip-adapter",
    "lllite", "embedding", "unknown",
]  # fmt: skip
Family = Literal["sd1", "sd2", "sdxl", "sdxl-refiner", "sd3", "flux", "other", ""]
"""Family of networks; "": the file does not say, and may fit several."""
Variant = Literal["", "inpaint", "instruct", "depth", "upscale"]

Shapes = Mapping[str, tuple[int, ...]]
_CONTEXTS: Mapping[int, Family] = {768: "sd1", 1024: "sd2", 2048: "sdxl", 1280: "sdxl-refiner"}
"""Width of the text embeddings -> family."""
_VARIANTS: Mapping[int, Variant] = {4: "", 9: "inpaint", 8: "instruct", 5: "depth", 7: "upscale"}
"""Input channels of the UNet -> variant."""
_REFINER_CONDITION = 2560
"""Width of the refiner's size conditioning; SDXL's own is 2,816."""
_REFINER_CONTEXT = 1280
_USUAL_TYPES = 6
"""Kinds of hints of ControlNet union models whose configuration does not say."""
_BASES: Mapping[str, Family] = {
    "sd_v1": "sd1", "sd_v2": "sd2", "sdxl": "sdxl", "sd3": "sd3", "flux": "flux", "stable-diffusion-v1": "sd1",
    "stable-diffusion-v2": "sd2", "stable-diffusion-xl": "sdxl", "stable-diffusion-3": "sd3",
}  # fmt: skip
"""Beginnings of `ss_base_model_version` (kohya) and `modelspec.architecture` -> family."""


@dataclass(frozen=True, slots=True)
class FileKind:
    """What a file is and which networks it belongs to."""

    role: Role
    family: Family
    variant: Variant = ""
    prediction: Literal["", "epsilon", "v_prediction"] = ""
    """What a checkpoint predicts, where the file says so."""
    types: int = 0
    """Kinds of hints that a ControlNet union model knows."""
    encoder: str = ""
    """Image encoder of an IP-Adapter; empty for kinds that do not run here: they see a face's identity."""

    @property
    def label(self) -> str:
        """Description for people: "a LoRA for SDXL"."""
        if self.role == "unknown":
            return ROLE_NAMES["unknown"]
        family = FAMILY_NAMES[self.family] + (f" ({self.variant})" if self.variant else "")
        return ROLE_NAMES[self.role] if not self.family else f"{ROLE_NAMES[self.role]} for {family}"


UNKNOWN = FileKind("unknown", "other")


def identify(shapes: Shapes, metadata: Mapping[str, str] | None = None) -> FileKind:
    """Identify a model file by the shapes of its tensors; `metadata` helps where these do not tell."""
    names = set(shapes)
    told = metadata or {}
    if _any(names, "lllite_"):
        return FileKind("lllite", "sdxl" if _any_holds(names, "input_blocks_4_1_", "_transformer_blocks_1_") else "")
    if "lora_controlnet" in names:
        return FileKind("control-lora", "sdxl" if _any(names, "label_emb.") else "")
    if _any(names, "ip_adapter.", "image_proj."):
        width = next((shape[1] for name, shape in shapes.items() if "to_k_ip" in name and len(shape) == 2), 0)
        return FileKind("ip-adapter", _CONTEXTS.get(width, ""), encoder=_encoder_of(shapes))
    if role := _control_role(names):
        types = (shapes.get("task_embedding") or (0,))[0]
        if role == "controlnet-union":
            return FileKind(role, _control_family(shapes), types=types)
        return FileKind(role, _adapter_family(shapes) if role == "t2i-adapter" else _control_family(shapes))
    if _is_lora(names):
        return FileKind("lora", _lora_family(shapes) or _said(told))
    if (family := _checkpoint_family(shapes)) is not None:
        first = shapes.get("model.diffusion_model.input_blocks.0.0.weight", shapes.get("conv_in.weight", ()))
        variant = _VARIANTS.get(first[1], "") if len(first) > 1 else ""
        return FileKind("checkpoint", family, variant, _prediction(names, told))
    if any(re.search(r"(^|\.)decoder\.(conv_in|up\.0|up_blocks\.0)\.", name) for name in names):
        return FileKind("vae", _vae_family(shapes))
    return _embedding(shapes) or UNKNOWN


def identify_unet(config: Mapping[str, Any]) -> FileKind:
    """Identify a checkpoint in a folder by the configuration of its UNet (`unet/config.json`)."""
    channels = config.get("in_channels", 4)
    variant = _VARIANTS.get(channels, "") if isinstance(channels, int) else ""
    is_xl = config.get("addition_embed_type") == "text_time"
    refined = config.get("cross_attention_dim") == _REFINER_CONTEXT
    if is_xl:
        return FileKind("checkpoint", "sdxl-refiner" if refined else "sdxl", variant)
    return FileKind("checkpoint", "sd2" if config.get("use_linear_projection") else "sd1", variant)


def identify_controlnet(config: Mapping[str, Any]) -> FileKind:
    """Identify what a folder of `controlnets/` holds by its `config.json`."""
    name = str(config.get("_class_name", ""))
    if "Union" in name:
        types = config.get("num_control_type", _USUAL_TYPES)
        known = types if isinstance(types, int) else 0
        return FileKind(
            "controlnet-union", "sdxl" if config.get("addition_embed_type") == "text_time" else "", types=known
        )
    if "Adapter" in name:
        return FileKind("t2i-adapter", "sdxl" if "xl" in str(config.get("adapter_type", "")) else "sd1")
    for word, family in (("Flux", "flux"), ("SD3", "sd3")):
        if word in name:
            return FileKind("controlnet", family)  # type: ignore[arg-type]  # both are families
    if config.get("addition_embed_type") == "text_time":
        return FileKind("controlnet", "sdxl")
    return FileKind("controlnet", "sd2" if config.get("use_linear_projection") else "sd1")


def _any(names: Iterable[str], *beginnings: str) -> bool:
    return any(name.startswith(beginnings) for name in names)


def _any_holds(names: Iterable[str], *parts: str) -> bool:
    return any(part in name for name in names for part in parts)


def _checkpoint_family(shapes: Shapes) -> Family | None:
    """Family of a whole checkpoint, or of a UNet alone; None where there is neither."""
    names = set(shapes)
    bare = {name.removeprefix("model.diffusion_model.") for name in names}
    if _any(bare, "double_blocks.", "single_stream_modulation.", "distilled_guidance_layer."):
        return "flux"
    if _any(bare, "joint_blocks."):
        return "sd3"
    if _any(names, "conditioner.embedders."):
        alone = _any(names, "conditioner.embedders.0.model.") and not _any(names, "conditioner.embedders.1.")
        return "sdxl-refiner" if alone else "sdxl"
    if _any(names, "model.diffusion_model.input_blocks."):
        return _ldm_family(shapes, "model.diffusion_model.")
    if _any(names, "model.diffusion_model."):
        return "other"
    if "conv_in.weight" in names and _any(names, "up_blocks."):  # a UNet as diffusers saves it
        return _diffusers_family(shapes)
    return None


def _ldm_family(shapes: Shapes, prefix: str) -> Family:
    """Family of a UNet or ControlNet with the original's names."""
    condition = shapes.get(f"{prefix}label_emb.0.0.weight")
    largest = shapes.get(f"{prefix}input_blocks.1.1.proj_in.weight")
    if condition is not None and largest is None:
        return "sdxl-refiner" if condition[-1:] == (_REFINER_CONDITION,) else "sdxl"
    if condition is not None:
        return "other"  # SD 2's unCLIP and upscaler
    if largest is not None:
        return "sd1" if len(largest) > 2 else "sd2"
    return "other"


def _diffusers_family(shapes: Shapes) -> Family:
    """Family of a UNet or ControlNet with diffusers' names."""
    condition = shapes.get("add_embedding.linear_1.weight")
    if condition is not None:
        return "sdxl-refiner" if condition[-1:] == (_REFINER_CONDITION,) else "sdxl"
    largest = shapes.get("down_blocks.0.attentions.0.proj_in.weight")
    if largest is not None:
        return "sd1" if len(largest) > 2 else "sd2"
    return "other"


_BIG_G = {"image_proj.proj.weight": 1280, "image_proj.proj_in.weight": 1664}
"""Width of what CLIP's ViT-bigG sees as a whole, and in its layers, by the tensor that takes it."""
_FACE_WIDTH = 512
"""Width of a face's identity."""


def _encoder_of(shapes: Shapes) -> str:
    """Tell the image encoder that an IP-Adapter was trained with by the width of what it takes."""
    taking = next((name for name in _BIG_G if len(shapes.get(name, ())) == 2), None)
    if taking is not None:
        width = shapes[taking][-1]
        return "" if width == _FACE_WIDTH else "clip_g" if width == _BIG_G[taking] else "clip_h"
    return "clip_h" if "image_proj.proj.3.weight" in shapes else ""


_ADAPTER_PARTS = tuple(f"body.0.{part}." for part in ("in_conv", "block1", "resnets", "body"))


def _control_role(names: set[str]) -> Role | None:
    if "task_embedding" in names or _any(names, "control_add_embedding.", "control_model.control_add_embedding."):
        return "controlnet-union"
    if _any(names, "control_model.", "input_hint_block.", "controlnet_cond_embedding.", "controlnet_blocks."):
        return "controlnet"
    return "t2i-adapter" if _any(names, "adapter.body.", *_ADAPTER_PARTS, "style_embedding") else None


def _control_family(shapes: Shapes) -> Family:
    names = set(shapes)
    if _any(names, "controlnet_blocks."):
        return "flux" if _any(names, "single_transformer_blocks.", "controlnet_x_embedder.") else "sd3"
    if _any(names, "controlnet_cond_embedding."):
        return _diffusers_family(shapes)
    return _ldm_family(shapes, "control_model." if _any(names, "control_model.") else "")


def _adapter_family(shapes: Shapes) -> Family:
    """Family of a T2I-Adapter, which sees its hint folded by 8 (SD 1) or by 16 (SDXL)."""
    first = shapes.get("conv_in.weight", shapes.get("adapter.conv_in.weight", ()))
    folded = first[1] if len(first) > 1 else 0
    return {64: "sd1", 192: "sd1", 256: "sdxl", 768: "sdxl"}.get(folded, "")  # type: ignore[return-value]


_LORA_PARTS = (
    ".lora_down.", ".lora_up.", ".lora_A.", ".lora_B.", ".lora.down.", ".lora.up.", ".hada_w1_a", ".lokr_w1",
    ".oft_blocks", ".oft_diag", ".dora_scale", "_lora.down.", "_lora.up.",
)  # fmt: skip


def _is_lora(names: set[str]) -> bool:
    return any(
        any(part in name for part in _LORA_PARTS) or (name.startswith("lora_") and name.endswith((".diff", ".diff_b")))
        for name in names
    )


def _lora_family(shapes: Shapes) -> Family:
    names = set(shapes)
    if _any_holds(names, "double_blocks", "single_transformer_blocks"):
        return "flux"
    if _any_holds(names, "joint_blocks") or any(re.search(r"transformer[._]transformer_blocks", n) for n in names):
        return "sd3"
    if _any(names, "lora_te2_", "text_encoder_2."):
        return "sdxl"
    unet = [name for name in names if re.search(r"(down|up|mid)_blocks?[._]|(input|output|middle)_blocks?[._]", name)]
    if any(re.search(r"transformer_blocks[._][1-9]", name) for name in unet):
        return "sdxl"  # the others have one transformer block a place
    width = _text_width(shapes)
    if width in _CONTEXTS:
        return _CONTEXTS[width]
    if any(re.search(r"(input|output|middle)_blocks?[._]", name) for name in unet):
        return "sdxl"  # trainers name layers of the others as diffusers does
    if unet:
        return "sd1"
    encoders = [shape for name, shape in shapes.items() if "mlp_fc1" in name and "down" in name and len(shape) > 1]
    return _CONTEXTS.get(encoders[0][1], "") if encoders else ""


def _text_width(shapes: Shapes) -> int:
    """Width of the text embeddings that a LoRA's cross-attention takes; 0 where nothing shows it."""
    factors: dict[str, int] = {}
    for name, shape in shapes.items():
        if "attn2" not in name or not re.search(r"to_[kv][._]", name) or len(shape) < 2:
            continue
        if name.endswith(("lora_down.weight", "lora_A.weight", "lora.down.weight", "hada_w1_b", ".diff")):
            return shape[1]
        if found := re.search(r"^(.*)\.lokr_w([12])(_b)?$", name):
            other = f"{found[1]}.{found[2] == '1'}"
            if other in factors:
                return shape[1] * factors[other]
            factors[f"{found[1]}.{found[2] != '1'}"] = shape[1]
    return 0


def _said(metadata: Mapping[str, str]) -> Family:
    """Family that training wrote into the file."""
    for key in ("ss_base_model_version", "modelspec.architecture"):
        text = str(metadata.get(key, "")).lower()
        for beginning, family in _BASES.items():
            if text.startswith(beginning):
                return family
    return ""


def _prediction(names: set[str], metadata: Mapping[str, str]) -> Literal["", "epsilon", "v_prediction"]:
    """Prediction type: an empty tensor `v_pred`, or the metadata of the model specification."""
    text = metadata.get("modelspec.prediction_type", "").lower()
    if "v_pred" in names or text in {"v", "v_prediction"}:
        return "v_prediction"
    return "epsilon" if text == "epsilon" else ""


def _vae_family(shapes: Shapes) -> Family:
    """Family of a VAE: those of SD 1, SD 2 and SDXL have one shape; with sixteen channels it is a newer one's."""
    for name, shape in shapes.items():
        if name.endswith("decoder.conv_in.weight") and len(shape) > 1:
            return "" if shape[1] == 4 else "flux" if shape[1] == 16 else "other"
    return ""


def vectors_of(shapes: Shapes) -> tuple[int, int]:
    """Count the vectors of a textual inversion and their width (of SDXL's two kinds the wider); (0, 0) for none."""
    found = shapes.get("clip_g") or shapes.get("emb_params")
    found = found or next((shape for name, shape in shapes.items() if name.startswith("string_to_param.")), None)
    if found is None and len(shapes) == 1:
        found = next(iter(shapes.values()))
    if found is None or not 1 <= len(found) <= 2:
        return 0, 0
    return (found[0] if len(found) == 2 else 1), found[-1]


def _embedding(shapes: Shapes) -> FileKind | None:
    """Tell a textual inversion, `{"clip_g", "clip_l"}`, `{"emb_params"}` or one matrix of vectors."""
    count, width = vectors_of(shapes)
    if "clip_g" in shapes:
        return FileKind("embedding", "sdxl")
    return FileKind("embedding", _CONTEXTS.get(width, "")) if count else None
