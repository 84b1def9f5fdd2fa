"""Cut-outs of faces or people: the request, and the job that makes them.

fetch -> engines in order -> mask and cut-out of the original's size -> store. These two are all that is kept, and not
for long: a segmentation has no place in the history.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import PurePath

from configs.settings import Settings
from deployments.algorithms.segmentation.cutouts import cutout_png, enlarge_mask, mask_png
from deployments.algorithms.segmentation.scaling import scale_faces
from deployments.contracts.arrays import Gray, Image
from deployments.contracts.portraits import SegmentTarget
from deployments.errors import NoFace
from serve_app.services.edits.fallback import choose_engines
from serve_app.services.edits.orders import EditRequest, edit_of, enqueue_edit
from serve_app.services.edits.people_finder import PeopleFinder
from serve_app.services.edits.results import FaceShape, SegmentationResult
from serve_app.services.images.references import ImageReferences
from serve_app.services.images.service import ImageService, view_of
from serve_app.services.images.store import ImageStore, Readable
from serve_app.services.jobs.progress import Progress
from serve_app.store.queue.jobs import QueuedJob
from serve_app.store.session import Database

_READ_SHARE, _FOUND_SHARE, _CUT_SHARE = 0.1, 0.5, 0.8
"""Progress at the end of reading the image, finding people and cutting them out."""


@dataclass(frozen=True, slots=True)
class CutoutEdit(EditRequest):
    """A cut-out as a client asks for it."""

    target: SegmentTarget = "face"
    engine: str | None = None


class SegmentationService:
    """Requests for cut-outs."""

    def __init__(self, database: Database, images: ImageService, settings: Settings) -> None:
        self._database = database
        self._images = images
        self._settings = settings

    async def request_segmentation(self, user_id: str, order: CutoutEdit) -> str:
        """Start the work. -> job id

        Raises `InvalidRequest` for an engine that is not there, `Overloaded`.
        """
        choose_engines(self._settings.segmentation.engines, order.engine)
        async with self._database.transaction() as session:
            job = await enqueue_edit(session, self._settings.jobs, user_id, "segmentation", order)
        return job.id

    async def request_of_upload(self, user_id: str, order: CutoutEdit, filename: str | None, source: Readable) -> str:
        """Start the work on an image that comes with the request. -> job id. Raises `ImageError` too."""
        choose_engines(self._settings.segmentation.engines, order.engine)
        image = await self._images.upload(user_id, filename, source, temporary=True)
        return await self.request_segmentation(user_id, replace(order, image_url=image.id))


class CutOut:
    """The job behind `POST /segmentations`."""

    def __init__(
        self, references: ImageReferences, pictures: ImageStore, people: PeopleFinder, settings: Settings
    ) -> None:
        self._references = references
        self._pictures = pictures
        self._people = people
        self._max_px = settings.segmentation.max_px

    async def __call__(self, job: QueuedJob, progress: Progress) -> SegmentationResult:
        """Raises `ImageError` for the picture, `NoFace`, `ProviderError` and what engines raise."""
        order = edit_of(job, CutoutEdit)
        source = await self._references.open(job.user_id, order.image_url, temporary=True)
        content = source.content
        image = await self._pictures.load(content, self._max_px)
        progress.report(_READ_SHARE)
        engine, found = await self._people.find(image, order.engine)
        if order.target == "face" and not found.faces:
            raise NoFace("There is no face in the picture.")
        progress.report(_FOUND_SHARE)

        mask = found.face_mask if order.target == "face" else found.person_mask
        files = await self._pictures.process_original(content, lambda original: _cut_out(original, mask))
        progress.report(_CUT_SHARE)
        stem = PurePath(source.filename or "picture").stem
        keys = {}
        for name, data in files.items():
            stored = await self._pictures.store_file(job.user_id, data, f"{stem}-{name}.png", temporary=True)
            keys[name] = view_of(stored).key
        warnings = [*found.warnings, *([] if mask.any() else ["Nobody was found: the mask is empty."])]
        return SegmentationResult(
            faces=[FaceShape.of(face) for face in scale_faces(found, content.width, content.height)],
            target=order.target,
            engine=engine,
            mask_url=keys["mask"],
            cutout_url=keys["cutout"],
            warnings=warnings or None,
        )


def _cut_out(image: Image, mask: Gray) -> dict[str, bytes]:
    """Make mask and cut-out, PNG files of the image's size."""
    large = enlarge_mask(image, mask)
    return {"mask": mask_png(large), "cutout": cutout_png(image, large)}
