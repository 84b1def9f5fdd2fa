"""ControlNets that fit the checkpoint: the one that a unit names, or another of its kind and of the right family."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from deployments.contracts.diffusion import FAMILY_NAMES, ROLE_NAMES, UNION_KINDS, ModelCatalogue, ModelFile
from serve_app.services.sdapi.model_names import find_checkpoint, find_controlnet

_KINDS: tuple[tuple[str, ...], ...] = (
    ("canny",),
    ("depth",),
    ("softedge", "hed", "pidi"),
    ("scribble",),
    ("lineart_anime",),
    ("lineart",),
    ("mlsd",),
    ("normal",),
    ("mediapipe_face",),
    ("openpose", "pose"),
    ("seg",),
    ("shuffle",),
    ("tile",),
    ("inpaint",),
    ("ip2p",),
    ("recolor",),
    ("blur",),
)
"""Kinds of control, each by the words in names of models and preprocessors; the first that fits is meant."""
_SHOWN: Mapping[str, str] = {
    "openpose": "openpose",
    "depth": "depth",
    "softedge": "softedge",
    "scribble": "softedge",
    "hardedge": "hardedge",
    "canny": "hardedge",
    "lineart": "hardedge",
    "mlsd": "hardedge",
    "normalmap": "normal",
    "segmentation": "segmentation",
    "tile": "tile",
}
"""What hints show, by kinds of control and by the unit's `union_control_type`."""
_COMPARABLE = ("sd1", "sd2", "sdxl", "sdxl-refiner", "sd3", "flux")
_UNION = "controlnet-union"
_OTHER_ROLES = (_UNION, "t2i-adapter", "control-lora", "ip-adapter", "lllite")
"""What lies in folders of ControlNets too and is none."""
_USUAL = "v11"
"""Part of the names of the ControlNets that most people have for SD 1.5; they are preferred."""


@dataclass(frozen=True, slots=True)
class FittingModel:
    """The ControlNet of a unit, None where no installed one fits, and what the answer says about it."""

    model: ModelFile | None
    warning: str = ""


def family_of(catalogue: ModelCatalogue, checkpoint: str) -> str:
    """Family of the checkpoint that a request names, or of the configured one; "" where it is not known."""
    found = find_checkpoint(catalogue, checkpoint or catalogue.default_checkpoint)
    return found.family if found and found.family in _COMPARABLE else ""


def choose_model(
    catalogue: ModelCatalogue, wanted: str, module: str, family: str, shows: str = ""
) -> FittingModel | None:
    """Choose the ControlNet for a unit that names `wanted`, beside a checkpoint of `family`; None: it is not here.

    Its kind is told by its name, or by the unit's preprocessor. `shows`: what the hint of the unit shows, which union
    models must be told.
    """
    model = find_controlnet(catalogue, wanted)
    if model is None:
        return None
    what = ROLE_NAMES[model.role] if model.role in _OTHER_ROLES else None
    if model.role == _UNION:
        what = None if shows in UNION_KINDS[: model.types] else f"{what}, which does not know such hints"
    is_other = family != "" and model.family in _COMPARABLE and model.family != family
    if what is None and not is_other:
        return FittingModel(model)
    reason = f"the model {model.name!r} is {what or 'for ' + FAMILY_NAMES[model.family]}"
    if what is None:
        reason += f" and the checkpoint is {FAMILY_NAMES[family]}"
    other = _of_same_kind(catalogue, model.name, module, family)
    if other is None:
        return FittingModel(None, f"{reason}: the unit was left out, for no other one of its kind is here")
    return FittingModel(other, f"{reason}: {other.name!r} was used instead")


def kind_of_hint(tags: Sequence[str], asked: str) -> str:
    """Tell what a unit's hint shows, one of `UNION_KINDS`, by what the unit says or by its preprocessor's kinds of
    control; "" where neither does."""
    own = _SHOWN.get(asked.lower().replace(" ", "").replace("_", ""))
    return own or next((_SHOWN[tag.lower()] for tag in tags if tag.lower() in _SHOWN), "")


def is_union(model: ModelFile) -> bool:
    """Say whether a model is a union model, which is told what its hint shows."""
    return model.role == _UNION


def _of_same_kind(catalogue: ModelCatalogue, name: str, module: str, family: str) -> ModelFile | None:
    kind = _kind_of(name) or _kind_of(module)
    fitting = [
        model
        for model in catalogue.controlnets
        if kind is not None and _kind_of(model.name) == kind and model.role == "controlnet" and model.family == family
    ]
    return min(fitting, key=lambda model: (_USUAL not in model.name, len(model.name), model.name), default=None)


def _kind_of(name: str) -> tuple[str, ...] | None:
    lower = name.lower()
    return next((words for words in _KINDS if any(word in lower for word in words)), None)
