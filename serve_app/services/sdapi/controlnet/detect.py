"""ControlNet preprocessors on their own, and the lists of preprocessors and ControlNets for clients."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from deployments.algorithms.a1111.image_metadata import encode_picture
from deployments.algorithms.a1111.inpainting import mask_of
from deployments.algorithms.a1111.resizing import resize
from deployments.algorithms.images.resizing import shrink
from deployments.contracts.arrays import Gray
from deployments.contracts.diffusion import Diffuser, HintModule, ModelCatalogue
from serve_app.services.sdapi.controlnet.hints import fills, paints, without
from serve_app.services.sdapi.controlnet.image_prompts import is_image_prompt
from serve_app.services.sdapi.controlnet.units import ControlNetUnit, prepare
from serve_app.services.sdapi.errors import refused
from serve_app.services.sdapi.image_inputs import ImageInputs
from serve_app.services.sdapi.model_names import control_title, find_module

_LONGEST_PX = 4096
NONE = "None"
_TYPES: dict[str, tuple[str, ...]] = {
    "Canny": ("canny",),
    "Depth": ("depth",),
    "Inpaint": ("inpaint",),
    "Instant-ID": ("instant_id", "instant-id"),
    "InstructP2P": ("ip2p",),
    "IP-Adapter": ("ip-adapter", "ip_adapter"),
    "Lineart": ("lineart",),
    "MLSD": ("mlsd",),
    "NormalMap": ("normal",),
    "OpenPose": ("openpose", "mediapipe_face", "pose"),
    "Recolor": ("recolor",),
    "Reference": (),
    "Revision": (),
    "Scribble": ("scribble",),
    "Segmentation": ("seg",),
    "Shuffle": ("shuffle",),
    "SoftEdge": ("softedge", "hed", "pidi"),
    "SparseCtrl": ("sparsectrl",),
    "T2I-Adapter": ("t2i",),
    "Tile": ("tile", "blur"),
}
"""Kind of control, as preprocessors name it -> parts of the names of its models."""


class Detector:
    """Runs preprocessors over images."""

    def __init__(self, diffuser: Diffuser, inputs: ImageInputs) -> None:
        self._diffuser = diffuser
        self._inputs = inputs

    async def detect(
        self,
        name: str,
        images: Sequence[str],
        processor_res: int,
        threshold_a: float,
        threshold_b: float,
        masks: Sequence[str] = (),
    ) -> list[bytes]:
        """Make the hint of each image, as PNG files; those of inpaint preprocessors are black under the image's mask,
        unless they fill it.

        Raises `WebUiError`, `WeightsMissing`.
        """
        module = find_module(await self._diffuser.list_models(), name)
        if module is None:
            raise refused(422, "Module not available")
        if is_image_prompt(module):
            raise refused(422, "Module not supported")
        if not images:
            raise refused(422, "No image selected")
        if paints(module) and len(masks) != len(images):
            raise refused(422, f"Preprocessor {name} requires `controlnet_masks` param.")
        unit = ControlNetUnit(
            module=name, processor_res=processor_res, threshold_a=threshold_a, threshold_b=threshold_b
        )
        options = prepare(unit, module).options
        maps = []
        for place, text in enumerate(images):
            image = shrink((await self._inputs.open(text)).pixels, _LONGEST_PX)
            mask: Gray | None = None
            if paints(module):
                mask = mask_of((await self._inputs.open(masks[place])).pixels, None)
            if fills(module) and mask is not None:
                fitted = await asyncio.to_thread(resize, mask, (image.shape[1], image.shape[0]))
                hint = await self._diffuser.make_hint(module.name, image, replace(options, mask=fitted))
            else:
                hint = await self._diffuser.make_hint(module.name, image, options)
                if mask is not None:
                    hint = await asyncio.to_thread(without, hint, mask)
            maps.append(await asyncio.to_thread(encode_picture, hint))
        return maps


def module_list(catalogue: ModelCatalogue, *, labels: bool) -> dict[str, Any]:
    """List preprocessors by name, or by label, with the sliders of each, and the weights that it needs.

    Those that cannot run have `available: false`.
    """
    named = {module.label if labels else module.name: module for module in catalogue.modules}
    return {"module_list": list(named), "module_detail": {name: _detail(module) for name, module in named.items()}}


def _detail(module: HintModule) -> dict[str, Any]:
    detail: dict[str, Any] = {"model_free": module.model_free, "sliders": list(module.sliders)}
    if module.weights:
        detail |= {"weights": list(module.weights), "source": module.source}
    return detail if module.available else detail | {"available": False}


def control_types(catalogue: ModelCatalogue) -> dict[str, Any]:
    """List all kinds of control with the preprocessors that can run and the models that are here, and `All`."""
    models = [control_title(model) for model in catalogue.controlnets]
    modules = [module for module in catalogue.modules if module.available]
    types = {"All": _control_type([module.label for module in modules], models)}
    for kind, words in _TYPES.items():
        labels = [module.label for module in modules if kind in module.tags]
        types[kind] = _control_type(labels, [title for title in models if any(word in title.lower() for word in words)])
    return {"control_types": types}


def _control_type(labels: Sequence[str], models: Sequence[str]) -> dict[str, Any]:
    others = [label for label in labels if label.lower() != "none"]
    return {
        "module_list": ["none", *others],
        "model_list": [NONE, *models],
        "default_option": others[0] if others else "none",
        "default_model": models[0] if models else NONE,
    }
