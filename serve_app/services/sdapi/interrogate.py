"""Image description (A1111's "interrogate"): the tags that an album would give the image, in a row."""

from __future__ import annotations

import asyncio

import numpy as np

from configs.settings import Settings
from deployments.algorithms.images.resizing import shrink
from deployments.algorithms.images.views import make_views
from deployments.algorithms.tags.vocabulary import PeopleRules, TagRules, merge_scores, people_tags, select_tags
from deployments.contracts.albums import Capabilities
from deployments.contracts.arrays import Image


class Captioner:
    """Describes images by their tags."""

    def __init__(self, capabilities: Capabilities, settings: Settings) -> None:
        self._capabilities = capabilities
        self._settings = settings
        self._people = PeopleRules(settings.tags.min_face_share, settings.tags.portrait_share)

    async def caption(self, image: Image) -> str:
        """Tags, the most probable first, separated by commas; empty where nothing is recognised."""
        settings = self._settings
        small = await asyncio.to_thread(shrink, image, settings.limits.preview_px)
        views = await asyncio.to_thread(make_views, small, settings.embedding.input_px)
        vectors, [faces] = await asyncio.gather(
            self._capabilities.embed_images(views), self._capabilities.find_faces([small])
        )
        [tags] = await self._capabilities.tag_images(vectors[None])
        boxes = np.array([face.bbox for face in faces], np.float32).reshape(-1, 4)
        people = people_tags(boxes, [face.score for face in faces], small.shape[1], small.shape[0], self._people)
        rules = TagRules(settings.tags.threshold, settings.tags.top_k, settings.tags.fallback)
        chosen = select_tags(merge_scores(tags, people), rules)
        return ", ".join(chosen)
