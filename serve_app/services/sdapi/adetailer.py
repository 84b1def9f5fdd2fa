"""Arguments of the script ADetailer: what is redrawn in each finished image, and how."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, ValidationError

from configs.settings import Settings
from deployments.algorithms.a1111.bounds import LEAST_PX, LONGEST_PROMPT, MOST_GUIDANCE
from deployments.algorithms.a1111.detail_masks import MaskOptions, Shape
from serve_app.services.sdapi.errors import broken, refused
from serve_app.services.sdapi.lenient_types import Int, LenientModel, Real, Switch, Text

NAME = "adetailer"
SEPARATOR, ORIGINAL = "[SEP]", "[PROMPT]"
"""What separates the prompts of several faces, and what stands for the request's."""
_MOST_UNITS = 10
"""Most units of a request, as many as the extension has tabs."""
_IGNORED = {
    "ad_use_checkpoint": "ad_checkpoint",
    "ad_use_vae": "ad_vae",
    "ad_use_noise_multiplier": "ad_noise_multiplier",
    "ad_restore_face": "ad_restore_face",
}
"""Switch -> the argument that has no effect where it is on."""


def _merge(value: Any) -> Any:
    return "None" if value in ("", None) else value


class DetailUnit(LenientModel):
    """One unit of ADetailer; names and defaults are the extension's."""

    ad_model: Text = "None"
    ad_tab_enable: Switch = True
    ad_prompt: Text = Field("", max_length=LONGEST_PROMPT)
    ad_negative_prompt: Text = Field("", max_length=LONGEST_PROMPT)
    ad_confidence: Real = Field(0.3, ge=0, le=1)
    ad_mask_filter_method: Text = "Area"
    ad_mask_k: Int = Field(0, ge=0)
    ad_mask_k_largest: Int = Field(0, ge=0)
    ad_mask_min_ratio: Real = Field(0.0, ge=0, le=1)
    ad_mask_max_ratio: Real = Field(1.0, ge=0, le=1)
    ad_dilate_erode: Int = Field(4, ge=-256, le=256)
    ad_x_offset: Int = Field(0, ge=-4096, le=4096)
    ad_y_offset: Int = Field(0, ge=-4096, le=4096)
    ad_mask_merge_invert: Annotated[Literal["None", "Merge", "Merge and Invert"], BeforeValidator(_merge)] = "None"
    ad_mask_blur: Int = Field(4, ge=0, le=256)
    ad_denoising_strength: Real = Field(0.4, ge=0, le=1)
    ad_inpaint_only_masked: Switch = True
    ad_inpaint_only_masked_padding: Int = Field(32, ge=0, le=4096)
    ad_use_inpaint_width_height: Switch = False
    ad_inpaint_width: Int = 512
    ad_inpaint_height: Int = 512
    ad_use_steps: Switch = False
    ad_steps: Int = 28
    ad_use_cfg_scale: Switch = False
    ad_cfg_scale: Real = Field(7.0, ge=0, le=MOST_GUIDANCE)
    ad_use_sampler: Switch = False
    ad_sampler: Text = "DPM++ 2M Karras"
    ad_scheduler: Text = "Use same scheduler"
    ad_use_clip_skip: Switch = False
    ad_clip_skip: Int = Field(1, ge=1, le=12)
    warnings: list[str] = Field(default_factory=list)

    @property
    def shape(self) -> Shape | None:
        """What is marked of a face; None for a model that finds no faces."""
        name = self.ad_model.lower()
        if name == "mediapipe_face_mesh_eyes_only":
            return "eyes"
        if name == "mediapipe_face_mesh":
            return "mesh"
        return "box" if name.startswith(("face_", "mediapipe_face")) else None

    @property
    def masks(self) -> MaskOptions:
        """How masks are chosen and changed."""
        return MaskOptions(
            self.ad_confidence,
            self.ad_mask_min_ratio,
            self.ad_mask_max_ratio,
            self.ad_mask_k or self.ad_mask_k_largest,
            self.ad_mask_filter_method.lower() == "confidence",
            self.ad_dilate_erode,
            self.ad_x_offset,
            self.ad_y_offset,
            self.ad_mask_merge_invert,
        )

    def parameters(self, place: int) -> dict[str, Any]:
        """Describe the unit for the infotext; the second one and those behind it are numbered."""
        number = "" if place == 0 else f" {place + 1}{'nd' if place == 1 else 'rd' if place == 2 else 'th'}"
        return {
            f"ADetailer {name}{number}": value
            for name, value in {
                "model": self.ad_model,
                "prompt": self.ad_prompt or None,
                "negative prompt": self.ad_negative_prompt or None,
                "confidence": self.ad_confidence,
                "dilate erode": self.ad_dilate_erode,
                "mask blur": self.ad_mask_blur,
                "denoising strength": self.ad_denoising_strength,
                "inpaint only masked": self.ad_inpaint_only_masked,
                "inpaint padding": self.ad_inpaint_only_masked_padding,
            }.items()
        }


