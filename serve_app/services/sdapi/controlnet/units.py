"""ControlNet units: parsing of what clients write, preprocessor options, description in the infotext.

Two kinds of mistake, as in the original. A unit that makes no sense ends the request. What goes wrong while it is
prepared (no image, no such model) leaves all units of the request out; unlike the original, the answer says so.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Literal, Self

import structlog
from pydantic import AliasChoices, BeforeValidator, Field, ValidationError, model_validator

from deployments.contracts.diffusion import ControlMode, HintModule, HintOptions, ModelCatalogue, ResizeMode
from serve_app.services.sdapi.errors import broken, refused
from serve_app.services.sdapi.lenient_types import Int, LenientModel, Real, Switch, Text
from serve_app.services.sdapi.model_names import find_module

log = structlog.get_logger(__name__)

Passes = Literal["both", "first", "hires"]
RESIZE_LABELS: dict[ResizeMode, str] = {
    "stretch": "Just Resize",
    "crop": "Crop and Resize",
    "fill": "Resize and Fill",
}
MODE_LABELS: dict[ControlMode, str] = {
    "balanced": "Balanced",
    "prompt": "My prompt is more important",
    "control": "ControlNet is more important",
}
_RESIZE_MODES: dict[Any, ResizeMode] = {
    **{label.lower(): mode for mode, label in RESIZE_LABELS.items()},
    **{0: "stretch", 1: "crop", 2: "fill", 3: "stretch"},
    **{"scale to fit (inner fit)": "crop", "inner fit (scale to fit)": "crop"},
    **{"envelope (outer fit)": "fill", "outer fit (shrink to fit)": "fill"},
    **{"resize_mode.resize": "stretch", "resize_mode.inner_fit": "crop", "resize_mode.outer_fit": "fill"},
}
_CONTROL_MODES: dict[Any, ControlMode] = {
    **{label.lower(): mode for mode, label in MODE_LABELS.items()},
    **{0: "balanced", 1: "prompt", 2: "control"},
    **{f"controlmode.{mode}": mode for mode in MODE_LABELS},
}
_PASSES: dict[Any, Passes] = {
    **{"both": "both", "low res only": "first", "high res only": "hires"},
    **{0: "both", 1: "first", 2: "hires"},
    **{
        "hiresfixoption.both": "both",
        "hiresfixoption.low_res_only": "first",
        "hiresfixoption.high_res_only": "hires",
    },
}
_RESOLUTION = (64, 2048, 512)
_MOST_UNITS = 100
"""Most units of a request, disabled ones included. A body of many megabytes could hold millions."""
_IGNORED = ("advanced_weighting", "effective_region_mask", "ipadapter_input", "pulid_mode", "guess_mode", "guessmode")


def _one_of(choices: Mapping[Any, Any]) -> BeforeValidator:
    known = set(choices.values())

    def choose(value: Any) -> Any:
        if isinstance(value, str):
            text = value.strip().lower()
            if text in known:  # as the payload of a job has it
                return text
            value = int(text) if text.isdecimal() and len(text) < 3 else text
        elif isinstance(value, float) and value.is_integer():
            value = int(value)
        if isinstance(value, bool) or not isinstance(value, str | int) or value not in choices:
            raise ValueError(f"unknown choice {str(value)[:80]!r}")
        return choices[value]

    return BeforeValidator(choose)


class ControlNetUnit(LenientModel):
    """One ControlNet unit; fields are read under any of the names that they have had."""

    enabled: Switch = True
    module: Text = "none"
    model: Text = "None"
    weight: Real = Field(1.0, ge=0, le=2)
    image: Any = Field(None, validation_alias=AliasChoices("image", "input_image"))
    mask: Any = Field(None, validation_alias=AliasChoices("mask", "mask_image"))
    resize_mode: Annotated[ResizeMode, _one_of(_RESIZE_MODES)] = "crop"
    low_vram: Switch = Field(False, validation_alias=AliasChoices("low_vram", "lowvram"))
    processor_res: Int = -1
    threshold_a: Real = -1.0
    threshold_b: Real = -1.0
    guidance_start: Real = Field(0.0, ge=0, le=1)
    guidance_end: Real = Field(1.0, ge=0, le=1, validation_alias=AliasChoices("guidance_end", "guidance"))
    control_mode: Annotated[ControlMode, _one_of(_CONTROL_MODES)] = "balanced"
    pixel_perfect: Switch = False
    hr_option: Annotated[Passes, _one_of(_PASSES)] = "both"
    save_detected_map: Switch = True
    inpaint_crop_input_image: Switch = True
    union_control_type: Text = "Unknown"
    warnings: list[str] = Field(default_factory=list)

    @model_validator(mode="before")
    @classmethod
    def _note_what_is_left_out(cls, data: Any) -> Any:
        if not isinstance(data, dict):
            return data
        if "low_vram" in data and "lowvram" in data:
            raise ValueError("low_vram and lowvram are the same; send one")
        left_out = [name for name in _IGNORED if data.get(name) not in (None, "", [], "Unknown", False)]
        return {**data, "warnings": [*data.get("warnings", []), *(f"{name} has no effect" for name in left_out)]}

    @model_validator(mode="after")
    def _window_is_open(self) -> Self:
        if self.guidance_start > self.guidance_end:
            raise ValueError("guidance_start is greater than guidance_end")
        return self

    def images(self) -> tuple[str | None, str | None]:
        """(image, mask) as the client wrote them, None where empty. Raises `WebUiError` for another form."""
        image, mask = self.image, self.mask
        if isinstance(image, list) and len(image) == 2 and all(isinstance(one, str) for one in image):
            image = {"image": image[0], "mask": image[1]}
        if isinstance(image, list):
            if len(image) > 1:
                self.warnings.append("Only the first of several pictures was used")
            image = image[0] if image else None
        if isinstance(image, dict):
            mask = mask or image.get("mask")
            image = image.get("image")
        for value in (image, mask):
            if not isinstance(value, str | None):
                raise broken("ValidationError", "image: str, {image, mask} or a list of these expected")
        return image or None, mask or None


@dataclass(frozen=True, slots=True)
class PreprocessorPlan:
    """Options of a unit's preprocessor, and its thresholds for the infotext."""

    options: HintOptions
    shown: tuple[float, float]
    """Thresholds A and B, -1 where the module has none."""


