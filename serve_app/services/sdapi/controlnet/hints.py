"""ControlNet hints of a request: each unit's image, preprocessed and fitted."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal, TypeVar

import cv2
import numpy as np
from numpy.typing import NDArray

from deployments.algorithms.a1111.inpainting import InpaintCanvas, is_hiding, mask_of
from deployments.algorithms.a1111.resizing import fit, fit_hint, fit_mask, pixel_perfect_resolution, resize
from deployments.algorithms.images.resizing import shrink
from deployments.contracts.arrays import Gray, Image
from deployments.contracts.diffusion import (
    ColourFix,
    ControlHint,
    Diffuser,
    HintModule,
    ImagePrompt,
    ModelCatalogue,
    ModelFile,
    Reference,
    ResizeMode,
)
from deployments.errors import DarkroomError, Unavailable, WeightsMissing
from serve_app.services.sdapi.controlnet.fitting import FittingModel, choose_model, is_union, kind_of_hint
from serve_app.services.sdapi.controlnet.image_prompts import (
    FittingAdapter,
    choose_adapter,
    is_image_prompt,
    make_prompts,
)
from serve_app.services.sdapi.controlnet.units import ControlNetUnit, PreprocessorPlan, describe, prepare
from serve_app.services.sdapi.image_inputs import JobImages
from serve_app.services.sdapi.model_names import control_title, find_module
from serve_app.services.sdapi.tasks import Kept, KeptPart

Fitting = TypeVar("Fitting", FittingModel, FittingAdapter)
TakenOver = Literal["attention", "statistics", "both"]
_TAKEN_OVER: Mapping[str, TakenOver] = {"reference_adain": "statistics", "reference_adain+attn": "both"}
"""What preprocessors of references take over; others: attention."""
_KEPT_PARTS: Mapping[str, KeptPart] = {
    "inpaint_only": "all",
    "inpaint_only+lama": "all",
    "recolor_luminance": "luminance",
    "recolor_intensity": "intensity",
}
"""What finished pictures keep of the hints of these preprocessors: pixels that no mask hides, or the light."""
_BLACK, _WHITE = 5, 250
"""A mask that is all this or less, or this or more, has nothing drawn on it."""
_LONGEST_PX = 4096
"""Longest side of an image for a preprocessor; all work on far smaller ones."""


@dataclass(frozen=True, slots=True)
class ControlHints:
    """Hints of all units together."""

    controls: tuple[ControlHint, ...] = ()
    references: tuple[Reference, ...] = ()
    image_prompts: tuple[ImagePrompt, ...] = ()
    maps: tuple[Image, ...] = ()
    """Hints to be returned after the images, in the order of the units; with hires fix that of its size comes first."""
    parameters: Mapping[str, str] = field(default_factory=dict)
    warnings: tuple[str, ...] = ()
    kept: tuple[Kept, ...] = ()
    """What the finished pictures keep of the images of units."""


@dataclass(frozen=True, slots=True)
class ControlFrame:
    """Sizes and image that the hints must fit."""

    size: tuple[int, int]
    hires: tuple[int, int] | None = None
    canvas: InpaintCanvas | None = None
    """Canvas of img2img; a unit without an image of its own uses the original's part in it."""
    original: Image | None = None
    resize_mode: ResizeMode = "stretch"
    """The request's resize mode, for units without an image of their own."""


class _UnitFailed(Exception):
    pass


