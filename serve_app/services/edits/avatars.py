"""Avatars, people as animals: the request and its job.

history row -> fetch -> segmentation engines in order -> avatar engines in order -> store -> history. No database
session is held while an engine works.
"""

from __future__ import annotations

import random
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import get_args

from configs.settings import Settings
from deployments.algorithms.segmentation.scaling import scale_faces, scale_segmentation
from deployments.assets.animals import Animal
from deployments.contracts.arrays import Image
from deployments.contracts.diffusion import MAX_SEED, Diffuser
from deployments.contracts.portraits import (
    DIFFUSION_AVATARS,
    LOCAL_AVATARS,
    AvatarArtist,
    AvatarMode,
    AvatarPicture,
    AvatarTask,
    Segmentation,
    SegmentedFace,
)
from deployments.errors import ImageError, NoFace, NotFound
from serve_app.services.accounts.history import GenerationResult
from serve_app.services.edits.avatar_diffusion import DiffusionAvatarArtist
from serve_app.services.edits.fallback import check_by, choose_engines, first_success
from serve_app.services.edits.orders import (
    EditRequest,
    edit_of,
    enqueue_edit,
    find_name,
    history_parameters,
    load_source_image,
    start_history,
)
from serve_app.services.edits.people_finder import PeopleFinder
from serve_app.services.edits.results import AnimalEntry, AvatarResult, ChangedFace
from serve_app.services.images.references import ImageReferences
from serve_app.services.images.service import ImageService, view_of
from serve_app.services.images.store import ImageStore, Readable
from serve_app.services.jobs.problems import problem_members
from serve_app.services.jobs.progress import Progress
from serve_app.store.queue.jobs import QueuedJob
from serve_app.store.repositories import history
from serve_app.store.session import Database
from serve_app.telemetry import Metrics

_READ_SHARE, _FOUND_SHARE, _MADE_SHARE = 0.05, 0.2, 0.95
"""Shares of the progress bar at which reading the image, finding the faces and changing them end."""


@dataclass(frozen=True, slots=True)
class AvatarEdit(EditRequest):
    """A requested avatar. None: the animal's own value, or the settings'."""

    animal: str
    mode: AvatarMode | None = None
    engine: str | None = None
    prompt: str | None = None
    negative_prompt: str | None = None
    strength: float | None = None
    seed: int | None = None


class AvatarService:
    """Lists animals and starts avatars."""

    def __init__(
        self, database: Database, images: ImageService, animals: Mapping[str, Animal], settings: Settings
    ) -> None:
        self._database = database
        self._images = images
        self._animals = animals
        self._settings = settings

    def list_animals(self) -> list[AnimalEntry]:
        return [
            AnimalEntry(
                name=animal.name,
                title=animal.title,
                description=animal.description,
                engines=list(self._settings.avatars.engines),
                modes=list(get_args(AvatarMode)),
            )
            for animal in self._animals.values()
        ]

    async def request_avatar(self, user_id: str, edit: AvatarEdit) -> str:
        """Start making the avatar. -> job id

        Raises `NotFound` for an animal and `InvalidRequest` for an engine that is not there, `Overloaded`.
        """
        return await self._start(user_id, self._checked(edit))

    async def request_of_upload(self, user_id: str, edit: AvatarEdit, filename: str | None, source: Readable) -> str:
        """Start making the avatar of an image that comes with the request. -> job id

        Raises `ImageError` too, which the history records.
        """
        edit = self._checked(edit)
        try:
            image = await self._images.upload(user_id, filename, source, temporary=True)
        except ImageError as error:
            async with self._database.transaction() as session:
                row = await history.start(session, user_id, "avatar", history_parameters(edit))
                await history.fail(session, row.id, problem_members(error))
            raise
        return await self._start(user_id, replace(edit, image_url=image.id), image.id)

    def _checked(self, edit: AvatarEdit) -> AvatarEdit:
        """The edit with the animal's name as it is spelled here."""
        name = find_name(edit.animal, self._animals)
        if name is None:
            known = ", ".join(self._animals)
            raise NotFound(
                f"There is no animal '{edit.animal}'. There are: {known}.", extra={"animals": list(self._animals)}
            )
        choose_engines(self._settings.avatars.engines, edit.engine)
        return replace(edit, animal=name)

    async def _start(self, user_id: str, edit: AvatarEdit, input_image_id: str | None = None) -> str:
        # Settled here and not in the job, so that a second attempt makes the same picture.
        edit = replace(
            edit,
            mode=edit.mode or self._settings.avatars.mode,
            seed=random.randint(0, MAX_SEED) if edit.seed is None else edit.seed,
        )
        async with self._database.transaction() as session:
            job = await enqueue_edit(session, self._settings.jobs, user_id, "avatar", edit)
            await start_history(session, job, "avatar", edit, input_image_id)
        return job.id


