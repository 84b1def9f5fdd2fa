"""Model names: looking up checkpoints, ControlNets, LoRAs and VAEs as clients name them, and their titles."""

from __future__ import annotations

import re
from collections.abc import Sequence

from deployments.contracts.diffusion import HintModule, ModelCatalogue, ModelFile

_HASH = re.compile(r"\s*\[[0-9a-fA-F]{6,64}\]$")
_SHORTEST_HASH = 8


def title(model: ModelFile) -> str:
    """A checkpoint's title, `name.safetensors [0123456789]`; without the hash where the file is not here yet."""
    return f"{model.file} [{model.sha256[:10]}]" if model.sha256 else model.file


def control_title(model: ModelFile) -> str:
    """A ControlNet's title, `name [01234567]`: as the engine calls it, or with the first digits of the file's hash."""
    if _HASH.search(model.alias):
        return model.alias
    return f"{model.name} [{model.sha256[:8]}]" if model.sha256 else model.name


def find_checkpoint(catalogue: ModelCatalogue, wanted: str) -> ModelFile | None:
    """Find a checkpoint by title, file, name, `name [hash]`, hash, or a part of the title."""
    models = catalogue.checkpoints
    return _exact(models, wanted) or _by_hash(models, wanted) or _exact(models, _bare(wanted)) or _part(models, wanted)


def given_name(wanted: str | None) -> str:
    """The checkpoint's name in a field that may be left out; "" for none, which clients also call "None"."""
    name = (wanted or "").strip()
    return "" if name.lower() == "none" else name


def find_vae(catalogue: ModelCatalogue, wanted: str) -> ModelFile | None:
    """Find a VAE by name or file."""
    return _exact(catalogue.vaes, wanted)


def find_lora(catalogue: ModelCatalogue, wanted: str) -> ModelFile | None:
    """Find a LoRA by name, alias or file."""
    return _exact(catalogue.loras, wanted)


def find_controlnet(catalogue: ModelCatalogue, wanted: str) -> ModelFile | None:
    """Find a ControlNet by `name [hash]`, name, or the shortest name that holds it; an unknown hash is ignored."""
    models = catalogue.controlnets
    exact = next((model for model in models if wanted == control_title(model)), None)
    bare = _bare(wanted)
    return exact or _exact(models, wanted) or _exact(models, bare) or _part(models, bare)


def find_upscaler(catalogue: ModelCatalogue, wanted: str) -> ModelFile | None:
    """Find an upscaler that is a network, by name, alias or file."""
    return _exact(catalogue.upscalers, wanted)


def find_module(catalogue: ModelCatalogue, wanted: str) -> HintModule | None:
    """Find a preprocessor by its name or its label."""
    name = wanted.strip().lower()
    return next((one for one in catalogue.modules if name in (one.name.lower(), one.label.lower())), None)


def _names(model: ModelFile) -> set[str]:
    stem = model.file.rpartition(".")[0] or model.file
    return {text.lower() for text in (title(model), model.name, model.alias, model.file, stem) if text}


def _exact(models: Sequence[ModelFile], wanted: str) -> ModelFile | None:
    return next((model for model in models if wanted.strip().lower() in _names(model)), None)


def _by_hash(models: Sequence[ModelFile], wanted: str) -> ModelFile | None:
    prefix = wanted.strip().lower()
    if len(prefix) < _SHORTEST_HASH or not re.fullmatch(r"[0-9a-f]+", prefix):
        return None
    return next((model for model in models if model.sha256.startswith(prefix)), None)


def _part(models: Sequence[ModelFile], wanted: str) -> ModelFile | None:
    part = _bare(wanted).lower()
    holding = [model for model in models if part and part in title(model).lower()]
    return min(holding, key=lambda model: (len(model.name), model.name), default=None)


def _bare(wanted: str) -> str:
    return _HASH.sub("", wanted.strip())
