"""Loading of models from disk or from a hub; errors name the file or setting that would mend them."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from deployments.contracts.diffusion import FAMILY_NAMES, ROLE_NAMES
from deployments.engines.diffusion.catalogue import CHECKPOINT, MODELS_DIR, Catalogue, Model
from deployments.engines.diffusion.controlnets import attend_within_rows
from deployments.engines.diffusion.device import Device
from deployments.engines.diffusion.families import Family, identify_unet
from deployments.engines.diffusion.headers import load_tensors, read_header
from deployments.engines.diffusion.single_files import (
    Parts,
    build_checkpoint,
    build_controlnet,
    build_union,
    build_vae,
    read_vae_config,
)
from deployments.errors import DarkroomError, NotSupported, WeightsMissing

_KNOWN_PIPELINES = ("StableDiffusionXL", "StableDiffusion", "LatentConsistencyModel")
_OTHER_FAMILIES = ("3", "Cascade", "Upscale", "LDM3D", "Depth2Img", "LatentUpscale", "InstructPix2Pix")
_PLAIN_CHANNELS, _INPAINTING_CHANNELS = 4, 9
_OPEN_CLIP_WIDTH = 1024
_FAMILIES = ("sd1", "sd2", "sdxl")
_RUNNING = f"{FAMILY_NAMES['sd1']}, {FAMILY_NAMES['sd2']} and {FAMILY_NAMES['sdxl']}"
_VARIANTS = ("", "inpaint")
_UNION = "controlnet-union"
_ROLES = {"checkpoints": "checkpoint", "loras": "lora", "controlnets": "controlnet", "vaes": "vae"}


_UNUSED = ("model_ema.", "optimizer", "callbacks")
"""Beginnings of the names of tensors that are not loaded."""
_NO_SAFETY_CHECKER = {"safety_checker": None, "requires_safety_checker": False}


@dataclass(frozen=True)
class Checkpoint:
    """Parts of a Stable Diffusion model, placed on the device."""

    model: Model
    vae: Any | None
    """None where the file holds none: then a request names one."""
    text_encoder: Any
    tokenizer: Any
    unet: Any
    scheduler: Any
    """The scheduler that the checkpoint ships; its configuration is the base of every sampler's."""
    text_encoder_2: Any = None
    """Second text encoder, of SDXL alone; its tokenizer likewise."""
    tokenizer_2: Any = None

    @property
    def is_xl(self) -> bool:
        """Whether it is an SDXL, whose UNet also takes the pooled prompt and the sizes."""
        return self.family == "sdxl"

    @property
    def conditioner_parts(self) -> tuple[Any, Any, tuple[Any, Any] | None]:
        """Tokenizer and text encoder, and SDXL's second pair."""
        second = (self.tokenizer_2, self.text_encoder_2) if self.is_xl else None
        if self.text_encoder is None:
            return self.tokenizer_2, self.text_encoder_2, None
        return self.tokenizer, self.text_encoder, second

    @property
    def text_encoders(self) -> list[Any]:
        """Its text encoders, one or two."""
        return [network for network in (self.text_encoder, self.text_encoder_2) if network is not None]

    @property
    def is_for_inpainting(self) -> bool:
        """Whether its UNet also takes the mask and the image without its masked part."""
        return bool(self.unet.config.in_channels == _INPAINTING_CHANNELS)

    @property
    def family(self) -> Family:
        """Family of its networks."""
        return identify_unet(self.unet.config).family if self.text_encoder is not None else "sdxl-refiner"

    @property
    def skips_layers(self) -> bool:
        """Whether clip skip means anything: upstream ignores it for SD 2.x and SDXL."""
        return not self.family.startswith("sdxl") and bool(self.text_encoder.config.hidden_size != _OPEN_CLIP_WIDTH)

    def is_guided(self, guidance_scale: float) -> bool:
        """Say whether pipelines ask for the unconditional prediction, too."""
        return guidance_scale > 1 and self.unet.config.time_cond_proj_dim is None

    @property
    def components(self) -> dict[str, Any]:
        """Parts that every pipeline is made of, by diffusers' names."""
        parts = {
            "vae": self.vae,
            "text_encoder": self.text_encoder,
            "tokenizer": self.tokenizer,
            "unet": self.unet,
            "feature_extractor": None,
        }
        if self.is_xl:
            return parts | {
                "text_encoder_2": self.text_encoder_2,
                "tokenizer_2": self.tokenizer_2,
                "add_watermarker": False,
            }
        return parts | _NO_SAFETY_CHECKER


