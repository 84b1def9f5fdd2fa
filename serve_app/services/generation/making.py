"""The job that makes pictures: plan, draw, store, describe."""

from __future__ import annotations

import asyncio
import hashlib
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from configs.settings import Settings
from deployments.algorithms.picture_files import FileFormat, encode_picture
from deployments.contracts import Image
from deployments.errors import Unavailable
from deployments.generation import Diffuser
from serve_app.services.generation.drawing import draw_all
from serve_app.services.generation.info import Made, describe, infotext
from serve_app.services.generation.inputs import PictureInputs
from serve_app.services.generation.order import Order
from serve_app.services.generation.planning import Plan, Planner
from serve_app.services.pictures import PictureStore, ReceivedFile
from serve_app.services.progress import Progress
from serve_app.store import jobs
from serve_app.store.jobs import Job
from serve_app.store.repositories import generations
from serve_app.store.session import Database

ENGINE = "diffusers"


@dataclass(frozen=True, slots=True)
class Generated:
    """What the job leaves: its result, and what the history is told in the same transaction."""

    history_id: str
    image_ids: tuple[str, ...]
    answer: dict[str, Any]
    """`images`: ids in the order of the answer's pictures. `info`: see `info.describe`."""


class MakePictures:
    """The handler of the job kinds `txt2img` and `img2img`."""

    def __init__(
        self,
        database: Database,
        pictures: PictureStore,
        inputs: PictureInputs,
        diffuser: Diffuser | None,
        settings: Settings,
    ) -> None:
        self._database = database
        self._pictures = pictures
        self._inputs = inputs
        self._diffuser = diffuser
        self._settings = settings

    async def __call__(self, job: Job, progress: Progress) -> Generated:
        order = Order.of(job.kind, job.payload)
        async with self._database.transaction() as session:
            history = await generations.start(
                session,
                job.user_id,
                order.kind,
                order.body.model_dump(exclude_defaults=True, exclude={"infotext"}),
                job_id=job.id,
            )
            inputs = await jobs.load_inputs(session, job.id)
        diffuser = deployed(self._diffuser)
        planner = Planner(diffuser, self._inputs, self._settings)
        plan = await planner.plan(order, inputs, await diffuser.list_models())
        made = await draw_all(diffuser, plan.shots, self._settings.diffusion.max_batch, progress)
        texts = [infotext(plan, one, order) for one in made]
        files, texts, first = self._gather(order, plan, made, texts)
        stored = [await self._store(job.user_id, order, image, text) for image, text in files]
        said = describe(order, plan, made, texts, index_of_first_image=first, started=job.created_at)
        pictures = tuple(stored[first : first + len(made)])
        return Generated(history.id, pictures, {"images": stored, "info": said})

    def _gather(
        self, order: Order, plan: Plan, made: Sequence[Made], texts: list[str]
    ) -> tuple[list[tuple[Image, str]], list[str], int]:
        """The pictures with what is said of each, in the order of the answer, and the place of the first real one."""
        files = [(one.image, text) for one, text in zip(made, texts, strict=True)]
        first = 0
        if order.body.save_images and len(files) > 1:
            files.insert(0, (grid([one.image for one in made]), texts[0]))
            texts, first = [texts[0], *texts], 1
        return files + [(shown, "") for shown in plan.maps if made], texts, first

    async def _store(self, user_id: str, order: Order, image: Image, text: str) -> str:
        options = order.options
        kind: FileFormat = options.samples_format  # type: ignore[assignment]  # one of three, see options
        data = await asyncio.to_thread(encode_picture, image, text, kind, options.jpeg_quality)
        file = ReceivedFile(data, hashlib.sha256(data).hexdigest(), len(data))
        return (await self._pictures.add(user_id, file)).id


def deployed(diffuser: Diffuser | None) -> Diffuser:
    """Raises `Unavailable` where the server runs without a diffusion engine."""
    if diffuser is None:
        raise Unavailable(
            "This server runs without a diffusion engine. Install darkroom[diffusion], deploy it with `diffusion: true`"
            " in the Serve configuration, and name a model with DARKROOM_DIFFUSION__CHECKPOINT."
        )
    return diffuser


def grid(images: Sequence[Image]) -> Image:
    """All pictures in one, as square as it gets."""
    rows = round(math.sqrt(len(images)))
    columns = math.ceil(len(images) / rows)
    height, width = (max(image.shape[axis] for image in images) for axis in (0, 1))
    sheet = np.zeros((rows * height, columns * width, 3), np.uint8)
    for place, image in enumerate(images):
        top, left = place // columns * height, place % columns * width
        sheet[top : top + image.shape[0], left : left + image.shape[1]] = image
    return sheet
