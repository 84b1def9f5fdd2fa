"""Units whose image is a prompt (IP-Adapter): the adapter that fits, its image encoder, and the image as it sees it."""

from __future__ import annotations

from dataclasses import dataclass, replace

import cv2
import numpy as np

from deployments.contracts.arrays import Gray, Image
from deployments.contracts.diffusion import (
    FAMILY_NAMES,
    PROMPT_IMAGE_PX,
    ROLE_NAMES,
    HintModule,
    ImagePrompt,
    ModelCatalogue,
    ModelFile,
)
from serve_app.services.sdapi.controlnet.units import ControlNetUnit
from serve_app.services.sdapi.model_names import find_controlnet

TAG = "IP-Adapter"
_KINDS: tuple[tuple[str, ...], ...] = (
    ("full-face", "full_face"),
    ("plus-face", "plus_face"),
    ("composition",),
    ("plus",),
    ("light",),
    ("",),
)
"""Kinds of adapters, each by the words in names of files; the first that fits is meant."""
_SIZE = (PROMPT_IMAGE_PX, PROMPT_IMAGE_PX)


@dataclass(frozen=True, slots=True)
class FittingAdapter:
    """The IP-Adapter of a unit, None where its unit is left out, and what the answer says about it."""

    model: ModelFile | None
    warnings: tuple[str, ...] = ()


def is_image_prompt(module: HintModule) -> bool:
    """Say whether the image of a unit with this module is a prompt."""
    return TAG in module.tags


def choose_adapter(catalogue: ModelCatalogue, wanted: str, module: HintModule, family: str) -> FittingAdapter | None:
    """Choose the IP-Adapter for a unit that names `wanted`, beside a checkpoint of `family`; None: it is not here."""
    model = find_controlnet(catalogue, wanted)
    if model is None:
        return None
    if not module.weights:
        return _without(f"the preprocessor {module.name!r} does not run here")
    warnings: list[str] = []
    if reason := _misfit(model, family):
        other = _of_same_kind(catalogue, model, family)
        if other is None:
            return _without(f"{reason}, and no other one of its kind is here")
        warnings.append(f"{reason}: {other.name!r} was used instead")
        model = other
    if not model.encoder:
        return _without(f"the model {model.name!r} sees what no image encoder here does (FaceID, InstantID ...)")
    file = f"{model.encoder}.pth"
    if not any(one.available and one.weights == (file,) for one in catalogue.modules):
        source = next((one.source for one in catalogue.modules if one.weights == (file,)), "")
        return _without(f"the image encoder {file} is not in annotators/clip_vision/ ({source} has it)")
    if file not in module.weights:
        warnings.append(f"the preprocessor {module.name!r} is not that of {model.name!r}, whose own was used")
    return FittingAdapter(model, tuple(warnings))


def make_prompts(
    model: ModelFile, unit: ControlNetUnit, image: Image, mask: Gray | None, *, hires: bool
) -> tuple[ImagePrompt, ...]:
    """Make the image prompt of a unit: the whole image, squeezed into the encoder's square as the original does."""
    seen = np.asarray(cv2.resize(image, _SIZE, interpolation=cv2.INTER_AREA), np.uint8)
    hidden = None if mask is None else np.asarray(cv2.resize(mask, _SIZE, interpolation=cv2.INTER_AREA), np.uint8)
    prompt = ImagePrompt(model.name, seen, unit.weight, unit.guidance_start, unit.guidance_end, mask=hidden)
    return (replace(prompt, passes=unit.hr_option) if hires else prompt,)


def _without(reason: str) -> FittingAdapter:
    return FittingAdapter(None, (f"{reason}: the unit was left out",))


def _misfit(model: ModelFile, family: str) -> str:
    """Say why a model is not the one to use; empty where it is."""
    if model.role not in ("", "ip-adapter"):
        return f"the model {model.name!r} is {ROLE_NAMES[model.role]}, not {ROLE_NAMES['ip-adapter']}"
    if family and model.family not in ("", family):
        theirs, ours = FAMILY_NAMES[model.family], FAMILY_NAMES[family]
        return f"the model {model.name!r} is for {theirs} and the checkpoint is {ours}"
    return ""


def _of_same_kind(catalogue: ModelCatalogue, model: ModelFile, family: str) -> ModelFile | None:
    kind = _kind_of(model.name)
    fitting = [
        one
        for one in catalogue.controlnets
        if one.role == "ip-adapter" and one.encoder and one.family in ("", family) and _kind_of(one.name) == kind
    ]
    return min(fitting, key=lambda one: (len(one.name), one.name), default=None)


def _kind_of(name: str) -> tuple[str, ...]:
    lower = name.lower()
    return next(words for words in _KINDS if any(word in lower for word in words))
