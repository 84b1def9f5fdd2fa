"""Finding what a client means by the name of a checkpoint, a ControlNet, a LoRA, a VAE, and how these are called."""

from __future__ import annotations

import re
from collections.abc import Sequence

from deployments.contracts.diffusion import HintModule, ModelCatalogue, ModelFile

_HASH = re.compile(r"\s*\[[0-9a-fA-F]{6,64}\]$")
_SHORTEST_HASH = 8


def title(model: ModelFile) -> str:
    """`name.safetensors [0123456789]`; without the hash where the file is not here yet."""
    return f"{model.file} [{model.sha256[:10]}]" if model.sha256 else model.file


def control_title(model: ModelFile) -> str:
    """`name [01234567]`, as the engine calls it, or with the beginning of the file's hash."""
    if _HASH.search(model.alias):
        return model.alias
    return f"{model.name} [{model.sha256[:8]}]" if model.sha256 else model.name


def find_checkpoint(catalogue: ModelCatalogue, wanted: str) -> ModelFile | None:
    """By title, file, name, `name [hash]`, hash, or a part of the title."""
    models = catalogue.checkpoints
    return _exact(models, wanted) or _by_hash(models, wanted) or _exact(models, _bare(wanted)) or _part(models, wanted)


def find_vae(catalogue: ModelCatalogue, wanted: str) -> ModelFile | None:
    return _exact(catalogue.vaes, wanted)


def find_lora(catalogue: ModelCatalogue, wanted: str) -> ModelFile | None:
    return _exact(catalogue.loras, wanted)


def find_controlnet(catalogue: ModelCatalogue, wanted: str) -> ModelFile | None:
    """By `name [hash]`, name, or the shortest name that holds it; a hash that is none of ours is not insisted on."""
    models = catalogue.controlnets
    exact = next((model for model in models if wanted == control_title(model)), None)
    bare = _bare(wanted)
    return exact or _exact(models, wanted) or _exact(models, bare) or _part(models, bare)


def find_module(catalogue: ModelCatalogue, wanted: str) -> HintModule | None:
    """By either of its names."""
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
