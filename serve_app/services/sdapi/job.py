"""The job behind txt2img and img2img: plan, generate, store, describe."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta

from sqlalchemy.ext.asyncio import AsyncSession

from configs.settings import Settings
from deployments.algorithms.a1111.image_metadata import encode_picture
from deployments.contracts.albums import FaceFinder
from deployments.contracts.arrays import Image
from deployments.contracts.diffusion import Diffuser, ModelCatalogue
from serve_app.services.accounts.history import GenerationResult
from serve_app.services.images.store import EncodedImage, ImageStore
from serve_app.services.jobs.progress import Progress
from serve_app.services.sdapi.controlnet.fitting import family_of
from serve_app.services.sdapi.face_details import MOST_PASSES, FaceDetailer
from serve_app.services.sdapi.generate import GENERATED_SHARE, generate_all
from serve_app.services.sdapi.grid import grid
from serve_app.services.sdapi.image_inputs import ImageInputs
from serve_app.services.sdapi.info import describe
from serve_app.services.sdapi.last_catalogue import LastCatalogue
from serve_app.services.sdapi.order import IMAGE_FIELDS, XYZ_PLOT, GenerationOrder
from serve_app.services.sdapi.plan import Plan, Planner
from serve_app.services.sdapi.plot_answer import Filled, Shown, describe_cells, plot_answer
from serve_app.services.sdapi.previews import LivePreviews
from serve_app.services.sdapi.xyz_plot import XyzPlot
from serve_app.store.queue import jobs
from serve_app.store.queue.events import JobEvents
from serve_app.store.queue.jobs import QueuedJob
from serve_app.store.repositories import history
from serve_app.store.repositories.history import HistoryEntry
from serve_app.store.session import Database

ENGINE = "diffusers"
_LONG = timedelta(minutes=1)
"""Time from a request to its job's attempt, after which models may have come, gone or been moved."""


