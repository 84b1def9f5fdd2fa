"""The job behind txt2img and img2img: plan, generate, store, describe."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import replace

from sqlalchemy.ext.asyncio import AsyncSession

from configs.settings import Settings
from deployments.algorithms.a1111.image_metadata import encode_picture
from deployments.contracts.albums import FaceFinder
from deployments.contracts.arrays import Image
from deployments.contracts.diffusion import Diffuser
from serve_app.services.accounts.history import GenerationResult
from serve_app.services.images.store import EncodedImage, ImageStore
from serve_app.services.jobs.progress import Progress
from serve_app.services.sdapi.controlnet.fitting import family_of
from serve_app.services.sdapi.face_details import FaceDetailer
from serve_app.services.sdapi.face_restoration import FaceRestoration
from serve_app.services.sdapi.generate import GENERATED_SHARE, generate_all
from serve_app.services.sdapi.grid import grid
from serve_app.services.sdapi.image_inputs import ImageInputs
from serve_app.services.sdapi.info import describe, infotext
from serve_app.services.sdapi.order import IMAGE_FIELDS, GenerationOrder
from serve_app.services.sdapi.plan import Plan, Planner
from serve_app.services.sdapi.previews import LivePreviews
from serve_app.services.sdapi.tasks import FinishedImage
from serve_app.store.queue import jobs
from serve_app.store.queue.events import JobEvents
from serve_app.store.queue.jobs import QueuedJob
from serve_app.store.repositories import history
from serve_app.store.repositories.history import HistoryEntry
from serve_app.store.session import Database

ENGINE = "diffusers"


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
        self._finder = finder
        self._settings = settings

    async def __call__(self, job: QueuedJob, progress: Progress) -> GenerationResult:
        """Generate and store the images. Raises `WebUiError` for inputs that cannot be read, and what engines raise."""
        order = GenerationOrder.of(job.kind, job.payload)
        async with self._database.transaction() as session:
            entry = await start_history(session, job, order)
            inputs = await jobs.load_inputs(session, job.id)
        planner = Planner(self._diffuser, self._inputs)
        catalogue = await self._diffuser.list_models()
        plan = await planner.plan(order, inputs, catalogue)
        options, at_once = order.options, self._settings.diffusion.at_once
        family = family_of(catalogue, options.checkpoint)
        previews = LivePreviews(self._database, self._events, job.id, options.previews, family)
        # A face for each unit: how many there are is not known before the images are.
        passes = len(plan.image_tasks) * len(order.details)
        share = GENERATED_SHARE * len(plan.tasks) / (len(plan.tasks) + passes)
        faces = FaceRestoration(self._diffuser, self._finder, plan.restorer) if plan.restorer else None
        async with previews.drawing():
            generated = await generate_all(self._diffuser, plan.tasks, at_once, progress, previews, share, faces)
        if plan.sheet is not None:
            generated = await asyncio.to_thread(plan.sheet.join, generated)
        finished = [one for one in generated if one is not None]
        if order.details:
            ends = (share, GENERATED_SHARE)
            detailer = FaceDetailer(self._diffuser, self._finder, order, catalogue, progress, *ends)
            finished = await detailer.redraw_all(finished, at_once)
            described = [unit.parameters(place) for place, unit in enumerate(order.details)]
            plan = replace(plan, parameters=plan.parameters | {k: v for one in described for k, v in one.items()})
        texts = [infotext(plan, one, order) for one in finished]
        files, texts, first = self._gather(order, plan, finished, texts)
        stored = [await self._store(job.user_id, order, image, text) for image, text in files]
        info = describe(order, plan, finished, texts, index_of_first_image=first, started=job.created_at)
        # Grid and maps too, after the images: what the history does not name, nobody could find and delete.
        last = first + len(finished)
        images = (*stored[first:last], *stored[:first], *stored[last:])
        told = {"warnings": info["warnings"]} if info["warnings"] else {}
        return GenerationResult({"images": stored, "info": info}, entry.id, images, ENGINE, told)

    def _gather(
        self, order: GenerationOrder, plan: Plan, finished: Sequence[FinishedImage], texts: list[str]
    ) -> tuple[list[tuple[Image, str]], list[str], int]:
        """-> images with their infotexts, and infotexts, in the order of the answer; the place of the first image that
        is no grid."""
        files = [(one.image, text) for one, text in zip(finished, texts, strict=True)]
        first = 0
        if order.body.save_images and len(files) > 1:
            files.insert(0, (grid([one.image for one in finished]), texts[0]))
            texts, first = [texts[0], *texts], 1
        return files + [(shown, "") for shown in plan.maps if finished], texts, first

    async def _store(self, user_id: str, order: GenerationOrder, image: Image, text: str) -> str:
        options = order.options
        data = await asyncio.to_thread(encode_picture, image, text, options.samples_format, options.jpeg_quality)
        most = self._settings.limits.max_file_bytes
        return (await self._pictures.store_file(user_id, EncodedImage(data, image), max_bytes=most)).id


async def start_history(session: AsyncSession, job: QueuedJob, order: GenerationOrder) -> HistoryEntry:
    """Start the job's row in the history, which ends with the job."""
    asked = order.body.model_dump(exclude_defaults=True, exclude=IMAGE_FIELDS)
    return await history.start(session, job.user_id, order.kind, asked, job_id=job.id)
