"""Settings of the web UI that clients read and change, and the `override_settings` of a request."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from pydantic import TypeAdapter, ValidationError

from configs.settings import Settings
from deployments.algorithms.a1111.image_metadata import FileFormat
from deployments.contracts.diffusion import MAX_SEED, Diffuser, Emphasis, ModelCatalogue, ModelFile, NoiseSource
from deployments.errors import NotDeployed
from serve_app.services.sdapi.errors import bad_field, broken
from serve_app.services.sdapi.face_restoration import GFPGAN
from serve_app.services.sdapi.lenient_types import Int, Real, Switch, Text
from serve_app.services.sdapi.model_names import find_checkpoint, find_vae, title
from serve_app.services.sdapi.previews import PreviewOptions
from serve_app.store.repositories import sd_options
from serve_app.store.session import Database

CHECKPOINT, VAE, FACE_RESTORER = "sd_model_checkpoint", "sd_vae", "face_restoration_model"
_MODEL_VAE = frozenset({"", "automatic", "none"})
"""Names for the checkpoint's own VAE."""
DEFAULTS: dict[str, Any] = {
    CHECKPOINT: "",
    VAE: "Automatic",
    "CLIP_stop_at_last_layers": 1,
    "samples_format": "png",
    "jpeg_quality": 80,
    "send_seed": True,
    "enable_prompt_comments": True,
    "img2img_fix_steps": False,
    "face_restoration": False,
    FACE_RESTORER: GFPGAN,
    "code_former_weight": 0.5,
    "tiling": False,
    "eta_noise_seed_delta": 0,
    "randn_source": "GPU",
    "emphasis": "Original",
    "pad_cond_uncond": False,
    "sdxl_crop_top": 0,
    "sdxl_crop_left": 0,
    "sdxl_refiner_low_aesthetic_score": 2.5,
    "sdxl_refiner_high_aesthetic_score": 6.0,
    "live_previews_enable": True,
    "show_progress_every_n_steps": 10,
    "show_progress_grid": True,
    "live_previews_image_format": "png",
    "control_net_no_detectmap": False,
}
_READ_ONLY = frozenset({"sd_checkpoint_hash", "control_net_unit_count"})
_KNOWN_WITHOUT_EFFECT = frozenset(
    {
        *("eta_ancestral", "eta_ddim", "s_churn", "s_tmin", "s_tmax", "s_noise"),
        *("s_min_uncond", "comma_padding_backtrack", "pad_cond_uncond_v0", "upcast_attn"),
        *("sd_vae_as_default", "sd_unet", "sd_hypernetwork", "sd_lora", "token_merging_ratio", "filter_nsfw"),
        *("img2img_background_color", "img2img_color_correction"),
        *("initial_noise_multiplier", "inpainting_mask_weight", "show_progress_type", "live_preview_content"),
        *("live_preview_refresh_period", "samples_save", "grid_save", "save_images_add_number", "return_grid"),
        *(
            "return_mask",
            "do_not_show_images",
            "enable_pnginfo",
            "webp_lossless",
            "save_to_dirs",
            "upscaler_for_img2img",
        ),
        *("sd_checkpoint_cache", "sd_checkpoints_limit", "use_old_karras_scheduler_sigmas", "uni_pc_order"),
        *("sgm_noise_multiplier", "always_discard_next_to_last_sigma", "sd_noise_schedule", "fp8_storage"),
        *("control_net_detectedmap_dir", "control_net_models_path", "control_net_modules_path"),
        *("control_net_model_cache_size", "control_net_inpaint_blur_sigma", "control_net_detectmap_autosaving"),
        *("control_net_allow_script_control", "control_net_sync_field_args", "controlnet_ignore_noninpaint_mask"),
        *("controlnet_show_batch_images_in_ui", "controlnet_increment_seed_during_batch"),
        *("controlnet_disable_openpose_edit", "controlnet_disable_photopea_edit", "controlnet_photopea_warning"),
        "controlnet_clip_detector_on_cpu",
    }
)
"""Settings of the original and its ControlNet extension that a request may bring along: accepted, and said to do
nothing here."""
_TYPES: dict[type, TypeAdapter[Any]] = {
    bool: TypeAdapter(Switch),
    int: TypeAdapter(Int),
    float: TypeAdapter(Real),
    str: TypeAdapter(Text),
}
_RANGES = {
    "CLIP_stop_at_last_layers": (1, 12),
    "jpeg_quality": (1, 100),
    "code_former_weight": (0, 1),
    "show_progress_every_n_steps": (-1, 150),
    "eta_noise_seed_delta": (0, MAX_SEED),
    "sdxl_crop_top": (0, 1024),
    "sdxl_crop_left": (0, 1024),
    "sdxl_refiner_low_aesthetic_score": (0, 10),
    "sdxl_refiner_high_aesthetic_score": (0, 10),
}
LONGEST_TEXT = 500
"""Characters of a setting's text; the longest are titles of checkpoints, a file name and a hash."""
MOST_BYTES = 65_536
"""Bytes of all settings of one request as JSON. All of the original's, sent back as they were got, have about 20 kB."""
_FORMATS: dict[str, FileFormat] = {"png": "png", "jpg": "jpg", "jpeg": "jpg", "webp": "webp"}


