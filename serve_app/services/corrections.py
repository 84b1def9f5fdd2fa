"""Decisions of users that are remembered: made, listed and taken back.

What a decision does at once is not known here: each kind has an effect, which is told in the transaction that adds or
takes back the correction.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

from sqlalchemy.ext.asyncio import AsyncSession

from deployments.errors import NotFound
from serve_app.store.repositories import corrections
from serve_app.store.repositories.corrections import Correction, CorrectionKind, NewCorrection
from serve_app.store.session import Database


class CorrectionEffect(Protocol):
    """What comes of corrections of some kinds, beside their being remembered."""

    async def made(self, session: AsyncSession, user_id: str, made: Sequence[Correction]) -> None:
        """Do what corrections of one action mean, in the transaction that adds them. What is raised undoes it all."""
        ...

    async def undone(self, session: AsyncSession, user_id: str, undone: Sequence[Correction]) -> None:
        """Restore what was before corrections of one action, in the transaction that takes them back."""
        ...


class CorrectionService:
    """Use cases of corrections. A user's are made and taken back one after the other."""

    def __init__(self, database: Database, effects: Mapping[CorrectionKind, CorrectionEffect]) -> None:
        """`effects`: of the kinds that have one; one that several kinds share is told of all at once."""
        self._database = database
        self._effects = effects

    async def make(self, session: AsyncSession, user_id: str, new: Sequence[NewCorrection], via: str) -> str:
        """Remember what one action says, and do what it means, in the caller's transaction. -> the correction's id

        Raises what the effects raise.
        """
        await corrections.lock(session, user_id)
        made = await corrections.add(session, user_id, new, via)
        for effect, of_effect in self._by_effect(made):
            await effect.made(session, user_id, of_effect)
        return made[0].action_id

    async def list_corrections(
        self, user_id: str, limit: int, cursor: str | None, kind: CorrectionKind | None
    ) -> tuple[list[Correction], str | None]:
        """List a user's corrections, the newest first. -> a page, the cursor of the next one"""
        async with self._database.transaction() as session:
            page = await corrections.load_page(session, user_id, limit + 1, cursor, kind)
        return page[:limit], page[limit - 1].id if len(page) > limit else None

    async def undo(self, user_id: str, correction_id: str) -> list[Correction]:
        """Take a correction back, with all that was said by the same action; again: nothing. -> what was taken back

        Raises `NotFound` for one that is not the user's.
        """
        async with self._database.transaction() as session:
            await corrections.lock(session, user_id)
            action = await corrections.find_action(session, user_id, correction_id)
            if action is None:
                raise NotFound(f"There is no correction '{correction_id}'.")
            return await self._undo(session, user_id, action)

    async def undo_last(self, user_id: str) -> list[Correction]:
        """Take the last action back that stands. -> its corrections. Raises `NotFound` where none stands."""
        async with self._database.transaction() as session:
            await corrections.lock(session, user_id)
            action = await corrections.find_last_action(session, user_id)
            if action is None:
                raise NotFound("There is nothing to undo.")
            return await self._undo(session, user_id, action)

    async def _undo(self, session: AsyncSession, user_id: str, action_id: str) -> list[Correction]:
        undone = await corrections.undo(session, action_id)
        for effect, of_effect in self._by_effect(undone):
            await effect.undone(session, user_id, of_effect)
        return undone

    def _by_effect(self, some: Sequence[Correction]) -> list[tuple[CorrectionEffect, list[Correction]]]:
        """Sort corrections by the effect of their kind, in their order; those of kinds without one are left out."""
        found: dict[int, tuple[CorrectionEffect, list[Correction]]] = {}
        for one in some:
            effect = self._effects.get(one.kind)
            if effect is not None:
                found.setdefault(id(effect), (effect, []))[1].append(one)
        return list(found.values())
