"""Segmentations, faces or people cut out of a photograph: the request and its job.

fetch -> engines in order -> mask and cut-out of the original's size -> store. These two are all that is kept, and not
for long: a segmentation has no place in the history.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import PurePath

import numpy as np

from configs.settings import Settings
from deployments.algorithms.images.resizing import shrink
from deployments.algorithms.segmentation.cutouts import cutout_on_white, cutout_png, enlarge_mask, mask_png
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
from serve_app.services.images.store import EncodedImage, ImageStore, Readable
from serve_app.services.jobs.progress import Progress
from serve_app.store.queue.jobs import QueuedJob
from serve_app.store.repositories.images import Content
from serve_app.store.session import Database

_READ_SHARE, _FOUND_SHARE, _CUT_SHARE = 0.1, 0.5, 0.8
"""Shares of the progress bar at which reading the image, finding people and cutting them out end."""
_HELD_PIXELS = 16_000_000
"""Originals of up to so many pixels (48 MB) are kept in memory while engines look for people, and decoded only once."""


@dataclass(frozen=True, slots=True)
class CutoutEdit(EditRequest):
    """A requested segmentation. `engine`: this one only."""

    target: SegmentTarget = "face"
    engine: str | None = None


class SegmentationService:
    """Starts segmentations."""

    def __init__(self, database: Database, images: ImageService, settings: Settings) -> None:
        self._database = database
        self._images = images
        self._settings = settings

    async def request_segmentation(self, user_id: str, edit: CutoutEdit) -> str:
        """Start the work. -> job id

        Raises `InvalidRequest` for an engine that is not there, `Overloaded`.
        """
        choose_engines(self._settings.segmentation.engines, edit.engine)
        async with self._database.transaction() as session:
            job = await enqueue_edit(session, self._settings.jobs, user_id, "segmentation", edit)
        return job.id

    async def request_of_upload(self, user_id: str, edit: CutoutEdit, filename: str | None, source: Readable) -> str:
        """Start the work on an image that comes with the request. -> job id. Raises `ImageError` too."""
        choose_engines(self._settings.segmentation.engines, edit.engine)
        image = await self._images.upload(user_id, filename, source, temporary=True)
        return await self.request_segmentation(user_id, replace(edit, image_url=image.id))


class CutOut:
    """The job behind `POST /segmentations`."""

    def __init__(
        self, references: ImageReferences, pictures: ImageStore, people: PeopleFinder, settings: Settings
    ) -> None:
        self._references = references
        self._pictures = pictures
        self._people = people
        self._max_px = settings.segmentation.max_px
        self._preview_px = settings.limits.preview_px

    async def __call__(self, job: QueuedJob, progress: Progress) -> SegmentationResult:
        """Cut out faces or people, store mask and cut-out.

        Raises `ImageError` for the image, `NoFace`, `ProviderError` and what engines raise.
        """
        edit = edit_of(job, CutoutEdit)
        source = await self._references.open(job.user_id, edit.image_url, temporary=True)
        content = source.content
        image = await self._pictures.load(content, self._decoded_px(content))
        progress.report(_READ_SHARE)
        engine, found = await self._people.find(image, edit.engine)
        if edit.target == "face" and not found.faces:
            raise NoFace("There is no face in the picture.")
        progress.report(_FOUND_SHARE)

        mask = found.face_mask if edit.target == "face" else found.person_mask
        files = await self._cut_out(content, image, mask)
        progress.report(_CUT_SHARE)
        stem = PurePath(source.filename or "picture").stem
        keys = {}
        for name, file in files.items():
            stored = await self._pictures.store_file(job.user_id, file, f"{stem}-{name}.png")
            keys[name] = view_of(stored).key
        warnings = [*found.warnings, *([] if mask.any() else ["Nobody was found: the mask is empty."])]
        return SegmentationResult(
            faces=[FaceShape.of(face) for face in scale_faces(found, content.width, content.height)],
            target=edit.target,
            engine=engine,
            mask_url=keys["mask"],
            cutout_url=keys["cutout"],
            warnings=warnings or None,
        )

    def _decoded_px(self, content: Content) -> int:
        """Longest side at which the original is decoded first."""
        longest = max(content.width, content.height)
        return longest if content.width * content.height <= _HELD_PIXELS else min(longest, self._max_px)

    async def _cut_out(self, content: Content, image: Image, mask: Gray) -> dict[str, EncodedImage]:
        """Mask and cut-out of the original's size; it is decoded again where `image` is a reduced one."""

        def work(original: Image) -> dict[str, EncodedImage]:
            return _cut_out(original, mask, self._preview_px)

        if image.shape[:2] == (content.height, content.width):
            return await self._pictures.run_in_thread(lambda: work(image))
        return await self._pictures.process_original(content, work)


def _cut_out(image: Image, mask: Gray, preview_px: int) -> dict[str, EncodedImage]:
    """Files of the image's size, with their pixels at the size of a preview."""
    large = enlarge_mask(image, mask)
    grey = shrink(large, preview_px)
    cutout = EncodedImage(cutout_png(image, large), shrink(cutout_on_white(image, large), preview_px))
    return {"mask": EncodedImage(mask_png(large), np.repeat(grey[:, :, None], 3, axis=2)), "cutout": cutout}