def read_units(
    scripts: Mapping[str, Any], catalogue: ModelCatalogue, most: int
) -> tuple[list[ControlNetUnit], list[str]]:
    """Parse the enabled units out of `alwayson_scripts`. -> units, warnings. Raises `WebUiError`."""
    given: list[Any] = []
    for name, script in scripts.items():
        if name.lower() == "controlnet":
            given += _arguments(script)
    if len(given) > _MOST_UNITS:
        raise refused(422, f"{len(given)} ControlNet units in one request; at most {_MOST_UNITS} are read")
    units: list[ControlNetUnit] = []
    warnings: list[str] = []
    for place, argument in enumerate(given):
        if isinstance(argument, bool | str | int | float):
            raise refused(422, "ControlNet units are objects; the form of values in a row is not understood")
        unit = _parse(argument)
        if not unit.enabled:
            continue
        if len(units) == most:
            warnings.append(f"ControlNet unit {place} was left out: at most {most} are used")
            continue
        if find_module(catalogue, unit.module) is None:
            raise broken("ValidationError", f"module({unit.module[:80]}) not found in supported modules.")
        units.append(unit)
    return units, warnings


def _arguments(script: Any) -> list[Any]:
    arguments = script.get("args", []) if isinstance(script, dict) else script
    if isinstance(arguments, dict):
        return [arguments]
    if not isinstance(arguments, list):
        raise refused(422, "alwayson_scripts.ControlNet.args is a list of units")
    return [argument for argument in arguments if argument is not None]


def _parse(argument: Any) -> ControlNetUnit:
    try:
        return ControlNetUnit.model_validate(argument)
    except ValidationError as error:
        told = "; ".join(f"{'.'.join(map(str, one['loc']))}: {one['msg']}" for one in error.errors()[:5])
        raise broken("ValidationError", told) from None


def prepare(unit: ControlNetUnit, module: HintModule, resolution: int | None = None) -> PreprocessorPlan:
    """Choose preprocessor options; numbers out of a module's range mean its defaults.

    `resolution`: that of a pixel perfect unit.
    """
    least, most, default = _RESOLUTION
    chosen = unit.processor_res
    if not least <= chosen <= most:
        if chosen != -1:
            log.warning(f"[{unit.module}.processor_res] Invalid value({chosen}), using default value {default}.")
        chosen = default
    if resolution is not None:
        chosen = min(most, max(least, resolution))
    sliders = [slider for slider in module.sliders if "resolution" not in str(slider.get("name", "")).lower()]
    thresholds: list[float | None] = []
    shown = []
    for place, (name, value) in enumerate((("threshold_a", unit.threshold_a), ("threshold_b", unit.threshold_b))):
        if place >= len(sliders):
            thresholds.append(None)
            shown.append(-1.0)
            continue
        slider = sliders[place]
        if float(slider["min"]) <= value <= float(slider["max"]):
            thresholds.append(value)
            shown.append(value)
            continue
        usual = float(slider["value"])
        if value != -1:
            log.warning(f"[{unit.module}.{name}] Invalid value({value}), using default value {usual:g}.")
        thresholds.append(None)
        shown.append(usual)
    return PreprocessorPlan(HintOptions(chosen, thresholds[0], thresholds[1]), (shown[0], shown[1]))


def describe(unit: ControlNetUnit, prepared: PreprocessorPlan, model: str) -> str:
    """Describe a unit for the infotext."""
    parts: dict[str, object] = {
        "Module": unit.module,
        "Model": model,
        "Weight": unit.weight,
        "Resize Mode": RESIZE_LABELS[unit.resize_mode],
        "Processor Res": prepared.options.processor_res,
        "Threshold A": prepared.shown[0],
        "Threshold B": prepared.shown[1],
        "Guidance Start": unit.guidance_start,
        "Guidance End": unit.guidance_end,
        "Pixel Perfect": unit.pixel_perfect,
        "Control Mode": MODE_LABELS[unit.control_mode],
    }
    return ", ".join(f"{key}: {value}" for key, value in parts.items())
