"""ControlNet preprocessors on their own, and the lists of preprocessors and ControlNets for clients."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

from deployments.algorithms.a1111.image_metadata import encode_picture
from deployments.algorithms.images.resizing import shrink
from deployments.contracts.diffusion import Diffuser, HintModule, ModelCatalogue
from serve_app.services.sdapi.controlnet.units import ControlNetUnit, prepare
from serve_app.services.sdapi.errors import refused
from serve_app.services.sdapi.image_inputs import ImageInputs
from serve_app.services.sdapi.model_names import control_title, find_module

_LONGEST_PX = 4096
NONE = "None"
_TYPES: dict[str, tuple[str, ...]] = {
    "Canny": ("canny",),
    "Depth": ("depth",),
    "SoftEdge": ("softedge", "hed", "pidi"),
    "Scribble": ("scribble",),
    "Lineart": ("lineart",),
    "MLSD": ("mlsd",),
    "NormalMap": ("normal",),
    "OpenPose": ("openpose", "mediapipe_face", "face"),
    "Segmentation": ("seg",),
    "Shuffle": ("shuffle",),
    "Tile": ("tile",),
    "Inpaint": ("inpaint",),
    "InstructP2P": ("ip2p",),
    "Recolor": ("recolor",),
}
"""Kind of control -> parts of the names of its preprocessors and models."""


class Detector:
    """Runs preprocessors over images."""

    def __init__(self, diffuser: Diffuser, inputs: ImageInputs) -> None:
        self._diffuser = diffuser
        self._inputs = inputs

    async def detect(
        self, name: str, images: Sequence[str], processor_res: int, threshold_a: float, threshold_b: float
    ) -> list[bytes]:
        """Make the hint of each image, as PNG files. Raises `WebUiError`, `WeightsMissing`."""
        module = find_module(await self._diffuser.list_models(), name)
        if module is None:
            raise refused(422, "Module not available")
        if not images:
            raise refused(422, "No image selected")
        unit = ControlNetUnit(
            module=name, processor_res=processor_res, threshold_a=threshold_a, threshold_b=threshold_b
        )
        options = prepare(unit, module).options
        maps = []
        for text in images:
            image = shrink((await self._inputs.open(text)).pixels, _LONGEST_PX)
            hint = await self._diffuser.make_hint(module.name, image, options)
            maps.append(await asyncio.to_thread(encode_picture, hint))
        return maps


def module_list(catalogue: ModelCatalogue, *, labels: bool) -> dict[str, Any]:
    """List preprocessors by name, or by label, with the sliders of each."""
    named = {module.label if labels else module.name: module for module in catalogue.modules}
    detail = {name: {"model_free": False, "sliders": list(module.sliders)} for name, module in named.items()}
    return {"module_list": list(named), "module_detail": detail}


def control_types(catalogue: ModelCatalogue) -> dict[str, Any]:
    """List the kinds of control that have a preprocessor or model here, and `All`."""
    models = [control_title(model) for model in catalogue.controlnets]
    types = {"All": _control_type([module.label for module in catalogue.modules], models)}
    for kind, words in _TYPES.items():
        labels = [module.label for module in catalogue.modules if _is_of(module, words)]
        fitting = [model for model in models if any(word in model.lower() for word in words)]
        if labels or fitting:
            types[kind] = _control_type(labels, fitting)
    return {"control_types": types}


def _is_of(module: HintModule, words: Sequence[str]) -> bool:
    return any(word in name.lower() for name in (module.name, module.label) for word in words)


def _control_type(labels: Sequence[str], models: Sequence[str]) -> dict[str, Any]:
    others = [label for label in labels if label.lower() != "none"]
    return {
        "module_list": ["none", *others],
        "model_list": [NONE, *models],
        "default_option": others[0] if others else "none",
        "default_model": models[0] if models else NONE,
    }
