"""What corrections of people do beside being remembered, and what is restored when they are taken back."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date
from itertools import pairwise
from typing import Any

import numpy as np
from sqlalchemy.ext.asyncio import AsyncSession

from configs.settings import Settings
from deployments.algorithms.people.links import Links, find_contradiction
from deployments.errors import Conflict
from serve_app.services.people.memory import LINKS, place_in
from serve_app.services.people.places import PlacedFaces, Resolved, resolve
from serve_app.store.ids import public_face_id
from serve_app.store.repositories import corrections, face_moves, library_faces, people
from serve_app.store.repositories.corrections import Correction, Place
from serve_app.store.repositories.library_faces import FaceBoxes
from serve_app.store.repositories.people import Description


@dataclass(frozen=True, slots=True)
class LinkedFaces:
    """The faces of which a user said something, where they are now."""

    found: FaceBoxes
    placed: PlacedFaces
    said: Resolved
    links: list[Correction]

    def node(self, place: Place) -> int | Place:
        """Name what a link is about: the face that is there, else the place."""
        face = self.placed.find(place)
        return place if face is None else self.found.ids[face]


class PeopleEffects:
    """The effect of links, names and hiding."""

    def __init__(self, settings: Settings) -> None:
        self._model = settings.faces_model

    async def made(self, session: AsyncSession, user_id: str, made: Sequence[Correction]) -> None:
        """Refuse what contradicts itself. Raises `Conflict` with the chain of faces."""
        linked = [one for one in made if one.kind in LINKS]
        if linked:
            _refuse_contradiction(await self.load_linked(session, user_id))
            await library_faces.touch_albums(session, user_id, _shas(linked))
        await people.bump(session, user_id)

    async def undone(self, session: AsyncSession, user_id: str, undone: Sequence[Correction]) -> None:
        """Give faces back to whom they were of, and say of people what was said before."""
        merged = [str(one.value["merged"]) for one in undone if "merged" in one.value]
        await people.merge(session, user_id, merged, None)
        await face_moves.take_back(session, user_id, undone[0].action_id)
        await self.repair(session, user_id, undone[0].action_id, [])
        spoken_of = list(dict.fromkeys(str(one.value["person"]) for one in undone if "person" in one.value))
        for person in spoken_of:
            await self.describe(session, user_id, person)
        await people.touch(session, user_id, [*merged, *spoken_of])
        await library_faces.touch_albums(session, user_id, _shas(one for one in undone if one.kind in LINKS))
        await people.bump(session, user_id)

    async def describe(self, session: AsyncSession, user_id: str, person_id: str) -> None:
        """Set what is said of a person to what the corrections that stand say last."""
        said = await corrections.load_last_value(session, user_id, "name", person_id) or {}
        hidden = await corrections.load_last_value(session, user_id, "hide", person_id) or {}
        cover = await self._find_cover(session, user_id, said)
        born = said.get("birth_date")
        description = Description(said.get("name"), None if born is None else date.fromisoformat(born), cover)
        await people.describe(session, user_id, person_id, description)
        await people.hide(session, user_id, person_id, hidden=bool(hidden.get("hidden")))

    async def _find_cover(self, session: AsyncSession, user_id: str, said: dict[str, Any]) -> int | None:
        if not said.get("cover"):
            return None
        place = place_in(said["cover"])
        found = await library_faces.load_boxes(session, user_id, self._model, [place.sha256])
        face = placed_faces(found).find(place)
        return None if face is None else found.ids[face]

    async def load_linked(self, session: AsyncSession, user_id: str) -> LinkedFaces:
        """Load the faces of which the corrections that stand say something."""
        links = await corrections.load_standing(session, user_id, LINKS)
        found = await library_faces.load_boxes(session, user_id, self._model, _shas(links))
        placed = placed_faces(found)
        return LinkedFaces(found, placed, resolve(links, [], placed), links)

    async def repair(self, session: AsyncSession, user_id: str, action_id: str, kept: Iterable[int]) -> None:
        """Part the faces whom a cannot-link parts and an action has brought together: those that are not bound to
        `kept`, the ids of the faces that the action was about, become somebody else."""
        linked = await self.load_linked(session, user_id)
        bonds = bonds_of(linked)
        ids, owner = linked.found.ids, list(linked.found.people)
        own = {bonds[face] for face, face_id in enumerate(ids) if face_id in set(kept)}
        for bond in set(bonds):  # what is bound may have come apart where something older was taken back
            members = [face for face in range(len(ids)) if bonds[face] == bond]
            owners = sorted({one for face in members if (one := owner[face]) is not None})
            if owners and {owner[face] for face in members} != {owners[0]} and len(members) > 1:
                await face_moves.move(session, user_id, action_id, [ids[face] for face in members], owners[0])
                await people.touch(session, user_id, owners)
                for face in members:
                    owner[face] = owners[0]
        for one, other in linked.said.cannot.tolist():
            if owner[one] is None or owner[one] != owner[other]:
                continue
            leaving = other if bonds[one] in own else one
            members = [face for face in range(len(ids)) if bonds[face] == bonds[leaving] and owner[face] == owner[one]]
            target = None if one == other else await people.add(session, user_id)
            left = owner[one]
            await face_moves.move(session, user_id, action_id, [ids[face] for face in members], target)
            await people.touch(session, user_id, [left] if left else [])
            for face in members:
                owner[face] = target


def bonds_of(linked: LinkedFaces) -> list[int]:
    """Number what each linked face is bound to: equal numbers are bound to each other."""
    count = len(linked.found.ids)
    if not count:
        return []
    links = Links(count, linked.said.must, np.zeros((0, 2), np.int64))
    return [int(one) for one in links.unite(np.arange(count))[1]]


def placed_faces(found: FaceBoxes) -> PlacedFaces:
    """Make the index of faces by place."""
    return PlacedFaces(found.shas, found.sizes, found.pictures, found.boxes)


def _shas(links: Iterable[Correction]) -> list[str]:
    return sorted({end.sha256 for one in links for end in (one.a, one.b) if end is not None})


def _refuse_contradiction(linked: LinkedFaces) -> None:
    pairs = [(one, linked.node(one.a), linked.node(one.b)) for one in linked.links if one.b is not None]
    must = [(a, b) for one, a, b in pairs if one.kind == "must"]
    # Two places that have come to be one face are no contradiction of the user's.
    cannot = [(a, b) for one, a, b in pairs if one.kind == "cannot" and (a != b or one.a == one.b)]
    chain = find_contradiction(must, cannot)
    if chain is None:
        return
    steps = {pair for one, other in pairwise(chain) for pair in ((one, other), (other, one))}
    ends = {(chain[0], chain[-1]), (chain[-1], chain[0])} | {(node, node) for node in chain}
    involved = [
        one.id
        for one, a, b in pairs
        if (one.kind == "must" and (a, b) in steps) or (one.kind == "cannot" and (a, b) in ends)
    ]
    raise Conflict(
        "This contradicts what you said before: these faces are bound to each other, one by one, and the first and the "
        "last of them are not the same person. Take back one of these corrections.",
        extra={"chain": [_told(node) for node in chain], "corrections": involved},
    )


def _told(node: int | Place) -> dict[str, Any]:
    if isinstance(node, int):
        return {"face_id": public_face_id(node)}
    return {"sha256": node.sha256, "box": list(node.box or ())}
