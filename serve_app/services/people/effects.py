"""What corrections of people do beside being remembered, and what is restored when they are taken back."""

from __future__ import annotations

import asyncio
from collections import Counter, defaultdict
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

MOST_LINKS = 20_000
"""Links of a user that stand: what a grouping looks up and holds."""


@dataclass(frozen=True, slots=True)
class LinkedFaces:
    """The faces of which a user said something that has to do with some, where they are now."""

    found: FaceBoxes
    placed: PlacedFaces
    said: Resolved
    links: list[Correction]
    unit: list[int]
    """What each face is bound to, by number."""

    def nodes(self, places: Sequence[Place]) -> dict[Place, int | Place]:
        """Name what links are about: the face that is there, else the place."""
        at = self.placed.find_all(places).tolist()
        return {place: place if face < 0 else self.found.ids[face] for place, face in zip(places, at, strict=True)}

    def bound_to(self, face_ids: Iterable[int]) -> list[int]:
        """Find the ids of the faces that are bound to any of some, these included."""
        wanted = set(face_ids)
        own = {self.unit[at] for at, face_id in enumerate(self.found.ids) if face_id in wanted}
        return sorted(wanted | {face_id for at, face_id in enumerate(self.found.ids) if self.unit[at] in own})

    def refuse_parted(self, moved: Iterable[str | int], target: str) -> None:
        """Refuse to bring together with a person what a cannot-link parts from it. `moved`: ids of faces, or of people
        whose faces come. Raises `Conflict` with the two faces and the corrections."""
        wanted, ids, owner = set(moved), self.found.ids, self.found.people
        for pair, source in zip(self.said.cannot.tolist(), self.said.sources, strict=True):
            comes = [ids[face] in wanted or owner[face] in wanted for face in pair]
            is_there = [owner[face] == target or owner[face] in wanted for face in pair]
            if pair[0] != pair[1] and ((comes[0] and is_there[1]) or (comes[1] and is_there[0])):
                raise _refused([ids[face] for face in pair], [source])


