"""Decisions about groups of duplicates: resolved, one or all, or dismissed. Corrections remember them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from sqlalchemy.ext.asyncio import AsyncSession

from configs.settings import Jobs
from deployments.contracts.albums import DuplicateLevel
from deployments.errors import InvalidRequest, NotFound
from serve_app.services.albums.duplicate_choices import (
    Choice,
    Taken,
    check_plan,
    done_before,
    pairs_of,
    plan_of,
    strangers,
    suggested,
)
from serve_app.services.albums.duplicate_groups import DuplicateGroups
from serve_app.services.albums.results import (
    DuplicateDecision,
    DuplicatePlan,
    DuplicatesResolved,
)
from serve_app.services.corrections import CorrectionService
from serve_app.services.images.changes import MOST_TAGS
from serve_app.services.jobs.progress import Progress
from serve_app.store.queue import jobs
from serve_app.store.queue.jobs import QueuedJob
from serve_app.store.repositories import albums, corrections, duplicates, images, trash
from serve_app.store.repositories.albums import StoredAlbum
from serve_app.store.repositories.corrections import NewCorrection, Place
from serve_app.store.repositories.duplicates import Decision
from serve_app.store.session import Database

JOB = "resolve_duplicates"
Merged = Literal["tags", "albums", "taken_at"]
MERGED: tuple[Merged, ...] = ("tags", "albums", "taken_at")
MOST_DISMISSED = 100
"""Members of a group that can be dismissed, or kept: what is remembered are its pairs, almost 5,000 of these."""


class DuplicateDecisions:
    """Use cases of deciding. All raise `NotFound` where the user has no such album, `Conflict` for a group that is not
    open, or not any more."""

    def __init__(
        self, database: Database, groups: DuplicateGroups, remembered: CorrectionService, limits: Jobs
    ) -> None:
        self._database = database
        self._groups = groups
        self._remembered = remembered
        self._limits = limits

    async def resolve(
        self,
        user_id: str,
        album_name: str,
        group_id: str,
        keep: Sequence[str],
        thrown: Sequence[str],
        merge: Sequence[Merged] = MERGED,
    ) -> DuplicateDecision:
        """Keep some members of a group and put the others into the trash.

        `merge`: what the kept take over from these. Of several that are kept it is remembered that they are no
        duplicates. Raises `InvalidRequest` unless `keep`, which names up to `MOST_DISMISSED`, and `thrown` are all
        members of the group.
        """
        if len(keep) > MOST_DISMISSED:
            raise InvalidRequest(
                f"At most {MOST_DISMISSED} images of a group are kept: what is remembered are their pairs."
            )
        async with self._database.transaction() as session:
            album = await albums.find_own(session, user_id, album_name)
            await self._lock(session, album, [*keep, *thrown] if len(keep) == 1 else None)
            group = await self._groups.find_open(session, album, group_id)
            members = [one.id for one in group.members]
            if sorted([*keep, *thrown]) != sorted(str(one) for one in members):
                raise InvalidRequest("`keep` and `trash` have to name each member of the group once.")
            choice = Choice(group, keep, thrown)
            action = await self._carry_out(session, album, [choice], merge)
        return DuplicateDecision(
            id=group_id, status="resolved", correction_id=action, trashed=list(thrown), bytes=choice.bytes
        )

    async def dismiss(self, user_id: str, album_name: str, group_id: str) -> DuplicateDecision:
        """Remember that the members of a group are no duplicates of one another, in no album. Again: the same answer.

        Raises `InvalidRequest` for a group of more than `MOST_DISMISSED`.
        """
        async with self._database.transaction() as session:
            album = await albums.find_own(session, user_id, album_name)
            await corrections.lock(session, user_id)
            known = (await duplicates.load(session, album.id, [group_id])).get(group_id)
            if known is None or known.status != "dismissed":
                group = await self._groups.find_open(session, album, group_id)
                if len(group.members) > MOST_DISMISSED:
                    raise InvalidRequest(f"The group has more than {MOST_DISMISSED} members: resolve it instead.")
                shas = await _shas(session, user_id, [one.id or "" for one in group.members])
                await duplicates.touch_albums(session, user_id, sorted(set(shas)))
                group = await self._groups.find_open(session, album, group_id)  # as it is now that nobody changes it
                action = await self._remembered.make(session, user_id, strangers(shas), "dismiss_duplicates")
                known = Decision(group_id, "dismissed", action, group.model_dump(mode="json"))
                await duplicates.save(session, user_id, album.id, [known])
        return DuplicateDecision(id=group_id, status="dismissed", correction_id=known.action_id, trashed=[], bytes=0)

    async def plan(
        self, user_id: str, album_name: str, level: DuplicateLevel | None, only: DuplicateLevel | None = None
    ) -> DuplicatePlan:
        """Tell what resolving all open groups by their suggestions would do.

        `level`: of the search, None: the latest one. `only`: of its groups those of this level alone.
        """
        async with self._database.transaction() as session:
            album = await albums.find_own(session, user_id, album_name)
        entries = await self._groups.load_entries(album, level)
        async with self._database.transaction() as session:
            return plan_of(suggested(await self._groups.describe(session, album, entries), only))

    async def request_all(
        self,
        user_id: str,
        album_name: str,
        level: DuplicateLevel | None,
        only: DuplicateLevel | None,
        plan: str | None,
        merge: Sequence[Merged],
    ) -> str:
        """Start what `plan` tells of. -> job id

        `plan`: of the dry run; where it would be another one now, `Conflict` is raised and nothing is done.
        """
        now = (await self.plan(user_id, album_name, level, only)).plan
        check_plan(plan, now)
        # Workers of an older version look past `only`: a plan keeps them from doing more than was asked for.
        held = plan or (now if only else None)
        async with self._database.transaction() as session:
            album = await albums.find_own(session, user_id, album_name)
            job = await jobs.enqueue(
                session,
                user_id=user_id,
                kind=JOB,
                album_id=album.id,
                payload={"level": level, "only": only, "plan": held, "merge": list(merge)},
                max_attempts=self._limits.max_attempts,
                priority=1,  # somebody waits for it
                max_queued=self._limits.max_queued,
                max_queued_total=self._limits.max_queued_total,
            )
        return job.id

    async def __call__(self, job: QueuedJob, progress: Progress) -> DuplicatesResolved:
        """Resolve all, as a job: in one transaction, so that it is done once and taken back at once."""
        async with self._database.transaction() as session:
            done = await duplicates.load_of_job(session, job.user_id, job.id)
            album = await albums.get(session, job.album_id or "")
        if done:  # by a worker that died before it could say so
            return done_before(done)
        if album is None:
            raise NotFound("The album is gone.")
        entries = await self._groups.load_entries(album, job.payload["level"])
        progress.report(0.2)
        async with self._database.transaction() as session:
            await self._lock(session, album, None)
            only = job.payload.get("only")  # jobs of an earlier version say nothing of it
            choices = suggested(await self._groups.describe(session, album, entries), only)
            plan = plan_of(choices)
            check_plan(job.payload["plan"], plan.plan)
            action = None
            if choices:
                action = await self._carry_out(session, album, choices, job.payload["merge"], job.id, plan.plan)
        return DuplicatesResolved(**plan.model_dump(), correction_id=action)

    async def _lock(self, session: AsyncSession, album: StoredAlbum, image_ids: Sequence[str] | None) -> None:
        """Let nobody else decide for the user or change the albums of these images (None: of any) until the end."""
        await corrections.lock(session, album.user_id)
        await albums.lock_holders(session, album.user_id, album.id, image_ids)

    async def _carry_out(
        self,
        session: AsyncSession,
        album: StoredAlbum,
        choices: Sequence[Choice],
        merge: Sequence[Merged],
        job_id: str | None = None,
        plan: str | None = None,
    ) -> str:
        """Merge, throw away and remember. -> the action's id"""
        kept, gone = pairs_of(choices)
        # Temporary ones are left out of the trash, and would take what is kept with them when they expire.
        await images.keep(session, sorted({*kept, *gone}))
        tags = await duplicates.merge_tags(session, kept, gone, MOST_TAGS) if "tags" in merge else []
        items = await duplicates.merge_albums(session, kept, gone) if "albums" in merge else []
        times = await duplicates.merge_times(session, kept, gone) if "taken_at" in merge else []
        changed = {str(entry[0]) for entry in (*tags, *items, *times)}
        await duplicates.touch_holders(session, album.user_id, sorted(changed))
        await trash.put_in(session, album.user_id, [one for choice in choices for one in choice.trash])
        taken = Taken(tags, items, times)
        shas = await _shas(session, album.user_id, kept)
        by_id = dict(zip(kept, shas, strict=True))
        new = [
            NewCorrection(
                "resolve",
                Place(by_id[choice.keep[0]]),
                value={
                    "album": album.id,
                    "group": choice.group.id,
                    "trashed": list(choice.trash),
                    "bytes": choice.bytes,
                    **taken.of(choice.keep),
                    **({"job": job_id, "plan": plan} if job_id else {}),
                },
            )
            for choice in choices
        ]
        apart = [pair for choice in choices for pair in strangers([by_id[one] for one in choice.keep])]
        action = await self._remembered.make(session, album.user_id, [*new, *apart], "resolve_duplicates")
        decided = [
            Decision(str(choice.group.id), "resolved", action, choice.group.model_dump(mode="json"))
            for choice in choices
        ]
        await duplicates.save(session, album.user_id, album.id, decided)
        return action


async def _shas(session: AsyncSession, user_id: str, ids: Sequence[str]) -> list[str]:
    known = await images.load(session, user_id, ids)
    return [known[one].content.sha256 for one in ids]