class CreateAvatar:
    """The job behind `POST /avatars`."""

    def __init__(
        self,
        database: Database,
        references: ImageReferences,
        pictures: ImageStore,
        people: PeopleFinder,
        artist: AvatarArtist,
        diffuser: Diffuser,
        animals: Mapping[str, Animal],
        settings: Settings,
        metrics: Metrics,
    ) -> None:
        self._database = database
        self._references = references
        self._pictures = pictures
        self._people = people
        self._artist = artist
        self._diffusion = DiffusionAvatarArtist(diffuser, settings.avatars)
        self._animals = animals
        self._settings = settings
        self._metrics = metrics

    async def __call__(self, job: QueuedJob, progress: Progress) -> GenerationResult:
        """Make the avatar and store it. The job ends the history row.

        Raises `ImageError` for the image, `NoFace`, `ProviderError` and what engines raise.
        """
        edit = edit_of(job, AvatarEdit)
        animal = self._animals.get(edit.animal)
        if animal is None:  # its folder went between the request and now
            raise NotFound(f"There is no animal '{edit.animal}'.", extra={"animals": list(self._animals)})
        history_id, source = await load_source_image(self._database, self._references, job, "avatar", edit)
        image = await self._pictures.load(source.content, self._settings.avatars.max_px)
        progress.report(_READ_SHARE)
        found_by, seen = await self._people.find(image)
        found = await self._pictures.run_in_thread(lambda: scale_segmentation(image, seen))
        people, warnings = _largest(found, self._settings.avatars.max_faces)
        request = _request(image, animal, edit, people)
        known = {"segmentation_engine": found_by, "prompt": request.prompt}
        async with self._database.transaction() as session:
            await history.describe(session, history_id, parameters=known)
        progress.report(_FOUND_SHARE)

        making = progress.part(_FOUND_SHARE, _MADE_SHARE)
        engine, made = await first_success(
            choose_engines(self._settings.avatars.engines, edit.engine),
            lambda engine: self._render(engine, _with_strength(request, animal, edit, engine), making),
            deadline_s=self._settings.deadlines.avatar_s,
            each_s=self._settings.avatars.engine_timeout_s,
            note=lambda engine, outcome: self._metrics.providers.labels("avatar", engine, outcome).inc(),
            check=check_by(self._artist, "avatars"),
        )
        progress.report(_MADE_SHARE)
        stored = await self._pictures.store_result(job.user_id, made.image, f"{animal.name}.jpg")
        in_original = scale_faces(people, source.content.width, source.content.height)
        faces = [ChangedFace.of(in_original[index]) for index in made.changed]
        warnings = [*found.warnings, *warnings, *made.warnings]
        result = AvatarResult(
            image_url=view_of(stored).key,
            animal=animal.name,
            mode=request.mode,
            engine=engine,
            seed=request.seed,
            history_id=history_id,
            faces=faces,
            warnings=warnings or None,
        )
        learned = result.model_dump(mode="json", include={"faces", "warnings"})
        return GenerationResult(result, history_id, [stored.id], engine, learned)

    async def _render(self, engine: str, request: AvatarTask, progress: Progress) -> AvatarPicture:
        if engine == DIFFUSION_AVATARS:
            made = await self._diffusion.render(request, progress)
        else:
            made = await self._artist.make_avatar(engine, request)
        if not made.changed:
            raise NoFace("None of the faces in the picture could be changed.")
        return made


def _largest(found: Segmentation, most: int) -> tuple[Segmentation, list[str]]:
    """The `most` largest faces, in the order in which they were found, and a warning about the others.

    Raises `NoFace`.
    """
    if not found.faces:
        raise NoFace("There is no face in the picture.")
    if len(found.faces) <= most:
        return found, []
    kept = sorted(sorted(range(len(found.faces)), key=lambda index: -_area(found.faces[index]))[:most])
    warning = f"Of {len(found.faces)} faces the {most} largest were changed, {len(found.faces) - most} were left."
    return replace(found, faces=tuple(found.faces[index] for index in kept)), [warning]


def _area(face: SegmentedFace) -> float:
    x1, y1, x2, y2 = face.bbox
    return (x2 - x1) * (y2 - y1)


def _request(image: Image, animal: Animal, edit: AvatarEdit, people: Segmentation) -> AvatarTask:
    mode = edit.mode or "character"
    own = animal.prompts.character if mode == "character" else animal.prompts.overlay
    return AvatarTask(
        image=image,
        animal=animal.name,
        mode=mode,
        segmentation=people,
        prompt=own if edit.prompt is None else edit.prompt,
        negative_prompt=animal.prompts.negative if edit.negative_prompt is None else edit.negative_prompt,
        seed=edit.seed or 0,
    )


def _with_strength(request: AvatarTask, animal: Animal, edit: AvatarEdit, engine: str) -> AvatarTask:
    """Set the strength: an opacity for the engine that draws, a distance from the photograph for the others."""
    own = 1.0 if engine == LOCAL_AVATARS else animal.prompts.strength
    return replace(request, strength=own if edit.strength is None else edit.strength)
