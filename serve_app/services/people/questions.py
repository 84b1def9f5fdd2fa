"""Questions to a user about faces of a grouping. Pure."""

from __future__ import annotations

import numpy as np

from configs.settings import FaceOptions
from deployments.algorithms.people.questions import Asked, Question
from deployments.algorithms.people.questions import find_questions as find
from deployments.algorithms.people.selection import unit
from serve_app.services.people.places import Resolved
from serve_app.store.repositories.faces import StoredFaces


def find_questions(found: StoredFaces, labels: np.ndarray, said: Resolved, options: FaceOptions) -> list[Question]:
    """Find what to ask of faces with these labels `int64[N]`, of which something was said."""
    if not len(labels):
        return []
    cannot = said.cannot[said.cannot[:, 0] != said.cannot[:, 1]]
    must = said.must[said.must[:, 0] != said.must[:, 1]]
    faces = Asked(unit(found.vectors), found.pictures, found.quality, labels)
    return find(faces, options.person_cut, cannot, must)
