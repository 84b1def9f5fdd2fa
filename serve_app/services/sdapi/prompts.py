"""Prompts: styles merged, comments stripped, LoRAs extracted."""

from __future__ import annotations

from dataclasses import dataclass, replace

from configs.styles import SUBJECT, load_styles
from deployments.algorithms.a1111.prompts.extra_networks import (
    PLACEHOLDER,
    extract_networks,
    merge_styles,
    strip_comments,
)
from deployments.algorithms.a1111.prompts.textual_inversion import find_missing, find_named
from deployments.contracts.diffusion import Lora, ModelCatalogue
from serve_app.services.sdapi.model_names import find_lora
from serve_app.services.sdapi.requests import GenerationBody

_HASH_DIGITS = 12


@dataclass(frozen=True, slots=True)
class ResolvedPrompt:
    """A prompt as the answer names it and as the engine reads it."""

    prompt: str
    """With styles and LoRA tags, as the answer names it; `negative_prompt` likewise."""
    negative_prompt: str
    text: str
    """Without LoRA tags, for the engine."""
    loras: tuple[Lora, ...]
    hashes: str | None
    """Hashes of the LoRAs, for the infotext: of their tensors alone, as the original has it."""
    warnings: tuple[str, ...]
    inversion_hashes: str | None = None
    """Hashes of the textual inversions' files, for the infotext."""


def resolve_prompt(body: GenerationBody, catalogue: ModelCatalogue, *, comments: bool) -> ResolvedPrompt:
    """Apply styles, strip comments if `comments`, extract LoRAs.

    Raises `InvalidRequest` for a prompt that its styles make too long.
    """
    styles = {name: find_style(name) for name in body.styles or ()}
    warnings = [f"There is no style {name[:80]!r}" for name, style in styles.items() if style is None]
    known = [style for style in styles.values() if style is not None]
    prompt = merge_styles(body.prompt, [style.prompt for style in known])
    negative = merge_styles(body.negative_prompt, [style.negative_prompt for style in known])
    if comments:
        prompt, negative = strip_comments(prompt), strip_comments(negative)
    networks = extract_networks(prompt)
    warnings += [f"{tag[:100]} has no effect" for tag in networks.ignored]
    loras, hashes = [], []
    for asked in () if body.disable_extra_networks else networks.loras:
        found = find_lora(catalogue, asked.name)
        if found is None:
            warnings.append(f"The LoRA {asked.name[:100]!r} is not here")
            continue
        loras.append(replace(asked, name=found.name))
        if digest := (found.addnet_sha256 or found.sha256)[:_HASH_DIGITS]:
            hashes.append(f"{_plain(asked.name)}: {digest}")
    both = f"{networks.text}\n{negative}"
    inversions = {model.name: model.sha256[:_HASH_DIGITS] for model in catalogue.embeddings}
    used = [f"{_plain(name)}: {inversions[name]}" for name in find_named(both, inversions) if inversions[name]]
    warnings += [
        f"There is no textual inversion {word[:80]!r} here: it was read as text"
        for word in find_missing(both, inversions)
    ]
    return ResolvedPrompt(
        prompt,
        negative,
        networks.text,
        tuple(loras),
        ", ".join(hashes) or None,
        tuple(warnings),
        ", ".join(used) or None,
    )


def _plain(name: str) -> str:
    """Name without what separates the entries of a list of hashes."""
    return name.replace(":", "").replace(",", "")


@dataclass(frozen=True, slots=True)
class PromptStyle:
    """A prompt style in A1111's form."""

    name: str
    prompt: str
    """Template with `{prompt}` where the client's own goes."""
    negative_prompt: str


def prompt_styles() -> list[PromptStyle]:
    """List all styles of `configs/styles` as prompt styles."""
    return [
        PromptStyle(name, style.diffusion.prompt.replace(SUBJECT, PLACEHOLDER), style.diffusion.negative_prompt)
        for name, style in load_styles().items()
    ]


def find_style(name: str) -> PromptStyle | None:
    """Find a prompt style by name."""
    return next((style for style in prompt_styles() if style.name == name), None)