NOISE_SOURCES: dict[str, NoiseSource] = {"CPU": "CPU", "NV": "NV"}
_EMPHASES: dict[str, Emphasis] = {"No norm": "No norm", "Ignore": "Ignore", "None": "None"}


@dataclass(frozen=True, slots=True)
class SamplingOptions:
    """Settings of noise and prompts. Stored in the job's payload."""

    noise_seed_delta: int = 0
    """`eta_noise_seed_delta`."""
    noise_source: NoiseSource = "GPU"
    """`randn_source`; anything unknown is GPU, as in the original."""
    emphasis: Emphasis = "Original"
    """`emphasis`; anything unknown is Original."""
    pad_prompts: bool = False
    """`pad_cond_uncond`."""
    crop: tuple[int, int] = (0, 0)
    """`sdxl_crop_top` and `sdxl_crop_left`."""
    scores: tuple[float, float] = (2.5, 6.0)
    """`sdxl_refiner_low_aesthetic_score` and `sdxl_refiner_high_aesthetic_score`."""


@dataclass(frozen=True, slots=True)
class Options:
    """The settings that hold for one request. Stored in the job's payload."""

    checkpoint: str = ""
    """Names as the catalogue has them; empty: the configured one."""
    vae: str = ""
    clip_skip: int = 1
    samples_format: FileFormat = "png"
    jpeg_quality: int = 80
    prompt_comments: bool = True
    exact_steps: bool = False
    face_restoration: bool = False
    tiling: bool = False
    previews: PreviewOptions = field(default_factory=PreviewOptions)
    sampling: SamplingOptions = SamplingOptions()
    face_restorer: str = GFPGAN
    """`face_restoration_model`."""
    restorer_weight: float = 0.5
    """`code_former_weight`."""
    hides_maps: bool = False
    """`control_net_no_detectmap`."""


