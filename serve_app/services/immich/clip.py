"""Immich's smart search: vectors of pictures and of what is searched for, in the space of one CLIP model."""

from __future__ import annotations

from typing import Any, Protocol

import numpy as np

from configs.settings import Settings
from deployments.algorithms.images.clip_view import clip_view
from deployments.contracts.albums import ImageEmbedder, Tagger
from deployments.contracts.arrays import Vectors
from deployments.errors import BadRequest, CapabilityFailed, InvalidRequest, NotDeployed
from deployments.kit.threads import Threads
from serve_app.services.immich.entries import Entries
from serve_app.services.immich.tasks import Given, check_name, spell

LONGEST_TEXT = 4000
"""Characters of a text; the models read some 70 words of it."""
_KINDS = ("visual", "textual")


class ClipCapabilities(ImageEmbedder, Tagger, Protocol):
    """What the task needs."""


class Clip:
    """Task `clip`: one picture or one text -> its unit vector as text."""

    def __init__(self, capabilities: ClipCapabilities, settings: Settings, threads: Threads) -> None:
        self._capabilities = capabilities
        self._px = settings.embedding.input_px
        self._has_clip = settings.clip_weights is not None
        self._threads = threads
        self._served = sorted(
            name for name, weights in settings.immich.models.items() if weights == settings.clip_weights
        )

    def check(self, entries: Entries, *, has_picture: bool, has_text: bool) -> None:
        """See `tasks.Task`. Raises `NotDeployed` too."""
        if len(entries) != 1 or not entries.keys() <= {*_KINDS}:
            raise InvalidRequest("entries, clip: name `visual` or `textual`, and one of them, for there is one answer.")
        [(kind, entry)] = entries.items()
        if not self._has_clip:
            raise NotDeployed(
                "This server has no CLIP model: smart search needs DARKROOM_EMBEDDING__ENGINE=open_clip and weights."
            )
        check_name("CLIP model", entry.name, self._served)
        if kind == "textual" and not has_text:
            raise BadRequest("clip, textual needs a text: send `text`.")
        if kind == "visual" and not has_picture:
            raise BadRequest("clip, visual needs a picture: send `image`.")

    async def answer(self, entries: Entries, given: Given) -> Any:
        """-> the vector, as text"""
        if "textual" in entries:
            [vector] = await self._capabilities.embed_texts([given.text or ""])
        else:
            view = await self._threads.run(clip_view, given.seen("clip, visual"), self._px)
            [vector] = await self._capabilities.embed_images(view[None])
        return spell(_unit(vector))


def _unit(vector: Vectors) -> Vectors:
    length = float(np.linalg.norm(vector))
    if length == 0:
        raise CapabilityFailed("The model gave an empty vector.")
    return np.asarray(vector / length, np.float32)
