"""Routes of jobs, users, history and operations, one method an operation of the OpenAPI document, of its name."""

from __future__ import annotations

from typing import Any, Literal
from urllib.parse import quote

from darkroom_client import models
from darkroom_client._async.http import AsyncHttp, given
from darkroom_client._async.job import AsyncJob
from darkroom_client.models import (
    CapabilityReport,
    FeedbackList,
    FeedbackView,
    History,
    HistoryItem,
    NewKey,
    NewUser,
    ProblemMeaning,
    SessionView,
    TagWords,
    UserList,
    UserView,
)

Made = Literal["style", "avatar", "txt2img", "img2img"]
Language = Literal["ko", "ja", "zh", "de", "fr", "es"]


class AsyncAccountRoutes:
    """Routes of jobs, users, history and of those who run the server."""

    _http: AsyncHttp

    async def get_job(self, job_id: str) -> models.Job:
        """Describe how far a job is, and its result or its problem when it ended."""
        return await self._http.read(models.Job, "GET", f"/jobs/{_quoted(job_id)}")

    async def cancel_job(self, job_id: str) -> models.Job:
        """Ask a job to stop."""
        return await self._http.read(models.Job, "DELETE", f"/jobs/{_quoted(job_id)}")

    def watch_job(self, job_id: str) -> AsyncJob[Any]:
        """Follow a job by its id: `wait()`, or iterate over `events()`. Asks the server nothing yet."""
        return AsyncJob(self._http, Any, None, job_id=_quoted(job_id))

    async def list_history(
        self, kind: Made | None = None, limit: int | None = None, cursor: str | None = None
    ) -> History:
        """List every request to make an image, the newest first, those that failed included."""
        return await self._http.read(History, "GET", "/history", params=given(kind=kind, limit=limit, cursor=cursor))

    async def get_history(self, history_id: str) -> HistoryItem:
        """Describe one request to make an image."""
        return await self._http.read(HistoryItem, "GET", f"/history/{_quoted(history_id)}")

    async def give_feedback(
        self, subject: dict[str, str], verdict: Literal["right", "wrong"], note: str | None = None
    ) -> FeedbackView:
        """Say whether a tag fits an image (`subject`: `image_id` and `tag`), or what a request made is right
        (`history_id`). It changes nothing that is shown."""
        body = {"subject": subject, "verdict": verdict, **given(note=note)}
        return await self._http.read(FeedbackView, "POST", "/feedback", json=body)

    async def list_feedback(self, limit: int | None = None, cursor: str | None = None) -> FeedbackList:
        """List what you said of tags and made images, the newest subject first."""
        return await self._http.read(FeedbackList, "GET", "/feedback", params=given(limit=limit, cursor=cursor))

    async def forget_feedback(self, feedback_id: str) -> None:
        """Forget something that you said."""
        await self._http.send("DELETE", f"/feedback/{_quoted(feedback_id)}")

    async def create_user(self, username: str, email: str) -> NewUser:
        """Make a user and its key, which is shown this once (administrator's key)."""
        return await self._http.read(NewUser, "POST", "/users", json={"username": username, "email": email})

    async def list_users(self, limit: int | None = None, cursor: str | None = None) -> UserList:
        """List users, the newest first (administrator's key)."""
        return await self._http.read(UserList, "GET", "/users", params=given(limit=limit, cursor=cursor))

    async def get_user(self, user_id: str) -> UserView:
        """Describe one user: with a user's key, oneself."""
        return await self._http.read(UserView, "GET", f"/users/{_quoted(user_id)}")

    async def delete_user(self, user_id: str) -> None:
        """Delete a user with everything that is the user's."""
        await self._http.send("DELETE", f"/users/{_quoted(user_id)}")

    async def renew_key(self, user_id: str) -> NewKey:
        """Make a new key, shown this once. The one before is void from now on."""
        return await self._http.read(NewKey, "POST", f"/users/{_quoted(user_id)}/api-key")

    async def revoke_key(self, user_id: str) -> None:
        """Make the key void."""
        await self._http.send("DELETE", f"/users/{_quoted(user_id)}/api-key")

    async def list_history_of(
        self, user_id: str, kind: Made | None = None, limit: int | None = None, cursor: str | None = None
    ) -> History:
        """List the history of this user."""
        query = given(kind=kind, limit=limit, cursor=cursor)
        return await self._http.read(History, "GET", f"/users/{_quoted(user_id)}/history", params=query)

    async def open_session(self, api_key: str) -> SessionView:
        """Open a session of a web page, whose cookie this client keeps; its own key goes before it."""
        return await self._http.read(SessionView, "POST", "/session", json={"api_key": api_key})

    async def close_session(self) -> None:
        """End the session whose cookie this client keeps."""
        await self._http.send("DELETE", "/session")

    async def get_capabilities(self) -> CapabilityReport:
        """Describe the models that the server works with."""
        return await self._http.read(CapabilityReport, "GET", "/capabilities")

    async def get_vocabulary(self, language: Language) -> TagWords:
        """List a word of another language for each tag, for showing."""
        return await self._http.read(TagWords, "GET", "/vocabulary", params={"language": language})

    async def healthz(self) -> dict[str, str]:
        """Tell that the process answers."""
        return dict((await self._http.send("GET", "//healthz")).json())

    async def readyz(self) -> dict[str, Any]:
        """Check that all that the server needs answers. Raises `NotReady`."""
        return dict((await self._http.send("GET", "//readyz")).json())

    async def metrics(self) -> str:
        """Read the Prometheus metrics."""
        return str((await self._http.send("GET", "//metrics")).text)

    async def explain_problem(self, slug: str) -> ProblemMeaning:
        """Explain a type of problem: what it means and what to do."""
        return await self._http.read(ProblemMeaning, "GET", f"//problems/{_quoted(slug)}")


def _quoted(part: str) -> str:
    return quote(part, safe="")
