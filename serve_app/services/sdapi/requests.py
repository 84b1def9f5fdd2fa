"""Request bodies of txt2img and img2img, with the original's field names and defaults, and their checks.

Parsed twice: from HTTP, and on the worker from the job's payload, which holds everything but the images.
"""

from __future__ import annotations

from typing import Any, TypeVar

from pydantic import Field, ValidationError

from configs.settings import Settings
from deployments.algorithms.a1111.bounds import GRID_PX, LEAST_PX, LONGEST_PROMPT, MOST_GUIDANCE
from deployments.algorithms.a1111.infotext import read_infotext
from serve_app.services.sdapi.errors import bad_field, refused
from serve_app.services.sdapi.lenient_types import LONGEST_LIST, Int, LenientModel, Real, Switch, Text

SCRIPTS = {"txt2img": ("x/y/z plot",), "img2img": ("sd upscale", "x/y/z plot")}
"""Selectable scripts that are served, by lower-case title."""
ALWAYS_ON = ("controlnet", "adetailer")
_MAX_SEED_TEXT = 2**63
_LONGEST_INFOTEXT = 200_000
_MOST_BLUR = 256
R = TypeVar("R", bound="GenerationBody")


class GenerationBody(LenientModel):
    """Fields that txt2img and img2img have in common."""

    prompt: Text = ""
    negative_prompt: Text = ""
    styles: list[Text] | None = Field(None, max_length=64)
    seed: Int = -1
    subseed: Int = -1
    subseed_strength: Real = Field(0.0, ge=0, le=1)
    seed_resize_from_h: Int = -1
    seed_resize_from_w: Int = -1
    sampler_name: Text | None = None
    sampler_index: Text = "Euler"
    scheduler: Text | None = None
    batch_size: Int = 1
    n_iter: Int = 1
    steps: Int = 50
    cfg_scale: Real = 7.0
    width: Int = 512
    height: Int = 512
    restore_faces: Switch | None = None
    tiling: Switch | None = None
    do_not_save_samples: Switch = False
    do_not_save_grid: Switch = False
    eta: Real | None = None
    denoising_strength: Real | None = Field(None, ge=0, le=1)
    s_min_uncond: Real | None = None
    s_churn: Real | None = None
    s_tmax: Real | None = None
    s_tmin: Real | None = None
    s_noise: Real | None = None
    override_settings: dict[str, Any] | None = None
    override_settings_restore_afterwards: Switch = True
    refiner_checkpoint: Text | None = None
    refiner_switch_at: Real | None = None
    disable_extra_networks: Switch = False
    firstpass_image: Text | None = None
    comments: dict[str, Any] | None = None
    script_name: Text | None = None
    script_args: list[Any] = Field(default_factory=list)
    alwayson_scripts: dict[str, Any] = Field(default_factory=dict)
    send_images: Switch = True
    save_images: Switch = False
    force_task_id: Text | None = Field(None, max_length=200)
    infotext: Text | None = None

    @property
    def script(self) -> str:
        """Name of the selectable script in lower case; empty: none."""
        return (self.script_name or "").lower()

    @property
    def image_count(self) -> int:
        """Images that are made, grids and hints aside."""
        return self.batch_size * self.n_iter

    def sizes(self) -> tuple[tuple[int, int], ...]:
        """(width, height) of each pass, multiples of 8."""
        return (on_grid((self.width, self.height)),)

    @property
    def sampler(self) -> str:
        """The sampler's name, in whichever of the two fields it is."""
        return self.sampler_name or self.sampler_index


class Txt2ImgBody(GenerationBody):
    enable_hr: Switch = False
    firstphase_width: Int = 0
    firstphase_height: Int = 0
    hr_scale: Real = 2.0
    hr_upscaler: Text | None = None
    hr_second_pass_steps: Int = 0
    hr_resize_x: Int = 0
    hr_resize_y: Int = 0
    hr_checkpoint_name: Text | None = None
    hr_sampler_name: Text | None = None
    hr_scheduler: Text | None = None
    hr_prompt: Text = ""
    hr_negative_prompt: Text = ""

    def sizes(self) -> tuple[tuple[int, int], tuple[int, int]]:
        """(width, height) of the first and of the second pass, multiples of 8; equal without hires fix."""
        first = (self.width, self.height)
        if not self.enable_hr:
            target = first
        elif self.firstphase_width or self.firstphase_height:  # as it was asked for long ago
            first, target = (self.firstphase_width or self.width, self.firstphase_height or self.height), first
        elif not (self.hr_resize_x or self.hr_resize_y):
            target = (int(self.width * self.hr_scale), int(self.height * self.hr_scale))
        else:
            target = (
                self.hr_resize_x or self.hr_resize_y * self.width // self.height,
                self.hr_resize_y or self.hr_resize_x * self.height // self.width,
            )
        return on_grid(first), on_grid(target)


class Img2ImgBody(GenerationBody):
    init_images: list[Text] | None = Field(None, max_length=LONGEST_LIST)
    resize_mode: Int = Field(0, ge=0, le=3)
    denoising_strength: Real | None = Field(0.75, ge=0, le=1)
    image_cfg_scale: Real | None = None
    mask: Text | None = None
    mask_blur: Int | None = Field(None, ge=0, le=_MOST_BLUR)
    mask_blur_x: Int = Field(4, ge=0, le=_MOST_BLUR)
    mask_blur_y: Int = Field(4, ge=0, le=_MOST_BLUR)
    mask_round: Switch = True
    inpainting_fill: Int = Field(0, ge=0, le=3)
    inpaint_full_res: Switch = True
    inpaint_full_res_padding: Int = Field(0, ge=0, le=4096)
    inpainting_mask_invert: Int = 0
    initial_noise_multiplier: Real | None = None
    latent_mask: Text | None = None
    include_init_images: Switch = False


