"""What a user said of faces, as groupings take it: links between faces that are there, and whom names belong to."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sqlalchemy.ext.asyncio import AsyncSession

from serve_app.services.people.places import PlacedFaces, Resolved, resolve
from serve_app.store.repositories import corrections, people
from serve_app.store.repositories.corrections import Correction, CorrectionKind, Place

LINKS: tuple[CorrectionKind, ...] = ("must", "cannot")
DESCRIPTIONS: tuple[CorrectionKind, ...] = ("name", "hide")


@dataclass(frozen=True, slots=True)
class Memory:
    """What a user said, and the number of the state of the user's people that it is of."""

    revision: int
    links: list[Correction]
    undone: list[Correction]
    descriptions: list[Correction]

    def resolve(self, faces: PlacedFaces) -> Resolved:
        """Find the faces that links are about."""
        return resolve(self.links, self.undone, faces)

    def decided(self, faces: PlacedFaces) -> list[tuple[str, NDArray[np.int64]]]:
        """Find the faces by which people are known of whom something was said: id of a person, indices of faces
        `int64[F]`; whoever was spoken of last is last."""
        found: dict[str, set[int]] = defaultdict(set)
        at = faces.find_all([one.a for one in self.descriptions]).tolist()
        for one, face in zip(self.descriptions, at, strict=True):
            person = str(one.value["person"])
            found[person] = found.pop(person, set()) | ({face} if face >= 0 else set())
        return [(person, np.array(sorted(at), np.int64)) for person, at in found.items() if at]

    def covers(self, faces: PlacedFaces, face_ids: NDArray[np.int64]) -> dict[str, int]:
        """Find the faces that people are shown by: id of a person -> id of the face that the user chose."""
        chosen = {str(one.value["person"]): one.value["cover"] for one in self.descriptions if "cover" in one.value}
        places = {person: place_in(cover) for person, cover in chosen.items() if cover}
        found = {person: faces.find(place) for person, place in places.items()}
        return {person: int(face_ids[face]) for person, face in found.items() if face is not None}


def place_in(value: Mapping[str, Any]) -> Place:
    """Read a place from the value of a correction."""
    x1, y1, x2, y2 = value["box"]
    return Place(value["sha256"], (x1, y1, x2, y2))


def place_as_value(place: Place) -> dict[str, Any]:
    """Write a place as part of the value of a correction."""
    return {"sha256": place.sha256, "box": list(place.box or ())}


async def load_memory(session: AsyncSession, user_id: str, grouped_at: datetime | None) -> Memory:
    """Load what a user said of faces, and what was taken back since these were grouped."""
    state = await people.load_state(session, user_id)
    return Memory(
        0 if state is None else state.revision,
        await corrections.load_standing(session, user_id, LINKS),
        await corrections.load_undone(session, user_id, LINKS, grouped_at),
        await corrections.load_standing(session, user_id, DESCRIPTIONS),
    )
