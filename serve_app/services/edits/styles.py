"""Styles, photographs redrawn: the request and its job.

history row -> fetch -> prompt -> engines in order -> store -> history. No database session is held while an
engine works.
"""

from __future__ import annotations

import random
from collections.abc import Mapping
from dataclasses import dataclass, replace

from configs.settings import Settings
from configs.styles import Style
from deployments.algorithms.styles.prompt import write_prompt
from deployments.contracts.arrays import Image
from deployments.contracts.diffusion import MAX_SEED, ImageGeneration
from deployments.contracts.styles import DIFFUSION_ENGINE, LOCAL_ENGINE, TEMPLATE_PROMPTER, StyledPicture, StyleTask
from deployments.errors import DarkroomError, NotFound
from serve_app.services.accounts.history import GenerationResult
from serve_app.services.edits.fallback import check_by, choose_engines, first_success
from serve_app.services.edits.orders import (
    EditRequest,
    edit_of,
    enqueue_edit,
    find_name,
    load_source_image,
    start_history,
)
from serve_app.services.edits.results import StyleEntry, StyleResult
from serve_app.services.edits.style_diffusion import DiffusionStylist
from serve_app.services.images.references import ImageReferences
from serve_app.services.images.service import view_of
from serve_app.services.images.store import ImageStore
from serve_app.services.jobs.progress import Progress
from serve_app.store.queue.jobs import QueuedJob
from serve_app.store.repositories import history
from serve_app.store.session import Database
from serve_app.telemetry import Metrics

_READ_SHARE, _PROMPT_SHARE, _MADE_SHARE = 0.05, 0.15, 0.95
"""Shares of the progress bar at which reading the image, writing the prompt and redrawing end."""


@dataclass(frozen=True, slots=True)
class StyleEdit(EditRequest):
    """A requested style. None: the style's own value, or the settings'."""

    style_name: str
    prompt: str | None = None
    negative_prompt: str | None = None
    strength: float | None = None
    seed: int | None = None
    engine: str | None = None


class StyleService:
    """Lists styles and starts them."""

    def __init__(self, database: Database, styles: Mapping[str, Style], settings: Settings) -> None:
        self._database = database
        self._styles = styles
        self._settings = settings

    def list_styles(self) -> list[StyleEntry]:
        engines = list(self._settings.styles.engines)
        return [
            StyleEntry(name=style.name, title=style.title, description=style.description, engines=engines)
            for style in self._styles.values()
        ]

    async def request_style(self, user_id: str, edit: StyleEdit) -> str:
        """Start making the image. -> job id

        Raises `NotFound` for a style and `InvalidRequest` for an engine that is not there, `Overloaded`.
        """
        name = find_name(edit.style_name, self._styles)
        if name is None:
            known = ", ".join(self._styles)
            raise NotFound(
                f"There is no style '{edit.style_name}'. There are: {known}.", extra={"styles": list(self._styles)}
            )
        choose_engines(self._settings.styles.engines, edit.engine)
        # Drawn here and not in the job, so that a second attempt makes the same image.
        seed = random.randint(0, MAX_SEED) if edit.seed is None else edit.seed
        edit = replace(edit, style_name=name, seed=seed)
        async with self._database.transaction() as session:
            job = await enqueue_edit(session, self._settings.jobs, user_id, "style", edit)
            await start_history(session, job, "style", edit)
        return job.id


class ApplyStyle:
    """The job behind `POST /style`."""

    def __init__(
        self,
        database: Database,
        references: ImageReferences,
        pictures: ImageStore,
        generation: ImageGeneration,
        styles: Mapping[str, Style],
        settings: Settings,
        metrics: Metrics,
    ) -> None:
        self._database = database
        self._references = references
        self._pictures = pictures
        self._generation = generation
        chosen = settings.styles
        self._diffusion = DiffusionStylist(generation, chosen.diffusion_pixels, chosen.diffusion_pixels_xl)
        self._styles = styles
        self._settings = settings
        self._metrics = metrics

    async def __call__(self, job: QueuedJob, progress: Progress) -> GenerationResult:
        """Redraw the image and store it. The job ends the history row.

        Raises `ImageError` for the image, `ProviderError` and what engines raise.
        """
        edit = edit_of(job, StyleEdit)
        style = self._styles.get(edit.style_name)
        if style is None:  # its file went between the request and now
            raise NotFound(f"There is no style '{edit.style_name}'.", extra={"styles": list(self._styles)})
        history_id, source = await load_source_image(self._database, self._references, job, "style", edit)
        image = await self._pictures.load(source.content, self._settings.styles.max_px)
        progress.report(_READ_SHARE)
        prompt, warnings = await self._prompt(image, style, edit)
        async with self._database.transaction() as session:
            await history.describe(session, history_id, parameters={"prompt": prompt})
        progress.report(_PROMPT_SHARE)

        making = progress.part(_PROMPT_SHARE, _MADE_SHARE)
        engine, made = await first_success(
            choose_engines(self._settings.styles.engines, edit.engine),
            lambda engine: self._render(engine, image, style, prompt, edit, making),
            deadline_s=self._settings.deadlines.style_s,
            each_s=self._settings.styles.engine_timeout_s,
            note=lambda engine, outcome: self._count("style", engine, outcome),
            check=check_by(self._generation, "stylizing"),
        )
        progress.report(_MADE_SHARE)
        stored = await self._pictures.store_result(job.user_id, made.image, f"{style.name}.jpg")
        warnings += made.warnings
        result = StyleResult(
            image_url=view_of(stored).key,
            style_name=style.name,
            engine=engine,
            prompt=prompt,
            seed=edit.seed or 0,
            history_id=history_id,
            warnings=warnings or None,
        )
        learned = {"warnings": warnings} if warnings else {}
        return GenerationResult(result, history_id, [stored.id], engine, learned)

    async def _prompt(self, image: Image, style: Style, edit: StyleEdit) -> tuple[str, list[str]]:
        """The prompt, and warnings: the client's own, else the style's, in which a prompter that looks at images names
        the subject. Where that prompter cannot be had the style's own prompt is used, with a warning."""
        if edit.prompt is not None:
            return edit.prompt, []
        own = write_prompt(style.diffusion.prompt)
        prompter = self._settings.styles.prompter
        if prompter == TEMPLATE_PROMPTER:
            self._count("prompt", prompter, "ok")
            return own, []
        try:
            prompt = await self._generation.write_prompt(image, style.name)
        except DarkroomError as error:
            if not error.is_technical:
                self._count("prompt", prompter, "rejected")
                raise
            self._count("prompt", prompter, "unavailable")
            return own, [f"The style's own prompt was used. {error.message}"]
        self._count("prompt", prompter, "ok")
        return prompt, []

    async def _render(
        self, engine: str, image: Image, style: Style, prompt: str, edit: StyleEdit, progress: Progress
    ) -> StyledPicture:
        recipe = style.local if engine == LOCAL_ENGINE else style.diffusion
        request = StyleTask(
            image=image,
            style=style.name,
            prompt=prompt,
            negative_prompt=style.diffusion.negative_prompt if edit.negative_prompt is None else edit.negative_prompt,
            strength=recipe.strength if edit.strength is None else edit.strength,
            seed=edit.seed or 0,
        )
        if engine == DIFFUSION_ENGINE:
            return await self._diffusion.render(request, style.diffusion, progress)
        return await self._generation.stylize(engine, request)

    def _count(self, use: str, provider: str, outcome: str) -> None:
        self._metrics.providers.labels(use, provider, outcome).inc()
