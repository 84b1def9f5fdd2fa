"""The services of a process, opened once and closed with it."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Protocol

from configs.settings import DatabaseOptions, Settings
from configs.styles import Style, load_styles
from deployments.assets.animals import Animal, load_animals
from deployments.contracts.albums import Capabilities
from deployments.contracts.checks import Checkable
from deployments.contracts.diffusion import ImageGeneration
from deployments.contracts.portraits import Portraits
from deployments.contracts.texts import TextReader
from deployments.errors import Unavailable
from serve_app.services.accounts.history import HistoryService
from serve_app.services.accounts.idempotency import IdempotencyService
from serve_app.services.accounts.sessions import SessionService
from serve_app.services.accounts.users import UserService
from serve_app.services.albums.batches import ImageBatches
from serve_app.services.albums.candidate_store import CandidateStore
from serve_app.services.albums.changes import AlbumChanges
from serve_app.services.albums.demo import DemoAlbum
from serve_app.services.albums.duplicate_decisions import DuplicateDecisions
from serve_app.services.albums.duplicate_effect import DuplicateEffect
from serve_app.services.albums.duplicate_groups import DuplicateGroups
from serve_app.services.albums.duplicates import FindDuplicates
from serve_app.services.albums.embed import EmbedAlbum
from serve_app.services.albums.ingest import AlbumIngester
from serve_app.services.albums.library import ImageLibrary
from serve_app.services.albums.library_search import LibrarySearch
from serve_app.services.albums.moving import start_moving
from serve_app.services.albums.pages import AlbumPages
from serve_app.services.albums.people import ClusterPeople
from serve_app.services.albums.quality import AssessQuality
from serve_app.services.albums.service import AlbumService
from serve_app.services.albums.snapshot import AlbumSnapshots
from serve_app.services.albums.stored_results import StoredResults
from serve_app.services.albums.superseded import UnlessMade
from serve_app.services.albums.tags import TagAlbum
from serve_app.services.albums.text_reading import TextReading
from serve_app.services.albums.texts import ReadTexts
from serve_app.services.capabilities import CapabilityService
from serve_app.services.completion import JobHandler
from serve_app.services.corrections import CorrectionEffect, CorrectionService
from serve_app.services.edits.avatars import AvatarService, CreateAvatar
from serve_app.services.edits.people_finder import PeopleFinder
from serve_app.services.edits.segmentation import CutOut, SegmentationService
from serve_app.services.edits.styles import ApplyStyle, StyleService
from serve_app.services.events import EventService
from serve_app.services.feedback import FeedbackService
from serve_app.services.guarded_http import GuardedHttp
from serve_app.services.health import HealthService, RemoteMetrics
from serve_app.services.images.buckets import BucketFetcher
from serve_app.services.images.changes import ImageChanges
from serve_app.services.images.face_crops import FaceCrops
from serve_app.services.images.fetch import Fetcher
from serve_app.services.images.references import ImageReferences
from serve_app.services.images.service import ImageService, remove_abandoned_uploads
from serve_app.services.images.store import ImageStore
from serve_app.services.images.thumbnails import Thumbnails
from serve_app.services.immich.service import ImmichService
from serve_app.services.jobs.service import JobService
from serve_app.services.people.decisions import PeopleDecisions
from serve_app.services.people.effects import PeopleEffects
from serve_app.services.people.grouping import PeopleGrouping
from serve_app.services.people.service import PeopleService
from serve_app.services.sdapi.controlnet.detect import Detector
from serve_app.services.sdapi.extras import Extras
from serve_app.services.sdapi.image_inputs import ImageInputs
from serve_app.services.sdapi.interrogate import Captioner
from serve_app.services.sdapi.job import GenerateImages
from serve_app.services.sdapi.options import OptionService
from serve_app.services.sdapi.order import KINDS
from serve_app.services.sdapi.service import GenerationService
from serve_app.services.webhooks.sender import WebhookSender
from serve_app.services.webhooks.service import WebhookService
from serve_app.storage import open_storage
from serve_app.store.embedded.server import PostgresNotStarted, ensure_running
from serve_app.store.migrate import prepare
from serve_app.store.queue import jobs
from serve_app.store.queue.events import JobEvents
from serve_app.store.repositories import albums, faces, idempotency, images, sessions, trash
from serve_app.store.repositories import events as changes
from serve_app.store.repositories.corrections import CorrectionKind
from serve_app.store.session import Database, behind_pgbouncer

if TYPE_CHECKING:
    from serve_app.telemetry import Metrics


class AllCapabilities(Capabilities, ImageGeneration, Portraits, TextReader, Checkable, Protocol):
    """Every capability: a gateway to replicas in production."""


@dataclass(frozen=True)
class Services:
    """All that the API and the worker use. Made by `open`; `close` gives everything back."""

    settings: Settings
    metrics: Metrics
    database: Database
    events: JobEvents
    pictures: ImageStore
    reader: AlbumIngester
    candidates: CandidateStore
    images: ImageService
    library: ImageLibrary
    search: LibrarySearch
    image_changes: ImageChanges
    batches: ImageBatches
    demo: DemoAlbum
    corrections: CorrectionService
    duplicate_groups: DuplicateGroups
    duplicate_decisions: DuplicateDecisions
    decisions: PeopleDecisions
    people: PeopleService
    grouping: PeopleGrouping
    albums: AlbumService
    album_changes: AlbumChanges
    album_pages: AlbumPages
    styles: StyleService
    segmentations: SegmentationService
    avatars: AvatarService
    generation: GenerationService
    options: OptionService
    inputs: ImageInputs
    extras: Extras
    captioner: Captioner
    detector: Detector
    immich: ImmichService
    history: HistoryService
    feedback: FeedbackService
    users: UserService
    sessions: SessionService
    jobs: JobService
    changes: EventService
    webhooks: WebhookService
    webhook_sender: WebhookSender
    idempotency: IdempotencyService
    capabilities: CapabilityService
    health: HealthService
    handlers: dict[str, JobHandler]
    _owned: AsyncExitStack

    @classmethod
    async def open(
        cls,
        settings: Settings,
        capabilities: AllCapabilities,
        metrics: Metrics,
        *,
        name: str,
        worker_metrics: RemoteMetrics | None = None,
        all_metrics: RemoteMetrics | None = None,
        styles: Mapping[str, Style] | None = None,
        animals: Mapping[str, Animal] | None = None,
    ) -> Services:
        """Connect to the database (starting the embedded one if none is named), migrate it, open the storage.

        `name` tells in PostgreSQL who holds a connection; `worker_metrics` and `all_metrics` read those of a worker
        and of all replicas; `styles` and `animals` are those of `configs` unless given.
        Raises `Unavailable`.
        """
        async with AsyncExitStack() as opening:
            dsn = settings.database_url
            if dsn is None:
                dsn = await _start_embedded(settings, opening)
            await prepare(dsn, migrates=settings.database.migrate_at_start)
            database = open_database(dsn, settings.database, name)
            opening.push_async_callback(database.close)
            storage = await open_storage(settings.storage_url, settings)
            opening.push_async_callback(storage.close)
            buckets = BucketFetcher(settings)
            opening.push_async_callback(buckets.close)
            fetcher = Fetcher(settings.fetch, settings.limits, buckets=buckets)
            opening.push_async_callback(fetcher.aclose)
            hook_http = GuardedHttp(settings.fetch.model_copy(update=settings.events.exceptions))
            opening.push_async_callback(hook_http.aclose)
            events = await opening.enter_async_context(
                JobEvents(
                    settings.database.listen_url or _pooled(dsn, settings.database),
                    poll_s=settings.jobs.poll_s,
                    live_poll_s=settings.jobs.live_poll_s,
                )
            )

            pictures = ImageStore(database, storage, settings)
            candidates = CandidateStore(database, storage, settings)
            reading = TextReading(database, pictures, capabilities, settings)
            references = ImageReferences(database, pictures, fetcher)
            reader = AlbumIngester(database, pictures, references, capabilities, settings, metrics)
            loader = AlbumSnapshots(database, reader, settings.limits.max_whole_album)
            stored = StoredResults(database, settings.limits.max_whole_album)
            unless_made = partial(UnlessMade, database, stored)
            tagging = TagAlbum(database, loader, capabilities, settings)
            styles = load_styles() if styles is None else styles
            animals = load_animals() if animals is None else animals
            files = database, storage, pictures, settings
            images = ImageService(database, storage, pictures, Thumbnails(*files), FaceCrops(*files), settings)
            people_effects = PeopleEffects(settings)
            duplicate_effect = DuplicateEffect()
            effects: dict[CorrectionKind, CorrectionEffect] = {
                **{"must": people_effects, "cannot": people_effects, "name": people_effects, "hide": people_effects},
                **{"not_duplicate": duplicate_effect, "resolve": duplicate_effect},
            }
            corrections = CorrectionService(database, effects)
            decisions = PeopleDecisions(database, corrections, people_effects)
            grouping = PeopleGrouping(database, capabilities, settings)
            album_service = AlbumService(database, loader, pictures, stored, tagging, capabilities, settings)
            groups = DuplicateGroups(database, stored)
            duplicate_decisions = DuplicateDecisions(database, groups, corrections, settings.jobs)
            people = PeopleFinder(capabilities, pictures, settings, metrics)
            make_style = ApplyStyle(database, references, pictures, capabilities, styles, settings, metrics)
            make_avatar = CreateAvatar(
                database, references, pictures, people, capabilities, capabilities, animals, settings, metrics
            )
            inputs = ImageInputs(fetcher, settings)
            options = OptionService(database, capabilities, settings)
            make_pictures = GenerateImages(database, pictures, inputs, capabilities, capabilities, events, settings)
            health = HealthService(database, storage, capabilities, settings, metrics, worker_metrics, all_metrics)
            opening.push_async_callback(health.close)
            first_answers = IdempotencyService(database, settings.quotas)
            opening.push_async_callback(first_answers.close)
            return cls(
                settings=settings,
                metrics=metrics,
                database=database,
                events=events,
                pictures=pictures,
                reader=reader,
                candidates=candidates,
                images=images,
                library=ImageLibrary(database),
                search=LibrarySearch(database, album_service.by_words, settings.tags.min_relevance),
                image_changes=ImageChanges(database),
                albums=album_service,
                batches=ImageBatches(database, pictures, album_service),
                demo=DemoAlbum(database, pictures, images, album_service),
                album_changes=AlbumChanges(database, settings.quotas),
                corrections=corrections,
                duplicate_groups=groups,
                duplicate_decisions=duplicate_decisions,
                decisions=decisions,
                people=PeopleService(database, decisions, settings.faces_model),
                grouping=grouping,
                album_pages=AlbumPages(database, stored),
                styles=StyleService(database, styles, settings),
                segmentations=SegmentationService(database, images, settings),
                avatars=AvatarService(database, images, animals, settings),
                generation=GenerationService(database, pictures, inputs, options, capabilities, settings),
                options=options,
                inputs=inputs,
                extras=Extras(inputs, capabilities, capabilities, settings),
                captioner=Captioner(capabilities, settings),
                detector=Detector(capabilities, inputs),
                immich=ImmichService(capabilities, settings, metrics),
                history=HistoryService(database),
                feedback=FeedbackService(database),
                users=UserService(database, pictures, settings.auth),
                sessions=SessionService(database, settings.auth),
                jobs=JobService(database, events, settings.jobs),
                changes=EventService(database, events),
                webhooks=WebhookService(database, hook_http),
                webhook_sender=WebhookSender(database, events, hook_http, settings),
                idempotency=first_answers,
                capabilities=CapabilityService(capabilities, capabilities, settings),
                health=health,
                handlers={
                    "embeddings": EmbedAlbum(database, loader, reader),
                    "tags": unless_made(tagging),
                    "duplicates": unless_made(
                        FindDuplicates(database, loader, pictures, capabilities, candidates, reading, settings)
                    ),
                    "resolve_duplicates": duplicate_decisions,
                    "people": unless_made(ClusterPeople(database, loader, capabilities, grouping, settings)),
                    "quality": unless_made(AssessQuality(database, loader)),
                    "texts": unless_made(ReadTexts(database, loader, reading, settings)),
                    "style": make_style,
                    "segmentation": CutOut(references, pictures, people, settings),
                    "avatar": make_avatar,
                    **dict.fromkeys(KINDS, make_pictures),
                },
                _owned=opening.pop_all(),
            )

    async def close(self) -> None:
        await self._owned.aclose()

    async def run_housekeeping(self) -> None:
        """Remove what has expired: hidden albums, ended jobs, temporary pictures, old trash, answers to repeated
        requests, unused files, uploads of killed processes, faces of a network that is no longer named.

        Start moving albums to the one that is."""
        keep_s = self.settings.jobs.keep_finished_s
        async with self.database.transaction() as session:
            await changes.forget_foreign(session)
        for remove in (
            albums.remove_expired,
            partial(jobs.remove_finished, older_than_s=keep_s),
            partial(changes.remove_older, age_s=self.settings.events.keep_s, most=self.settings.events.keep_most),
            partial(images.remove_temporary, older_than_s=self.settings.retention.temporary_s),
            sessions.remove_expired,
            partial(trash.remove_old, older_than_s=self.settings.retention.trash_s),
            partial(faces.remove_replaced, model=self.settings.faces_model),
        ):
            removed: object = True
            while removed:  # a batch a transaction, until as much has gone as has come since the last time
                async with self.database.transaction() as session:
                    removed = await remove(session)
        async with self.database.transaction() as session:
            await idempotency.remove_older(session, keep_s)
            await start_moving(session, self.settings)
        await self.pictures.collect_unused()
        await self.candidates.collect_unused()
        await asyncio.to_thread(remove_abandoned_uploads)


def open_database(dsn: str, options: DatabaseOptions, name: str) -> Database:
    """Open the connection pool of a process that is called `name` in PostgreSQL."""
    return Database(
        _pooled(dsn, options),
        application_name=f"darkroom-{name}",
        pool_size=options.pool_size,
        max_overflow=options.max_overflow,
        pool_timeout_s=options.pool_timeout_s,
    )


def _pooled(dsn: str, options: DatabaseOptions) -> str:
    return behind_pgbouncer(dsn) if options.pgbouncer else dsn


async def _start_embedded(settings: Settings, opening: AsyncExitStack) -> str:
    try:
        postgres = await asyncio.to_thread(ensure_running, settings.data_dir)
    except PostgresNotStarted as error:
        raise Unavailable(str(error)) from error
    opening.callback(postgres.release)
    return postgres.dsn