class HintMaker:
    """Makes the hints of ControlNet units."""

    def __init__(self, diffuser: Diffuser) -> None:
        self._diffuser = diffuser

    async def make(
        self,
        units: Sequence[ControlNetUnit],
        inputs: JobImages,
        frame: ControlFrame,
        catalogue: ModelCatalogue,
        family: str = "",
    ) -> ControlHints:
        """Make the hints of all units; one that cannot be prepared leaves all out, with a warning that says why.

        `family`: that of the checkpoint. A ControlNet of another one is replaced by one of its kind that fits, or its
        unit alone is left out, with a warning. Raises technical errors, which another attempt may not meet.
        """
        warnings = [f"ControlNet {place}: {text}" for place, unit in enumerate(units) for text in unit.warnings]
        tasks = [self._make(place, unit, inputs, frame, catalogue, family) for place, unit in enumerate(units)]
        made = await asyncio.gather(*tasks, return_exceptions=True)
        failed = [(place, one) for place, one in enumerate(made) if isinstance(one, BaseException)]
        for _, error in failed:
            if not isinstance(error, _UnitFailed):
                raise error
        if failed:
            warnings += [f"ControlNet {place} was not applied, nor any other unit: {error}" for place, error in failed]
            return ControlHints(warnings=tuple(warnings))
        good = [one for one in made if isinstance(one, ControlHints)]
        return ControlHints(
            tuple(control for one in good for control in one.controls),
            tuple(reference for one in good for reference in one.references),
            tuple(prompt for one in good for prompt in one.image_prompts),
            tuple(shown for one in good for shown in one.maps),
            {key: value for one in good for key, value in one.parameters.items()},
            (*warnings, *(text for one in good for text in one.warnings)),
            tuple(kept for one in good for kept in one.kept),
        )

    async def _make(
        self,
        place: int,
        unit: ControlNetUnit,
        inputs: JobImages,
        frame: ControlFrame,
        catalogue: ModelCatalogue,
        family: str,
    ) -> ControlHints:
        module = find_module(catalogue, unit.module)
        if module is None:
            raise _UnitFailed(f"the preprocessor {unit.module!r} is not here any more")
        if is_image_prompt(module):
            return await self._image_prompt(place, unit, inputs, frame, module, catalogue, family)
        model: ModelFile | None = None
        shows = kind_of_hint(module.tags, unit.union_control_type)
        warnings: tuple[str, ...] = ()
        if not module.model_free:
            fitting = self._model(unit, catalogue, family, shows)
            warnings = (f"ControlNet {place}: {fitting.warning}",) if fitting.warning else ()
            model = fitting.model
            if model is None:
                return ControlHints(warnings=warnings)
        try:
            image, mode = await self._image(place, unit, inputs, frame, module)
            size = (image.shape[1], image.shape[0])
            resolution = pixel_perfect_resolution(size, frame.size, mode) if unit.pixel_perfect else None
            prepared = prepare(unit, module, resolution)
            options, goal = prepared.options, frame.hires or frame.size
            whole = await self._mask(place, unit, inputs, frame, mode, goal) if paints(module) else None
            if fills(module):  # what the frame adds to the image is filled too, in the finest size
                image = await asyncio.to_thread(fit, image, goal, mode)
                options = replace(options, mask=whole)
            hint = await self._diffuser.make_hint(module.name, image, options)
        except DarkroomError as error:
            if isinstance(error, Unavailable) and not isinstance(error, WeightsMissing):
                raise
            if error.status in {429, 504}:
                raise
            raise _UnitFailed(error.message) from error
        if model is None:
            return await _reference(place, unit, hint, frame, mode, prepared, _TAKEN_OVER.get(module.name, "attention"))
        mask = whole
        if frame.hires is not None and not fills(module) and paints(module):
            mask = await self._mask(place, unit, inputs, frame, mode, frame.size)
        elif whole is not None:  # what was filled has the shape of the second pass, into which the first is stretched
            mask = await asyncio.to_thread(resize, whole, frame.size)
        first = await asyncio.to_thread(fit_hint, hint, frame.size, "stretch" if fills(module) else mode)
        hidden = None if fills(module) else mask
        shown, controls = [first if hidden is None else without(first, hidden)], []
        control = ControlHint(
            model.name,
            first,
            unit.weight,
            unit.guidance_start,
            unit.guidance_end,
            unit.control_mode,
            mask=mask,
            shows=shows if is_union(model) else "",
            colours=_colour_fix(module, prepared),
            is_begun=fills(module),
        )
        large: Image | None = None
        if frame.hires is None:
            controls.append(control)
        else:
            large = await asyncio.to_thread(fit_hint, hint, frame.hires, mode)
            shown.insert(0, large if hidden is None else without(large, hidden))
            if unit.hr_option != "hires":
                controls.append(replace(control, passes="first"))
            if unit.hr_option != "first":
                controls.append(replace(control, image=large, mask=whole, passes="hires"))
        text = {f"ControlNet {place}": describe(unit, prepared, control_title(model))}
        kept: tuple[Kept, ...] = ()
        if part := _kept_part(module, frame):
            small = Kept(first, part, mask)
            kept = (small if large is None else Kept(large, part, whole, in_first_pass=small),)
            if part == "all" and (whole is None or not is_hiding(whole)):
                told = f"no mask hides anything of its image, all of which {module.name} keeps in the picture"
                warnings += (f"ControlNet {place}: {told}",)
        maps = tuple(shown) if unit.save_detected_map else ()
        return ControlHints(tuple(controls), maps=maps, parameters=text, warnings=warnings, kept=kept)

    def _model(self, unit: ControlNetUnit, catalogue: ModelCatalogue, family: str, shows: str) -> FittingModel:
        _check_named(unit)
        return _found(choose_model(catalogue, unit.model, unit.module, family, shows), unit)

    async def _image_prompt(
        self,
        place: int,
        unit: ControlNetUnit,
        inputs: JobImages,
        frame: ControlFrame,
        module: HintModule,
        catalogue: ModelCatalogue,
        family: str,
    ) -> ControlHints:
        """Make the image prompt of a unit, which has no hint to show."""
        _check_named(unit)
        fitting = _found(choose_adapter(catalogue, unit.model, module, family), unit)
        warnings = tuple(f"ControlNet {place}: {text}" for text in fitting.warnings)
        if fitting.model is None:
            return ControlHints(warnings=warnings)
        image, mode = await self._image(place, unit, inputs, frame, module)
        mask: Gray | None = None
        if (name := f"unit{place}.mask") in inputs:
            mask = await asyncio.to_thread(_in_area, mask_of(*await inputs.load(name)), mode, unit, frame)
        made = await asyncio.to_thread(make_prompts, fitting.model, unit, image, mask, hires=frame.hires is not None)
        text = describe(unit, prepare(unit, module), control_title(fitting.model))
        return ControlHints(image_prompts=made, parameters={f"ControlNet {place}": text}, warnings=warnings)

    async def _image(
        self, place: int, unit: ControlNetUnit, inputs: JobImages, frame: ControlFrame, module: HintModule
    ) -> tuple[Image, ResizeMode]:
        pixels, mode = frame.original, frame.resize_mode
        if (image := f"unit{place}.image") in inputs:
            (pixels, _), mode = await inputs.load(image), unit.resize_mode
        if (mask := f"unit{place}.mask") in inputs and not paints(module) and not is_image_prompt(module):
            scribble, _ = await inputs.load(mask)
            if _is_drawing(scribble):
                pixels, mode = scribble, unit.resize_mode
        if pixels is None:
            raise _UnitFailed("it has no picture")
        if not module.model_free:  # references are looked at as they are
            pixels = await asyncio.to_thread(_in_area, pixels, mode, unit, frame)
        return shrink(pixels, _LONGEST_PX), mode

    async def _mask(
        self,
        place: int,
        unit: ControlNetUnit,
        inputs: JobImages,
        frame: ControlFrame,
        mode: ResizeMode,
        size: tuple[int, int],
    ) -> Gray | None:
        """The mask of an inpaint unit in the size of its hint: its own, else the request's, else what the frame has
        beyond the image; None where nothing is masked."""
        if (name := f"unit{place}.mask") in inputs:
            drawn, alpha = await inputs.load(name)
            mask = await asyncio.to_thread(_in_area, mask_of(drawn, alpha), mode, unit, frame)
            return await asyncio.to_thread(fit_mask, mask, size, mode)
        if (canvas := frame.canvas) is not None and canvas.mask is not None:
            if canvas.area is None or canvas.overlay is None or unit.inpaint_crop_input_image:
                return await asyncio.to_thread(resize, canvas.mask, size)
            return await asyncio.to_thread(fit_mask, canvas.overlay, size, mode)
        image = frame.original
        if (name := f"unit{place}.image") in inputs:
            image, _ = await inputs.load(name)
        if mode != "fill" or image is None:
            return None
        rim = await asyncio.to_thread(fit_mask, np.zeros(image.shape[:2], np.uint8), size, mode)
        return rim if rim.any() else None


