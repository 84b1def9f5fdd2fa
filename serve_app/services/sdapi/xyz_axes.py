"""Axes of the script "X/Y/Z plot": which there are, in the original's order, and what a value changes in a request."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import permutations
from typing import Any, Literal

from deployments.algorithms.a1111.bounds import LONGEST_PROMPT
from deployments.algorithms.a1111.samplers import choose_sampler
from deployments.algorithms.a1111.value_lists import TooMany, expand_integers, expand_reals, split_values
from deployments.contracts.diffusion import ModelCatalogue
from serve_app.services.sdapi.errors import bad_field, broken
from serve_app.services.sdapi.face_restoration import CODEFORMER, GFPGAN
from serve_app.services.sdapi.model_names import find_checkpoint, find_vae
from serve_app.services.sdapi.options import NOISE_SOURCES
from serve_app.services.sdapi.order import GenerationOrder

Value = int | float | str | tuple[str, ...]
Change = Callable[[GenerationOrder, Any, Sequence[Any], ModelCatalogue], GenerationOrder]
"""Function that makes the order of a value: order, value, all values of the axis, models."""
Kind = Literal["integer", "real", "text", "permutations"]
_LONGEST_SIDE = 20
"""Characters of a side of a size."""


@dataclass(frozen=True, slots=True)
class Axis:
    """What an axis varies."""

    label: str
    kind: Kind = "text"
    change: Change | None = None
    """None: it is known, and not served."""
    only: str = ""
    """The kind of request that has it; empty: both."""
    has_choices: bool = False
    """Whether the original takes its values from a list."""

    def values(self, text: str, most: int) -> list[Any]:
        """Read the values of the axis. Raises `TooMany`, and `ValueError` for those that are none."""
        given = split_values(text, most)
        if self.kind == "integer":
            return expand_integers(given, most)
        if self.kind == "real":
            return expand_reals(given, most)
        if self.kind == "permutations":
            return _permutations(given, most)
        return list(given)

    def name(self, value: Any) -> str:
        """Name a value, for the legend."""
        if isinstance(value, tuple):
            return ", ".join(value)
        if isinstance(value, float):
            value = f"{round(value, 8):g}"
        return str(value) if self.label in _NAMED_BY_VALUE else f"{self.label}: {value}"


_NAMED_BY_VALUE = {"Prompt S/R", "Sampler", "Checkpoint name", "Refiner checkpoint", "Face restore"}


def _permutations(given: Sequence[str], most: int) -> list[Any]:
    count = 1
    for factor in range(2, len(given) + 1):
        count *= factor
        if count > most:
            raise TooMany
    return list(permutations(given))


def _field(name: str) -> Change:
    return lambda order, value, _, __: replace(order, body=order.body.model_copy(update={name: value}))


def _replace_words(order: GenerationOrder, value: str, values: Sequence[str], _: ModelCatalogue) -> GenerationOrder:
    body, sought = order.body, values[0]
    if not sought or (sought not in body.prompt and sought not in body.negative_prompt):
        raise broken("RuntimeError", f"Prompt S/R did not find {sought[:80]} in prompt or negative prompt.")
    texts = {"prompt": body.prompt, "negative_prompt": body.negative_prompt}
    for name, text in texts.items():
        if len(text) + text.count(sought) * (len(value) - len(sought)) > LONGEST_PROMPT:  # it could be gigabytes
            raise bad_field(f"ensure this value has at most {LONGEST_PROMPT} characters", name)
        texts[name] = text.replace(sought, value)
    return replace(order, body=body.model_copy(update=texts))


def _reorder(order: GenerationOrder, value: Sequence[str], _: Sequence[Any], __: ModelCatalogue) -> GenerationOrder:
    """Put words in another order: the first of them goes where the earliest of them was, and so on."""
    prompt, rest = "", order.body.prompt
    for old, new in zip(sorted(value, key=order.body.prompt.find), value, strict=True):
        if not old or old not in rest:
            raise broken("RuntimeError", f"Prompt order did not find {old[:80]} in prompt.")
        before, rest = rest.split(old, 1)
        prompt += before + new
    return replace(order, body=order.body.model_copy(update={"prompt": prompt + rest}))


def _sampler(field: str) -> Change:
    def change(order: GenerationOrder, value: str, _: Sequence[Any], __: ModelCatalogue) -> GenerationOrder:
        if choose_sampler(value).warnings:
            raise broken("RuntimeError", f"Unknown sampler: {value[:80]}")
        return replace(order, body=order.body.model_copy(update={field: value}))

    return change


def _scheduler(order: GenerationOrder, value: str, _: Sequence[Any], __: ModelCatalogue) -> GenerationOrder:
    if choose_sampler("Euler", value).warnings:
        raise broken("RuntimeError", f"Unknown scheduler: {value[:80]}")
    return replace(order, body=order.body.model_copy(update={"scheduler": value}))


def _checkpoint(order: GenerationOrder, value: str, _: Sequence[Any], models: ModelCatalogue) -> GenerationOrder:
    found = find_checkpoint(models, value) if value else None
    if found is None:
        raise broken("RuntimeError", f"Unknown checkpoint: {value[:80]}")
    return replace(order, options=replace(order.options, checkpoint=found.name))


def _refiner(order: GenerationOrder, value: str, _: Sequence[Any], models: ModelCatalogue) -> GenerationOrder:
    if value.lower() not in ("", "none") and find_checkpoint(models, value) is None:
        raise broken("RuntimeError", f"Unknown checkpoint: {value[:80]}")
    return replace(order, body=order.body.model_copy(update={"refiner_checkpoint": value}))


def _vae(order: GenerationOrder, value: str, _: Sequence[Any], models: ModelCatalogue) -> GenerationOrder:
    if value.lower() in ("", "auto", "automatic", "none"):
        return replace(order, options=replace(order.options, vae=""))
    found = find_vae(models, value)
    if found is None:
        raise broken("RuntimeError", f"Unknown VAE: {value[:80]}")
    return replace(order, options=replace(order.options, vae=found.name))


def _clip_skip(order: GenerationOrder, value: int, _: Sequence[Any], __: ModelCatalogue) -> GenerationOrder:
    if not 1 <= value <= 12:
        raise broken("RuntimeError", f"Clip skip is 1 to 12, not {value}")
    return replace(order, options=replace(order.options, clip_skip=value))


def _styles(order: GenerationOrder, value: str, _: Sequence[Any], __: ModelCatalogue) -> GenerationOrder:
    styles = [*(order.body.styles or ()), *filter(None, map(str.strip, value.split(",")))]
    return replace(order, body=order.body.model_copy(update={"styles": styles}))


def _face_restore(order: GenerationOrder, value: str, _: Sequence[Any], __: ModelCatalogue) -> GenerationOrder:
    kind = {CODEFORMER.lower(): CODEFORMER, GFPGAN.lower(): GFPGAN}.get(value.lower())
    is_on = kind is not None or value.lower() in ("true", "yes", "y", "1")
    options = replace(order.options, face_restorer=kind or order.options.face_restorer)
    return replace(order, options=options, body=order.body.model_copy(update={"restore_faces": is_on}))


def _noise_source(order: GenerationOrder, value: str, _: Sequence[Any], __: ModelCatalogue) -> GenerationOrder:
    source = NOISE_SOURCES.get(value.upper(), "GPU")
    sampling = replace(order.options.sampling, noise_source=source)
    return replace(order, options=replace(order.options, sampling=sampling))


def _size(order: GenerationOrder, value: str, _: Sequence[Any], __: ModelCatalogue) -> GenerationOrder:
    sides = value.lower().split("x")
    if len(sides) != 2 or not all(side.strip().isdecimal() and len(side) <= _LONGEST_SIDE for side in sides):
        raise broken("RuntimeError", f"A size is width and height, 512x768, not {value[:80]}")
    width, height = map(int, sides)
    return replace(order, body=order.body.model_copy(update={"width": width, "height": height}))


_TXT, _IMG = "txt2img", "img2img"
NOTHING = Axis("Nothing")
_AXES: tuple[Axis, ...] = (
    NOTHING,
    Axis("Seed", "integer", _field("seed")),
    Axis("Var. seed", "integer", _field("subseed")),
    Axis("Var. strength", "real", _field("subseed_strength")),
    Axis("Steps", "integer", _field("steps")),
    Axis("Hires steps", "integer", _field("hr_second_pass_steps"), only=_TXT),
    Axis("CFG Scale", "real", _field("cfg_scale")),
    Axis("Image CFG Scale", "real", only=_IMG),
    Axis("Prompt S/R", change=_replace_words),
    Axis("Prompt order", "permutations", _reorder),
    Axis("Sampler", change=_sampler("sampler_name"), only=_TXT, has_choices=True),
    Axis("Hires sampler", change=_sampler("hr_sampler_name"), only=_TXT, has_choices=True),
    Axis("Sampler", change=_sampler("sampler_name"), only=_IMG, has_choices=True),
    Axis("Checkpoint name", change=_checkpoint, has_choices=True),
    *(Axis(name, "real") for name in ("Negative Guidance minimum sigma", "Sigma Churn", "Sigma min", "Sigma max")),
    Axis("Sigma noise", "real"),
    Axis("Schedule type", change=_scheduler, has_choices=True),
    *(Axis(f"Schedule {name}", "real") for name in ("min sigma", "max sigma", "rho")),
    *(Axis(f"Beta schedule {name}", "real") for name in ("alpha", "beta")),
    Axis("Eta", "real", _field("eta")),
    Axis("Clip skip", "integer", _clip_skip),
    Axis("Denoising", "real", _field("denoising_strength")),
    Axis("Initial noise multiplier", "real"),
    Axis("Extra noise", "real"),
    Axis("Hires upscaler", change=_field("hr_upscaler"), only=_TXT, has_choices=True),
    Axis("Cond. Image Mask Weight", "real", only=_IMG),
    Axis("VAE", change=_vae, has_choices=True),
    Axis("Styles", change=_styles, has_choices=True),
    Axis("UniPC Order", "integer"),
    Axis("Face restore", change=_face_restore),
    Axis("Token merging ratio", "real"),
    Axis("Token merging ratio high-res", "real"),
    Axis("Always discard next-to-last sigma", has_choices=True),
    Axis("SGM noise multiplier", has_choices=True),
    Axis("Refiner checkpoint", change=_refiner, has_choices=True),
    Axis("Refiner switch at", "real", _field("refiner_switch_at")),
    Axis("RNG source", change=_noise_source, has_choices=True),
    Axis("FP8 mode", has_choices=True),
    Axis("Size", change=_size),
)
AXES: Mapping[str, tuple[Axis, ...]] = {
    kind: tuple(axis for axis in _AXES if axis.only in ("", kind)) for kind in (_TXT, _IMG)
}
"""Axes of a kind of request, by their places, which are what clients send."""
