"""One image by the diffusion engine, for styles and avatars."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import aclosing
from dataclasses import replace

from deployments.contracts.diffusion import (
    Diffuser,
    GeneratedPicture,
    GenerationRequest,
    Lora,
    ModelCatalogue,
    ModelFile,
)
from deployments.errors import Unavailable
from serve_app.services.jobs.progress import Progress


async def generate_picture(diffuser: Diffuser, wanted: GenerationRequest, progress: Progress) -> GeneratedPicture:
    """Generate one image, reporting each step. Raises what `Diffuser` raises."""
    # Closed whatever happens: that is how the engine learns that nobody wants the rest.
    async with aclosing(diffuser.generate(wanted)) as events:  # type: ignore[type-var]
        async for event in events:
            if isinstance(event, GeneratedPicture):
                return event
            progress.report(event.step / event.steps)
    raise Unavailable("The diffusion engine ended without a picture.")


def find_loras(wanted: Iterable[Lora], catalogue: ModelCatalogue) -> tuple[tuple[Lora, ...], list[str]]:
    """Installed LoRAs by the catalogue's names, and a warning for each that is not installed."""
    found = [(lora, find_model(catalogue.loras, lora.name)) for lora in wanted]
    warnings = [f"Without LoRA {lora.name}: it is not installed." for lora, name in found if name is None]
    return tuple(replace(lora, name=name) for lora, name in found if name is not None), warnings


def find_model(files: Iterable[ModelFile], wanted: str) -> str | None:
    """The catalogue's name of a model that is wanted by name or alias, None where it is not installed."""
    return next((file.name for file in files if wanted in (file.name, file.alias)), None)