async def _reference(
    place: int,
    unit: ControlNetUnit,
    image: Image,
    frame: ControlFrame,
    mode: ResizeMode,
    prepared: PreprocessorPlan,
    how: TakenOver,
) -> ControlHints:
    """Make the reference of a unit that needs no model, in the size of each pass."""
    fidelity = prepared.shown[0]
    first = await asyncio.to_thread(fit, image, frame.size, mode)
    window = (unit.guidance_start, unit.guidance_end)
    made = Reference(first, fidelity, unit.weight, *window, unit.control_mode, how=how)
    references, shown = [made], [first]
    if frame.hires is not None:
        large = await asyncio.to_thread(fit, image, frame.hires, mode)
        shown.insert(0, large)
        references = [replace(made, passes="first"), replace(made, image=large, passes="hires")]
        references = [one for one in references if unit.hr_option in ("both", one.passes)]
    text = {f"ControlNet {place}": describe(unit, prepared, "None")}
    return ControlHints(
        references=tuple(references), maps=tuple(shown) if unit.save_detected_map else (), parameters=text
    )


def _check_named(unit: ControlNetUnit) -> None:
    if unit.model.strip().lower() in {"none", ""}:
        raise _UnitFailed("it names no model")


def _found(fitting: Fitting | None, unit: ControlNetUnit) -> Fitting:
    if fitting is None:
        raise _UnitFailed(f"the model {unit.model[:100]!r} is not here")
    return fitting