class Loader:
    """Loader of models; keeps none."""

    def __init__(self, catalogue: Catalogue, device: Device, *, offline: bool, compile_unet: bool = False) -> None:
        self._catalogue = catalogue
        self._device = device
        self._offline = offline
        self._compile = compile_unet
        silence()
        if offline:
            import huggingface_hub.constants

            huggingface_hub.constants.HF_HUB_OFFLINE = True  # a single file without its configuration asks anyway

    def checkpoint(self, model: Model) -> Checkpoint:
        """Load a checkpoint. Raises `WeightsMissing`, `NotSupported` (a family that does not run here)."""
        if model.path and model.path.is_file():
            check_file(model, refining=True)
            parts: Any = self._from_file(model, model.path)
        else:
            parts = self._from_folder(model)
        if parts.unet.config.in_channels not in (_PLAIN_CHANNELS, _INPAINTING_CHANNELS):
            raise NotSupported(f"The checkpoint '{model.name}' wants more than a prompt, a picture and a mask.")
        encoders = (parts.text_encoder, getattr(parts, "text_encoder_2", None))
        for part in (*encoders, parts.unet):
            if part is not None:
                self._device.place(part)
        made = Checkpoint(
            model,
            parts.vae,
            parts.text_encoder,
            parts.tokenizer,
            parts.unet,
            parts.scheduler,
            encoders[1],
            getattr(parts, "tokenizer_2", None),
        )
        if parts.vae is not None:
            self._place_vae(parts.vae, made.family)
        if self._compile:
            parts.unet.compile()
        return made

    def _from_folder(self, model: Model) -> Any:
        import diffusers

        cls = self._pipeline_class(model)
        options = {"feature_extractor": None} | (_NO_SAFETY_CHECKER if cls == "StableDiffusionPipeline" else {})
        with _explained(model):
            return getattr(diffusers, cls).from_pretrained(
                str(model.path or model.name),
                dtype=self._device.dtype,
                local_files_only=self._offline or model.path is not None,
                **options,
            )

    def _from_file(self, model: Model, path: Path) -> Parts:
        with _explained(model):
            return build_checkpoint(
                load_tensors(path), model.inspect(), self._device.dtype, path, self._configs("checkpoints")
            )

    def controlnet(self, model: Model) -> Any:
        """Load a `ControlNetModel` or `ControlNetUnionModel`. Raises `WeightsMissing`, `NotSupported` (another kind of
        file or family)."""
        from diffusers import ControlNetModel, ControlNetUnionModel

        check_file(model)
        is_union = model.file_kind.role == _UNION
        with _explained(model):
            if model.path and model.path.is_file():
                tensors, family = load_tensors(model.path), model.file_kind.family
                configs = self._configs("controlnets")
                if is_union:
                    net = build_union(tensors, family, self._device.dtype, model.path)
                else:
                    net = build_controlnet(tensors, family, self._device.dtype, model.path, configs)
            else:
                cls = ControlNetUnionModel if is_union else ControlNetModel
                net = cls.from_pretrained(str(model.path), dtype=self._device.dtype, local_files_only=True)
        if is_union:
            attend_within_rows(net)
        return self._device.place(net)

    def vae(self, model: Model, family: Family) -> Any:
        """Load an `AutoencoderKL` for checkpoints of `family`. Raises `WeightsMissing`, `NotSupported` (another kind of
        file or family)."""
        from diffusers import AutoencoderKL

        check_file(model)
        with _explained(model):
            if model.path and model.path.is_file():
                config = read_vae_config(self._configs("checkpoints"), family)
                vae = build_vae(load_tensors(model.path), family, self._device.dtype, model.path, config)
            else:
                vae = AutoencoderKL.from_pretrained(str(model.path), dtype=self._device.dtype, local_files_only=True)
        return self._place_vae(vae, family)

    def _place_vae(self, vae: Any, family: Family) -> Any:
        """Place a VAE on the device. SDXL's overflow in half precision and are kept in float32; one that was mended
        says so in its configuration."""
        import torch

        if family.startswith("sdxl") and self._device.dtype == torch.float16 and vae.config.force_upcast:
            vae.to(torch.float32)
        return self._device.place(vae)

    def _pipeline_class(self, model: Model) -> str:
        """Find the class that loads a folder or a hub's checkpoint. Raises `NotSupported` for another family."""
        from diffusers import StableDiffusionPipeline

        with _explained(model):
            config = StableDiffusionPipeline.load_config(
                str(model.path or model.name), local_files_only=self._offline or model.path is not None
            )
        family = str(config.get("_class_name", "")).removesuffix("Pipeline")
        rest = next((family.removeprefix(name) for name in _KNOWN_PIPELINES if family.startswith(name)), None)
        if rest is None or rest.startswith(_OTHER_FAMILIES):
            raise NotSupported(
                f"The checkpoint '{model.name}' is a {family[:40] or 'model without a name'}: only {_RUNNING} run "
                "here.",
                extra={"model": model.name},
            )
        return "StableDiffusionXLPipeline" if family.startswith("StableDiffusionXL") else "StableDiffusionPipeline"

    def _configs(self, kind: str) -> Path:
        """Folder of a user's own configurations for single files."""
        return self._catalogue.folder / "configs" / kind