def read_details(scripts: Mapping[str, Any], settings: Settings) -> tuple[list[DetailUnit], list[str]]:
    """Parse the enabled units out of `alwayson_scripts`. -> units, warnings. Raises `WebUiError`.

    `args` are two switches (enable, skip img2img), which may be left out, and the units.
    """
    given: list[Any] = []
    for name, script in scripts.items():
        if name.lower() == NAME:
            given += _arguments(script)
    switches = [one for one in given if isinstance(one, bool | int)]
    dicts = [one for one in given if isinstance(one, dict)]
    if len(switches) + len(dicts) != len(given) or len(dicts) > _MOST_UNITS:
        raise refused(422, f"ADetailer's arguments are two switches and at most {_MOST_UNITS} objects")
    if switches and not switches[0]:
        return [], []
    warnings = ["ADetailer: skip_img2img has no effect"] if len(switches) > 1 and switches[1] else []
    units = []
    for unit in map(_parse, dicts):
        if not unit.ad_tab_enable or unit.ad_model in ("None", ""):
            continue
        if unit.shape is None:
            warnings.append(f"ADetailer: there is no model {unit.ad_model[:80]!r} here, faces are found by our own")
            continue
        _check(unit, settings)
        warnings += unit.warnings
        units.append(unit)
    return units, warnings


def check_prompts(units: Sequence[DetailUnit], prompt: str, negative_prompt: str) -> None:
    """Check that no face's prompt is too long once `[PROMPT]` is replaced. Raises `WebUiError`."""
    for unit in units:
        pairs = ((unit.ad_prompt, prompt), (unit.ad_negative_prompt, negative_prompt))
        lengths = (_replaced_length(part, own) for text, own in pairs for part in text.split(SEPARATOR))
        if (longest := max(lengths)) > LONGEST_PROMPT:
            raise refused(
                422,
                f"ADetailer: a prompt has {longest} characters once {ORIGINAL} is replaced; at most {LONGEST_PROMPT} "
                "are taken",
            )


def _replaced_length(text: str, original: str) -> int:
    return len(text) + text.count(ORIGINAL) * (len(original) - len(ORIGINAL))


def _arguments(script: Any) -> list[Any]:
    arguments = script.get("args", []) if isinstance(script, dict) else script
    if not isinstance(arguments, list):
        raise refused(422, "alwayson_scripts.ADetailer.args is a list")
    return [argument for argument in arguments if argument is not None]


def _parse(argument: dict[str, Any]) -> DetailUnit:
    try:
        unit = DetailUnit.model_validate(argument)
    except ValidationError as error:
        told = "; ".join(f"{'.'.join(map(str, one['loc']))}: {one['msg']}" for one in error.errors()[:5])
        raise broken("ValidationError", told) from None
    ignored = [name for switch, name in _IGNORED.items() if argument.get(switch)]
    if str(argument.get("ad_controlnet_model") or "None") != "None":
        ignored.append("ad_controlnet_model")
    unit.warnings += [f"ADetailer: {name} has no effect" for name in ignored]
    return unit


def _check(unit: DetailUnit, settings: Settings) -> None:
    most_px, most_steps = settings.diffusion.max_side_px, settings.diffusion.max_steps
    sides = (unit.ad_inpaint_width, unit.ad_inpaint_height)
    if unit.ad_use_inpaint_width_height and not all(LEAST_PX <= side <= most_px for side in sides):
        raise refused(422, f"ad_inpaint_width and ad_inpaint_height are {LEAST_PX} to {most_px}")
    if unit.ad_use_steps and not 1 <= unit.ad_steps <= most_steps:
        raise refused(422, f"ad_steps are 1 to {most_steps}")