class OptionService:
    """Reads and changes the settings of users."""

    def __init__(self, database: Database, diffuser: Diffuser, settings: Settings) -> None:
        self._database = database
        self._diffuser = diffuser
        self._settings = settings

    async def catalogue(self) -> ModelCatalogue:
        """Models of the diffusion engine; none where it is not deployed."""
        try:
            return await self._diffuser.list_models()
        except NotDeployed:
            return ModelCatalogue()

    async def view(self, user_id: str) -> dict[str, Any]:
        """All settings of the user, flat. `change` accepts all that it returns."""
        catalogue = await self.catalogue()
        values = await self._load(user_id)
        wanted = values[CHECKPOINT] or catalogue.default_checkpoint
        checkpoint = find_checkpoint(catalogue, wanted) if wanted else None
        return {
            **values,
            CHECKPOINT: title(checkpoint) if checkpoint else wanted,
            "sd_checkpoint_hash": checkpoint.sha256 if checkpoint else "",
            "control_net_unit_count": self._settings.diffusion.max_controls,
        }

    async def embeddings(self, user_id: str) -> tuple[list[ModelFile], list[ModelFile]]:
        """Textual inversions that fit the user's current checkpoint, and the others."""
        catalogue = await self.catalogue()
        wanted = (await self._load(user_id))[CHECKPOINT] or catalogue.default_checkpoint
        checkpoint = find_checkpoint(catalogue, wanted) if wanted else None
        family = checkpoint.family if checkpoint else ""
        fitting = [one for one in catalogue.embeddings if not family or one.family in ("", family)]
        return fitting, [one for one in catalogue.embeddings if one not in fitting]

    async def change(self, user_id: str, values: Mapping[str, Any]) -> None:
        """Change settings.

        Raises `WebUiError` for an unknown name (unless its value is null) or checkpoint, `FieldRefused` for too long
        ones.
        """
        _check_size(values)
        changed = {}
        for name, value in values.items():
            if value is None or name in _READ_ONLY or name in _KNOWN_WITHOUT_EFFECT:
                continue
            changed[name] = _checked(name, value)
        if changed.get(CHECKPOINT):
            changed[CHECKPOINT] = await self._resolve(user_id, changed[CHECKPOINT])
        async with self._database.transaction() as session:
            await sd_options.save(session, user_id, changed)

    async def keep(self, user_id: str, overrides: Mapping[str, Any], catalogue: ModelCatalogue) -> None:
        """Make a request's settings the user's. An unknown checkpoint was not used, and is not kept."""
        wanted = overrides.get(CHECKPOINT)
        if wanted and find_checkpoint(catalogue, str(wanted)) is None:
            overrides = {**overrides, CHECKPOINT: None}
        await self.change(user_id, overrides)

    async def for_request(
        self, user_id: str, overrides: Mapping[str, Any], catalogue: ModelCatalogue
    ) -> tuple[Options, list[str]]:
        """The user's settings under a request's own, and warnings for those without effect. Raises as `change`."""
        _check_size(overrides, "override_settings")
        values, warnings = await self._load(user_id), []
        for name, value in overrides.items():
            if value is None:
                continue
            if name in _KNOWN_WITHOUT_EFFECT or name in _READ_ONLY:
                warnings.append(f"The setting {name} has no effect on this server")
                continue
            value = _checked(name, value)
            if name == CHECKPOINT and value and find_checkpoint(catalogue, value) is None:
                warnings.append(f"The checkpoint {value!r} is not here; the current one was used")
                continue
            values[name] = value
        checkpoint = find_checkpoint(catalogue, values[CHECKPOINT]) if values[CHECKPOINT] else None
        vae = None
        if values[VAE].lower() not in _MODEL_VAE:
            vae = find_vae(catalogue, values[VAE])
            if vae is None:
                warnings.append(f"The VAE {values[VAE]!r} is not here; the checkpoint's own was used")
        options = Options(
            checkpoint.name if checkpoint else "",
            vae.name if vae else "",
            values["CLIP_stop_at_last_layers"],
            _FORMATS.get(values["samples_format"].lower(), "png"),
            values["jpeg_quality"],
            values["enable_prompt_comments"],
            values["img2img_fix_steps"],
            values["face_restoration"],
            values["tiling"],
            PreviewOptions(
                values["live_previews_enable"],
                values["show_progress_every_n_steps"],
                _FORMATS.get(values["live_previews_image_format"].lower(), "png"),
                values["show_progress_grid"],
            ),
            SamplingOptions(
                values["eta_noise_seed_delta"],
                NOISE_SOURCES.get(values["randn_source"], "GPU"),
                _EMPHASES.get(values["emphasis"], "Original"),
                values["pad_cond_uncond"],
                (values["sdxl_crop_top"], values["sdxl_crop_left"]),
                (values["sdxl_refiner_low_aesthetic_score"], values["sdxl_refiner_high_aesthetic_score"]),
            ),
            values[FACE_RESTORER],
            values["code_former_weight"],
            values["control_net_no_detectmap"],
        )
        return options, warnings

    async def _load(self, user_id: str) -> dict[str, Any]:
        async with self._database.transaction() as session:
            stored = await sd_options.load(session, user_id)
        return {**DEFAULTS, **{name: value for name, value in stored.items() if name in DEFAULTS}}

    async def _resolve(self, user_id: str, wanted: str) -> str:
        """The name of a checkpoint. The title that `view` gives for a model that is gone is accepted as it is."""
        catalogue = await self.catalogue()
        found = find_checkpoint(catalogue, wanted)
        if found is not None:
            return found.name
        if wanted == ((await self._load(user_id))[CHECKPOINT] or catalogue.default_checkpoint):
            return wanted
        raise broken("RuntimeError", f"model {wanted!r} not found")


def _check_size(values: Mapping[str, Any], *field: str) -> None:
    if len(json.dumps(values)) > MOST_BYTES:
        raise bad_field(f"the settings have more than {MOST_BYTES} bytes", *field)


def _checked(name: str, value: Any) -> Any:
    if name not in DEFAULTS:
        raise broken("KeyError", repr(name[:LONGEST_TEXT]))
    try:
        value = _TYPES[type(DEFAULTS[name])].validate_python(value)
    except ValidationError:
        raise broken("ValueError", f"bad value for setting {name}") from None
    if isinstance(value, str) and len(value) > LONGEST_TEXT:
        raise bad_field(f"a setting has at most {LONGEST_TEXT} characters", name)
    if name in _RANGES:
        least, most = _RANGES[name]
        value = min(most, max(least, value))
    return value