class GenerateImages:
    """The handler of the job kinds `txt2img` and `img2img`.

    Its answer holds `images`, ids in the order in which clients get them, and `info`, see `info.describe`.
    """

    def __init__(
        self,
        database: Database,
        pictures: ImageStore,
        inputs: ImageInputs,
        diffuser: Diffuser,
        finder: FaceFinder,
        events: JobEvents,
        settings: Settings,
    ) -> None:
        self._database = database
        self._events = events
        self._pictures = pictures
        self._inputs = inputs
        self._diffuser = diffuser
        self._catalogue = LastCatalogue(diffuser)
        self._finder = finder
        self._settings = settings

    async def __call__(self, job: QueuedJob, progress: Progress) -> GenerationResult:
        """Generate and store the images. Raises `WebUiError` for inputs that cannot be read, and what engines raise."""
        order = GenerationOrder.of(job.kind, job.payload)
        async with self._database.transaction() as session:
            entry = await start_history(session, job, order)
            has_inputs = order.kind == "img2img" or order.units
            inputs = await jobs.load_inputs(session, job.id) if has_inputs else {}
        catalogue = await self._catalogue.load("" if _has_waited(job) else order.catalogue)
        plot = None
        if order.body.script == XYZ_PLOT:
            plot = XyzPlot.of(order.kind, order.body.script_args, self._settings.limits.max_plotted)
        orders = [cell.order for cell in plot.cells(order, catalogue)] if plot else [order]
        planner = Planner(self._diffuser, self._inputs)
        plans = [await planner.plan(one, inputs, catalogue) for one in orders]
        made = await self._make(job.id, orders, plans, catalogue, progress)
        if plot is None:
            shown = self._gather(order, made[0])
        else:
            shown = await asyncio.to_thread(plot_answer, plot, made, self._settings.limits.max_file_bytes // 3)
        stored = [await self._store(job.user_id, order, image, text) for image, text in shown.files]
        lead = made[0]
        info = describe(
            lead.order, lead.plan, lead.finished, shown.texts, index_of_first_image=shown.first, started=job.created_at
        )
        if plot is not None:
            describe_cells(info, plot, made, shown.warnings)
        # Grid and maps too, after the images: what the history does not name, nobody could find and delete.
        images = (*stored[shown.first : shown.last], *stored[: shown.first], *stored[shown.last :])
        told = {"warnings": info["warnings"]} if info["warnings"] else {}
        return GenerationResult({"images": stored, "info": info}, entry.id, images, ENGINE, told)

    async def _make(
        self,
        job_id: str,
        orders: Sequence[GenerationOrder],
        plans: Sequence[Plan],
        catalogue: ModelCatalogue,
        progress: Progress,
    ) -> list[Filled]:
        """Generate the images of all plans, those of all side by side, and redraw their faces."""
        options, at_once = orders[0].options, self._settings.diffusion.at_once
        tasks = [task for plan in plans for task in plan.tasks]
        families = [family_of(catalogue, task.request.checkpoint) for task in tasks]
        previews = LivePreviews(self._diffuser, self._database, self._events, job_id, options.previews, families)
        # A face for each unit: how many there are is not known before the images are.
        passes = sum(len(plan.image_tasks) for plan in plans) * len(orders[0].details)
        share = GENERATED_SHARE * len(tasks) / (len(tasks) + passes)
        async with previews.drawing():
            generated = await generate_all(
                self._diffuser, tasks, at_once, progress, previews, share, finder=self._finder
            )
        made, start, passes_left = [], 0, MOST_PASSES
        for place, (order, plan) in enumerate(zip(orders, plans, strict=True)):
            own = generated[start : start + len(plan.tasks)]
            start += len(plan.tasks)
            if plan.sheet is not None:
                own = await asyncio.to_thread(plan.sheet.join, own)
            finished = [one for one in own if one is not None]
            if order.details:
                begin, end = (share + (GENERATED_SHARE - share) * step / len(plans) for step in (place, place + 1))
                detailer = FaceDetailer(
                    self._diffuser, self._finder, order, catalogue, progress, begin, end, passes_left
                )
                finished = await detailer.redraw_all(finished, at_once)
                passes_left = detailer.passes_left
                described = [unit.parameters(number) for number, unit in enumerate(order.details)]
                told = {key: value for one in described for key, value in one.items()}
                plan = replace(plan, parameters=plan.parameters | told)
            made.append(Filled(order, plan, tuple(finished)))
        return made

    def _gather(self, order: GenerationOrder, made: Filled) -> Shown:
        """Lay out what is answered: images, after a grid of them where it is wanted, and before the maps."""
        finished, texts = made.finished, made.texts
        files = [(one.image, text) for one, text in zip(finished, texts, strict=True)]
        first = 0
        if order.body.save_images and len(files) > 1:
            files.insert(0, (grid([one.image for one in finished]), texts[0]))
            texts, first = [texts[0], *texts], 1
        last = len(files)
        return Shown(files + [(shown, "") for shown in made.plan.maps if finished], texts, first, last)

    async def _store(self, user_id: str, order: GenerationOrder, image: Image, text: str) -> str:
        options = order.options
        data = await asyncio.to_thread(encode_picture, image, text, options.samples_format, options.jpeg_quality)
        most = self._settings.limits.max_file_bytes
        return (await self._pictures.store_file(user_id, EncodedImage(data, image), max_bytes=most)).id


def _has_waited(job: QueuedJob) -> bool:
    """Whether the catalogue of the request may not be the engine's any more. By the database's clock alone."""
    return job.started_at is None or job.started_at - job.created_at > _LONG


async def start_history(session: AsyncSession, job: QueuedJob, order: GenerationOrder) -> HistoryEntry:
    """Start the job's row in the history, which ends with the job."""
    asked = order.body.model_dump(exclude_defaults=True, exclude=IMAGE_FIELDS)
    return await history.start(session, job.user_id, order.kind, asked, job_id=job.id)