class PeopleEffects:
    """The effect of links, names and hiding."""

    def __init__(self, settings: Settings) -> None:
        self._model = settings.faces_model

    async def made(self, session: AsyncSession, user_id: str, made: Sequence[Correction]) -> None:
        """Refuse what contradicts itself. Raises `Conflict` with the chain of faces, and for more than `MOST_LINKS`."""
        shas = _shas(one for one in made if one.kind in LINKS)
        if shas:
            if await corrections.count_links(session, user_id) > MOST_LINKS:
                raise Conflict(
                    f"You said of {MOST_LINKS} pairs of faces who they are, which is the most that is remembered. Take "
                    "some of these corrections back.",
                    extra={"limit": MOST_LINKS},
                )
            linked = await self.load_linked(session, user_id, shas)
            await asyncio.to_thread(_refuse_contradiction, linked)
            await library_faces.touch_albums(session, user_id, shas)
        await people.bump(session, user_id)

    async def undone(self, session: AsyncSession, user_id: str, undone: Sequence[Correction]) -> None:
        """Give faces back to whom they were of, and say of people what was said before."""
        merged = [str(one.value["merged"]) for one in undone if "merged" in one.value]
        await people.merge(session, user_id, merged, None)
        back = await face_moves.take_back(session, user_id, undone[0].action_id)
        shas = _shas(one for one in undone if one.kind in LINKS)
        await self.repair(session, user_id, [*shas, *await library_faces.find_shas(session, back)])
        spoken_of = list(dict.fromkeys(str(one.value["person"]) for one in undone if "person" in one.value))
        for person in spoken_of:
            await self.describe(session, user_id, person)
        await people.touch(session, user_id, [*merged, *spoken_of])
        await library_faces.touch_albums(session, user_id, shas)
        await people.bump(session, user_id)

    async def describe(self, session: AsyncSession, user_id: str, person_id: str) -> None:
        """Set what is said of a person to what the corrections that stand say last."""
        said = await corrections.load_said_of(session, user_id, person_id)
        cover = await self._find_cover(session, user_id, said)
        born = said.get("birth_date")
        description = Description(said.get("name"), None if born is None else date.fromisoformat(born), cover)
        await people.describe(session, user_id, person_id, description)
        await people.hide(session, user_id, person_id, hidden=bool(said.get("hidden")))

    async def _find_cover(self, session: AsyncSession, user_id: str, said: dict[str, Any]) -> int | None:
        if not said.get("cover"):
            return None
        place = place_in(said["cover"])
        found = await library_faces.load_boxes(session, user_id, self._model, [place.sha256])
        face = placed_faces(found).find(place)
        return None if face is None else found.ids[face]

    async def load_linked(self, session: AsyncSession, user_id: str, shas: Sequence[str] | None = None) -> LinkedFaces:
        """Load the faces of which the corrections that stand say something; with `shas`, only those that have to do
        with faces of these contents."""
        if shas is None:
            links = await corrections.load_standing(session, user_id, LINKS)
        else:
            links = await corrections.load_links_about(session, user_id, shas)
        found = await library_faces.load_boxes(session, user_id, self._model, _shas(links))
        return await asyncio.to_thread(_link, found, links)

    async def repair(self, session: AsyncSession, user_id: str, shas: Sequence[str]) -> None:
        """Have the links hold that have to do with faces of contents, after something older was taken back: what is
        bound comes to where most of it is, and who must not be there becomes somebody else."""
        linked = await self.load_linked(session, user_id, shas)
        ids, owner = linked.found.ids, list(linked.found.people)
        members: dict[int, list[int]] = defaultdict(list)
        for face, unit in enumerate(linked.unit):
            members[unit].append(face)

        async def move(faces: list[int], target: str | None) -> None:
            left = {one for face in faces if (one := owner[face])}
            await face_moves.put(session, user_id, [ids[face] for face in faces], target)
            await people.touch(session, user_id, [*left, *([target] if target else [])])
            for face in faces:
                owner[face] = target

        for faces in members.values():
            owners = Counter(one for face in faces if (one := owner[face]) is not None)
            if len({owner[face] for face in faces}) > 1:
                await move(faces, min(owners, key=lambda one: (-owners[one], one)))
        for leaver, stayer in linked.said.cannot.tolist():
            if owner[leaver] is not None and owner[leaver] == owner[stayer]:
                target = None if leaver == stayer else await people.add(session, user_id)
                await move(members[linked.unit[leaver]], target)


def _link(found: FaceBoxes, links: list[Correction]) -> LinkedFaces:
    placed = placed_faces(found)
    said, count = resolve(links, [], placed), len(found.ids)
    unit = Links(count, said.must, said.must[:0]).unite(np.arange(count))[1].tolist() if count else []
    return LinkedFaces(found, placed, said, links, unit)


def placed_faces(found: FaceBoxes) -> PlacedFaces:
    """Make the index of faces by place."""
    return PlacedFaces(found.shas, found.sizes, found.pictures, found.boxes)


def _shas(links: Iterable[Correction]) -> list[str]:
    return sorted({end.sha256 for one in links for end in (one.a, one.b) if end is not None})


def _refuse_contradiction(linked: LinkedFaces) -> None:
    places = [(one.a, one.b) for one in linked.links if one.b is not None]
    nodes = linked.nodes([end for pair in places for end in pair])
    pairs = [(one, nodes[a], nodes[b]) for one, (a, b) in zip(linked.links, places, strict=True)]
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
    raise _refused(chain, involved)


def _refused(chain: Sequence[int | Place], involved: list[str]) -> Conflict:
    return Conflict(
        "This contradicts what you said before: these faces are bound to each other, one by one, and the first and the "
        "last of them are not the same person. Take back one of these corrections.",
        extra={"chain": [_told(node) for node in chain], "corrections": involved},
    )


def _told(node: int | Place) -> dict[str, Any]:
    if isinstance(node, int):
        return {"face_id": public_face_id(node)}
    return {"sha256": node.sha256, "box": list(node.box or ())}