def on_grid(size: tuple[int, int]) -> tuple[int, int]:
    """Round (width, height) down to multiples of 8, which the engine needs."""
    return size[0] // GRID_PX * GRID_PX, size[1] // GRID_PX * GRID_PX


_FROM_INFOTEXT = {
    "Prompt": "prompt",
    "Negative prompt": "negative_prompt",
    "Steps": "steps",
    "Sampler": "sampler_name",
    "Schedule type": "scheduler",
    "CFG scale": "cfg_scale",
    "Seed": "seed",
    "Size-1": "width",
    "Size-2": "height",
    "Variation seed": "subseed",
    "Variation seed strength": "subseed_strength",
    "Denoising strength": "denoising_strength",
    "Hires upscale": "hr_scale",
    "Hires steps": "hr_second_pass_steps",
    "Hires upscaler": "hr_upscaler",
    "Mask blur": "mask_blur",
}


def with_infotext(body: R) -> R:
    """Fill fields that the client did not set from its `infotext`, if any. Raises `FieldRefused`."""
    if not body.infotext:
        return body
    said = read_infotext(body.infotext, with_defaults=False)
    fields = {field: said[key] for key, field in _FROM_INFOTEXT.items() if key in said}
    known = body.model_dump(exclude_unset=True)
    merged = {**{field: value for field, value in fields.items() if field in type(body).model_fields}, **known}
    if "Clip skip" in said:
        merged["override_settings"] = {
            "CLIP_stop_at_last_layers": said["Clip skip"],
            **(known.get("override_settings") or {}),
        }
    try:
        return type(body).model_validate(merged)
    except ValidationError as error:
        raise bad_field(_first_of(error), "infotext") from None


def check_fields(body: GenerationBody) -> None:
    """Check the fields of a body that was changed since it was read. Raises `FieldRefused`."""
    images = {"init_images", "mask", "latent_mask", "firstpass_image"}
    try:
        type(body).model_validate(body.model_dump(exclude={*images, "alwayson_scripts", "script_args"}))
    except ValidationError as error:
        raise bad_field(_first_of(error), *error.errors()[0]["loc"]) from None


def _first_of(error: ValidationError) -> str:
    first = error.errors()[0]
    return f"{'.'.join(map(str, first['loc']))}: {first['msg']}"


def check(body: GenerationBody, kind: str, settings: Settings) -> None:
    """Check ranges and scripts. Raises `FieldRefused` for absurd amounts, `WebUiError` for unknown scripts."""
    most_px, most = settings.diffusion.max_side_px, settings.limits.max_generated
    _within(body.steps, 1, settings.diffusion.max_steps, "steps")
    _within(body.width, LEAST_PX, most_px, "width")
    _within(body.height, LEAST_PX, most_px, "height")
    _within(body.cfg_scale, 0, MOST_GUIDANCE, "cfg_scale")
    _within(body.batch_size, 1, most, "batch_size")
    _within(body.n_iter, 1, most, "n_iter")
    if body.image_count > most:
        raise bad_field(f"{body.image_count} pictures in one request; at most {most} are made", "batch_size")
    for name in ("seed", "subseed"):
        _within(getattr(body, name), -1, _MAX_SEED_TEXT, name)
    if isinstance(body, Txt2ImgBody):
        _within(body.hr_second_pass_steps, 0, settings.diffusion.max_steps, "hr_second_pass_steps")
        if body.enable_hr:
            _check_hires(body, most_px)
    for name in ("prompt", "negative_prompt", "hr_prompt", "hr_negative_prompt"):
        if len(getattr(body, name, "")) > LONGEST_PROMPT:
            raise bad_field(f"ensure this value has at most {LONGEST_PROMPT} characters", name)
    if len(body.infotext or "") > _LONGEST_INFOTEXT:
        raise bad_field(f"ensure this value has at most {_LONGEST_INFOTEXT} characters", "infotext")
    _check_scripts(body, kind)


def _within(value: float, least: float, most: float, field: str) -> None:
    if not least <= value <= most:
        raise bad_field(f"ensure this value is between {least} and {most}", field)


def _check_hires(body: Txt2ImgBody, most_px: int) -> None:
    _within(body.hr_scale, 0, 100, "hr_scale")
    for first, target in zip(*body.sizes(), strict=True):
        _within(first, LEAST_PX, most_px, "firstphase_width")
        _within(target, LEAST_PX, most_px, "hr_scale")


def _check_scripts(body: GenerationBody, kind: str) -> None:
    if body.script and body.script not in SCRIPTS[kind]:
        raise refused(422, f"Script '{body.script_name}' not found")
    for name in body.alwayson_scripts:
        if name.lower() in {*SCRIPTS["txt2img"], *SCRIPTS["img2img"]}:
            raise refused(422, "Cannot have a selectable script in the always on scripts params")
        if name.lower() not in ALWAYS_ON:
            raise refused(422, f"Script '{name}' not found")