def check_file(model: Model, *, refining: bool = False) -> None:
    """Check by its header that a file is what its folder says, of a family that runs here; `refining`: or refines.

    Raises `NotSupported`, which names what it is, and `WeightsMissing` for one that cannot be read.
    """
    kind, wanted = model.inspect(), _ROLES[model.kind]
    if kind.role != wanted and (wanted, kind.role) != ("controlnet", _UNION):
        raise NotSupported(
            f"The file '{model.file}' in {model.kind}/ holds {kind.label}, not {ROLE_NAMES[wanted]}.",
            extra={"model": model.name},
        )
    families = (*_FAMILIES, "sdxl-refiner") if refining else _FAMILIES
    if (kind.family and kind.family not in families) or kind.variant not in _VARIANTS:
        raise NotSupported(
            f"'{model.name}' is {kind.label}: only {_RUNNING} run here.",
            extra={"model": model.name, "family": kind.family},
        )


def silence() -> None:
    """Switch off progress bars of loading, which would end in the replica's log, line by line."""
    import diffusers.utils.logging
    import transformers.utils.logging

    for logging in (diffusers.utils.logging, transformers.utils.logging):
        logging.disable_progress_bar()
        logging.set_verbosity_error()


@contextmanager
def _explained(model: Model) -> Iterator[None]:
    """Turn diffusers' errors over files that are missing, cut short or of another shape into `WeightsMissing`."""
    from safetensors import SafetensorError

    shapes = (ValueError, LookupError, StopIteration, RuntimeError, ArithmeticError)  # errors of odd ones
    try:
        yield
    except (OSError, SafetensorError, *shapes) as error:
        if type(error).__name__ == "OutOfMemoryError":
            raise
        setting = MODELS_DIR if model.path else CHECKPOINT
        where = f"in {model.kind}/ is not complete" if model.path else "is neither in the cache nor to be fetched"
        raise WeightsMissing(
            f"The model '{model.name}' {where} ({type(error).__name__}); see {setting}.",
            extra={"model": model.name, "setting": setting},
        ) from error


def module_bytes(*modules: Any) -> int:
    """Count the bytes of modules' weights."""
    return sum(
        tensor.numel() * tensor.element_size()
        for module in modules
        if module is not None
        for tensor in (*module.parameters(), *module.buffers())
    )


def expected_bytes(model: Model, dtype: Any) -> int:
    """Estimate the bytes that a model takes once it is loaded in `dtype`, by the headers of its files, whatever
    precision they have; 0 for a hub's."""
    if model.path is None:
        return 0
    files = [model.path] if model.path.is_file() else _chosen_files(model.path)
    return sum(_count_weights(file) for file in files) * int(dtype.itemsize)


def file_bytes(path: Path, dtype: Any) -> int:
    """Estimate the bytes of a file's weights once they are loaded in `dtype`."""
    return _count_weights(path) * int(dtype.itemsize)


def _chosen_files(folder: Path) -> list[Path]:
    """List the files of a folder that are loaded: of several variants of one the plain one."""
    files = sorted(folder.rglob("*.safetensors"))
    plain = {file for file in files if len(file.suffixes) == 1}

    def has_plain(file: Path) -> bool:
        return file.with_name(f"{file.name.partition('.')[0]}.safetensors") in plain

    return [file for file in files if file in plain or not has_plain(file)]


def _count_weights(file: Path) -> int:
    """Count the weights of a file that are loaded; its bytes, where it cannot be read, which loading it will tell."""
    try:
        shapes = read_header(file).shapes
    except DarkroomError:
        return file.stat().st_size
    return sum(math.prod(shape) for name, shape in shapes.items() if not name.startswith(_UNUSED))