def _kept_part(module: HintModule, frame: ControlFrame) -> KeptPart | None:
    """What pictures keep of a unit's hint. `inpaint_only` is `inpaint` where the request has a mask, which says what is
    kept, as in the extension."""
    if module.name == "inpaint_only" and frame.canvas is not None and frame.canvas.mask is not None:
        return None
    return _KEPT_PARTS.get(module.name)


def _in_area(pixels: NDArray[np.uint8], mode: ResizeMode, unit: ControlNetUnit, frame: ControlFrame) -> Image | Gray:
    """Cut out what lies in the area of the request's mask, where it alone is made, as its canvas is."""
    area = frame.canvas.area if frame.canvas else None
    if area is None or frame.original is None or not unit.inpaint_crop_input_image:
        return pixels
    whole = (frame.original.shape[1], frame.original.shape[0])
    return fit(area.cut(fit(pixels, whole, mode)), frame.size, "fill")


def _is_drawing(mask: Image) -> bool:
    """Whether a mask is what the client drew: one that is uniform, or nearly black or white, is not."""
    return bool(np.ptp(mask, axis=(0, 1)).any() and mask.max() > _BLACK and mask.min() < _WHITE)


def _colour_fix(module: HintModule, prepared: PreprocessorPlan) -> ColourFix | None:
    """What a unit of tile_colorfix takes over of its image; None for others."""
    if "colorfix" not in module.name:
        return None
    variation, sharpness = prepared.shown
    return ColourFix(int(variation), max(0.0, sharpness))


def paints(module: HintModule) -> bool:
    """Whether a preprocessor is for inpainting: its unit's mask says what is made anew, and is no drawing."""
    return "Inpaint" in module.tags


def fills(module: HintModule) -> bool:
    """Whether a preprocessor fills what is made anew, and the picture begins from that."""
    return module.name.endswith("+lama")


def without(hint: Image, mask: Gray) -> Image:
    """Show a hint with what is made anew in black."""
    mask = np.asarray(cv2.resize(mask, (hint.shape[1], hint.shape[0]), interpolation=cv2.INTER_LINEAR), np.uint8)
    return np.where(mask[..., None] > 127, 0, hint).astype(np.uint8)
