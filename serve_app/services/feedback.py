"""What users say of tags and of images that were made for them, which evaluations read."""

from __future__ import annotations

from collections.abc import Sequence

from deployments.errors import InvalidRequest, NotFound
from serve_app.store.repositories import feedback
from serve_app.store.repositories.feedback import Feedback
from serve_app.store.session import Database

MOST_OF_AN_IMAGE = 200
"""Tags of one image of which something can be said."""


class FeedbackService:
    """Use cases of feedback. It changes nothing of what is shown; of a subject, what was said last holds."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def say_of_tag(self, user_id: str, image_id: str, tag: str, is_right: bool, note: str | None) -> Feedback:
        """Remember whether a tag fits an image, given by the model or not.

        Raises `NotFound` for an image that is not the user's, `InvalidRequest` for more than `MOST_OF_AN_IMAGE` tags.
        """
        async with self._database.transaction() as session:
            said = await feedback.save_of_tag(session, user_id, image_id, tag, is_right, note)
            if said is None:
                raise NotFound(f"There is no image '{image_id}'.")
            if await feedback.count_of_image(session, image_id) > MOST_OF_AN_IMAGE:
                raise InvalidRequest(f"Something is said of {MOST_OF_AN_IMAGE} tags of this image already.")
        return said

    async def say_of_history(self, user_id: str, history_id: str, is_right: bool, note: str | None) -> Feedback:
        """Remember whether what a request made is right. Raises `NotFound` for one that made nothing or is not the
        user's."""
        async with self._database.transaction() as session:
            said = await feedback.save_of_history(session, user_id, history_id, is_right, note)
        if said is None:
            raise NotFound(f"There is no history entry '{history_id}' with an image.")
        return said

    async def load_page(self, user_id: str, limit: int, cursor: str | None) -> tuple[Sequence[Feedback], str | None]:
        """Load what a user said, the newest subject first. -> a page, the cursor of the next one"""
        async with self._database.transaction() as session:
            page = await feedback.load_page(session, user_id, limit + 1, cursor)
        return page[:limit], page[limit - 1].id if len(page) > limit else None

    async def forget(self, user_id: str, feedback_id: str) -> None:
        """Forget something that the user said, if it is there."""
        async with self._database.transaction() as session:
            await feedback.remove(session, user_id, feedback_id)
