"""Generation requests of the Stable Diffusion web API: order, follow, stop, read results."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import prod
from typing import Any

from configs.settings import Settings
from deployments.algorithms.a1111.bounds import HIRES_UPSCALERS
from deployments.contracts.diffusion import Diffuser, ModelCatalogue
from deployments.errors import NotFound, PayloadTooLarge
from serve_app.services.images.store import ImageStore
from serve_app.services.sdapi.adetailer import check_prompts, read_details
from serve_app.services.sdapi.controlnet.units import ControlNetUnit, read_units
from serve_app.services.sdapi.errors import bad_field, broken, refused
from serve_app.services.sdapi.image_inputs import ImageInputs
from serve_app.services.sdapi.job import start_history
from serve_app.services.sdapi.last_catalogue import digest_of
from serve_app.services.sdapi.model_names import find_checkpoint, find_upscaler, given_name
from serve_app.services.sdapi.options import OptionService
from serve_app.services.sdapi.order import KINDS, XYZ_PLOT, GenerationOrder, SdapiKind, preview_options
from serve_app.services.sdapi.plan import draw_seed
from serve_app.services.sdapi.requests import (
    GenerationBody,
    Img2ImgBody,
    Txt2ImgBody,
    check,
    check_fields,
    with_infotext,
)
from serve_app.services.sdapi.sd_upscale import NAME as SD_UPSCALE
from serve_app.services.sdapi.sd_upscale import SdUpscale
from serve_app.services.sdapi.xyz_plot import XyzPlot, with_draw
from serve_app.store.queue import jobs, previews
from serve_app.store.queue.jobs import QueuedJob, StopRequest
from serve_app.store.queue.previews import JobPreview
from serve_app.store.repositories import images
from serve_app.store.session import Database

_LARGEST_PAYLOAD = 2**19
"""Bytes of a job's payload."""


@dataclass(frozen=True, slots=True)
class GenerationQueue:
    """Unfinished generation jobs of a user."""

    running: QueuedJob | None
    """The newest running job."""
    waiting: tuple[QueuedJob, ...]
    """Queued jobs, the oldest first."""


class GenerationService:
    """Use cases behind txt2img, img2img, progress, interrupt and skip."""

    def __init__(
        self,
        database: Database,
        pictures: ImageStore,
        inputs: ImageInputs,
        options: OptionService,
        diffuser: Diffuser,
        settings: Settings,
    ) -> None:
        self._database = database
        self._pictures = pictures
        self._inputs = inputs
        self._options = options
        self._diffuser = diffuser
        self._settings = settings

    async def order(self, user_id: str, kind: SdapiKind, body: GenerationBody) -> str:
        """Check a request and put its job into the queue. -> job id

        Raises `WebUiError` and `FieldRefused` for what cannot be understood, `Overloaded` when too many jobs wait,
        `NotDeployed`, and what the engine raises when it is asked for its models.
        """
        check(body, kind, self._settings)
        body = with_infotext(body)  # whose fields are as good as the client's own
        check(body, kind, self._settings)
        if body.script == SD_UPSCALE:
            SdUpscale.of(body.script_args)
        is_plot = body.script == XYZ_PLOT
        if is_plot:
            body = body.model_copy(update={"script_args": with_draw(body.script_args)})
        plot = XyzPlot.of(kind, body.script_args, self._settings.limits.max_plotted) if is_plot else None
        catalogue = await self._diffuser.list_models()
        _check_models(body, catalogue)
        options, warnings = await self._options.for_request(user_id, body.override_settings or {}, catalogue)
        most = self._settings.diffusion.max_controls
        units, more = read_units(body.alwayson_scripts, catalogue, most)
        details, noted = read_details(body.alwayson_scripts, self._settings)
        check_prompts(details, body.prompt, body.negative_prompt)
        data = await self._read_images(body, units)
        # Drawn here and not in the job, so that a second attempt makes the same images. A plot draws its own.
        drawn = {"seed": draw_seed(body.seed), "subseed": draw_seed(body.subseed)}
        seeds = {} if plot and plot.keep_random else drawn
        order = GenerationOrder(
            kind,
            body.model_copy(update=seeds),
            options,
            tuple(units),
            tuple(details),
            (*warnings, *more, *noted),
            digest_of(catalogue),
        )
        if plot is not None:
            self._check_plot(plot, order, catalogue)
        payload = order.payload()
        _check_payload(payload)
        if not body.override_settings_restore_afterwards and body.override_settings:
            # Before there is a job: of one whose call fails, nobody would hear.
            await self._options.keep(user_id, body.override_settings, catalogue)
        async with self._database.transaction() as session:
            job = await jobs.enqueue(
                session,
                user_id=user_id,
                kind=kind,
                payload=payload,
                max_attempts=self._settings.jobs.max_attempts,
                priority=1,  # somebody waits for it
                max_queued=self._settings.jobs.max_queued,
                max_queued_total=self._settings.jobs.max_queued_total,
            )
            await jobs.add_inputs(session, job.id, data)
            await start_history(session, job, order)
        return job.id

    async def read(self, user_id: str, image_ids: Sequence[str]) -> list[bytes]:
        """Read the files of stored images. Raises `NotFound` when one was deleted."""
        async with self._database.transaction() as session:
            stored = await images.load(session, user_id, image_ids)
        if missing := [image_id for image_id in image_ids if image_id not in stored]:
            raise NotFound(f"There is no image '{missing[0]}'.")
        return [await self._pictures.read(stored[image_id].content) for image_id in image_ids]

    async def stop(self, user_id: str, what: StopRequest, task_id: str | None = None) -> None:
        """Ask the user's running generations to end, or one of them by its `force_task_id`."""
        async with self._database.transaction() as session:
            job = await jobs.find_by_task(session, user_id, task_id) if task_id else None
            if job is not None or not task_id:
                await jobs.request_stop(session, user_id, KINDS, what, job_id=job.id if job else None)

    async def load_queue(self, user_id: str) -> GenerationQueue:
        """The user's running and waiting generations."""
        async with self._database.transaction() as session:
            unfinished = await jobs.load_unfinished(session, user_id, KINDS)
        running = [job for job in unfinished if job.status == "running"]
        waiting = tuple(job for job in unfinished if job.status == "queued")
        return GenerationQueue(running[-1] if running else None, waiting)

    async def find_task(self, user_id: str, task_id: str) -> QueuedJob | None:
        """Find a job by its `force_task_id`."""
        async with self._database.transaction() as session:
            return await jobs.find_by_task(session, user_id, task_id)

    async def ask_preview(self, job: QueuedJob | None) -> JobPreview | None:
        """The newest preview of a running job; its worker draws more as long as somebody asks."""
        if job is None or job.status != "running" or not preview_options(job.payload).are_made:
            return None
        async with self._database.transaction() as session:
            return await previews.ask(session, job.id)

    async def _read_images(self, body: GenerationBody, units: Sequence[ControlNetUnit]) -> dict[str, bytes]:
        """Name -> file content, each found good. A bad image of a unit is no reason to refuse: the job warns of it."""
        wanted: dict[str, str] = {}
        if isinstance(body, Img2ImgBody):
            sent = [text for text in body.init_images or () if text]
            if not sent:
                raise refused(404, "Init image not found")
            if len(sent) > body.batch_size and len(sent) > 1:
                raise broken(
                    "RuntimeError", f"bad number of images passed: {len(sent)}; expecting {body.batch_size} or less"
                )
            wanted |= {f"init{place}": text for place, text in enumerate(sent)}
            if body.mask:
                wanted["mask"] = body.mask
        read = await asyncio.gather(*(self._inputs.read(text) for text in wanted.values()))
        data = dict(zip(wanted, read, strict=True))
        self._check_size(data)
        for place, unit in enumerate(units):
            for name, text in zip(("image", "mask"), unit.images(), strict=True):
                if text:
                    data[f"unit{place}.{name}"] = await self._inputs.read_leniently(text)
                    self._check_size(data)
        return data

    def _check_plot(self, plot: XyzPlot, order: GenerationOrder, catalogue: ModelCatalogue) -> None:
        """Check the request of each cell as if it had been sent. Raises as `order`."""
        cells = plot.cells(order, catalogue)
        most = self._settings.limits.max_plotted
        if len(cells) * order.body.image_count > most:
            raise bad_field(f"{len(cells) * order.body.image_count} pictures in one plot; at most {most} are made")
        for cell in cells:
            check_fields(cell.order.body)
            check(cell.order.body, order.kind, self._settings)
            _check_models(cell.order.body, catalogue)
        most_pixels = self._settings.limits.max_generated * self._settings.diffusion.max_side_px**2
        pixels = sum(cell.order.body.image_count * max(map(prod, cell.order.body.sizes())) for cell in cells)
        if pixels > most_pixels:  # all of them are held until the table is drawn
            raise bad_field(f"the plot's pictures would have {pixels} pixels in all; at most {most_pixels} are made")

    def _check_size(self, data: Mapping[str, bytes]) -> None:
        """Bound the bytes that a job keeps as if they were the body: URLs bring more than the body that names them."""
        most = self._settings.limits.max_sdapi_bytes
        if sum(map(len, data.values())) > most:
            raise PayloadTooLarge(f"The pictures of the request have more than {most} bytes.")


def _check_payload(payload: Mapping[str, Any]) -> None:
    """Check that the payload can be stored and is small: it is read with every heartbeat."""
    try:
        size = len(json.dumps(payload, ensure_ascii=False, allow_nan=False).encode())
    except ValueError as error:
        raise bad_field("a number or text that cannot be stored") from error
    if size > _LARGEST_PAYLOAD:
        raise bad_field(f"the request without its pictures has {size} bytes; at most {_LARGEST_PAYLOAD} are taken")


def _check_models(body: GenerationBody, catalogue: ModelCatalogue) -> None:
    names = [body.refiner_checkpoint]
    if isinstance(body, Txt2ImgBody) and body.enable_hr and body.hr_checkpoint_name != "Use same checkpoint":
        names.append(body.hr_checkpoint_name)
    for name in map(given_name, names):
        if name and find_checkpoint(catalogue, name) is None:
            raise broken("Exception", f"Could not find checkpoint with name {name[:100]}")
    if isinstance(body, Txt2ImgBody) and body.enable_hr and body.hr_upscaler is not None:
        name = body.hr_upscaler
        if name not in HIRES_UPSCALERS and find_upscaler(catalogue, name) is None:
            raise broken("Exception", f"could not find upscaler named {name[:80]}")
