"""The gateway over handles that behave as Ray's do: lost replicas, full queues, silence."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import numpy as np
import pytest
from ray.exceptions import ActorDiedError, RayTaskError
from ray.serve.exceptions import BackPressureError, DeploymentUnavailableError

from configs.settings import Deadlines
from deployments.errors import DeadlineExceeded, NotSupported, Overloaded, Unavailable
from deployments.generation import GenerationRequest, GenerationStep, StyleRequest
from serve_app import gateway
from serve_app.gateway import Gateway, Handles
from serve_app.telemetry import Metrics

Answer = Callable[[], Awaitable[Any]]


class ScriptedHandle:
    """Answers each call with the next of its answers; the last one again and again."""

    def __init__(self, *answers: Any) -> None:
        self._answers = list(answers)
        self.calls = 0

    def __getattr__(self, verb: str) -> ScriptedHandle:
        return self

    async def remote(self, *_: Any) -> Any:
        answer = self._answers[min(self.calls, len(self._answers) - 1)]
        self.calls += 1
        if isinstance(answer, BaseException):
            raise answer
        if callable(answer):
            return await answer()
        return answer


def over(handle: ScriptedHandle, deadlines: Deadlines | None = None) -> Gateway:
    return Gateway(Handles(*[handle] * 8), deadlines or Deadlines(), Metrics("test"))  # type: ignore[arg-type]


class StreamingHandle:
    """A handle whose call streams: each item is given, raised, or waited for."""

    def __init__(self, *items: Any) -> None:
        self._items = iter(items)
        self.option: dict[str, Any] = {}
        self.cancelled = False

    def options(self, **option: Any) -> StreamingHandle:
        self.option = option
        return self

    def __getattr__(self, verb: str) -> StreamingHandle:
        return self

    def remote(self, *_: Any) -> StreamingHandle:
        return self

    async def __anext__(self) -> Any:
        item = next(self._items, None)
        if item is None:
            raise StopAsyncIteration
        if isinstance(item, BaseException):
            raise item
        return await item() if callable(item) else item

    def cancel(self) -> None:
        self.cancelled = True


STEP = GenerationStep(1, 2, np.zeros((4, 1, 1), np.float16))
REQUEST = GenerationRequest("a cat", checkpoint="tiny")


@pytest.fixture(autouse=True)
def _no_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gateway, "_BACKOFF_S", 0.0)


async def test_a_call_that_died_with_its_replica_is_made_again() -> None:
    handle = ScriptedHandle(ActorDiedError(), ActorDiedError(), [[]])
    assert await over(handle).find_faces([np.zeros((2, 2, 3), np.uint8)]) == [[]]
    assert handle.calls == 3


async def test_replicas_that_keep_dying_make_the_capability_unavailable() -> None:
    with pytest.raises(Unavailable):
        await over(ScriptedHandle(ActorDiedError())).find_faces([])


async def test_a_full_queue_is_overload() -> None:
    with pytest.raises(Overloaded):
        await over(ScriptedHandle(BackPressureError(num_queued_requests=9, max_queued_requests=9))).find_faces([])


async def test_a_deployment_that_failed_to_start_is_unavailable() -> None:
    with pytest.raises(Unavailable):
        await over(ScriptedHandle(DeploymentUnavailableError("x"))).find_faces([])


async def test_silence_ends_at_the_deadline() -> None:
    handle = ScriptedHandle(asyncio.Event().wait)
    with pytest.raises(DeadlineExceeded, match="find_faces"):
        await over(handle, Deadlines(faces_s=0.01)).find_faces([])


async def test_our_own_errors_pass_through_as_what_they_are() -> None:
    wrapped = RayTaskError("find_faces", "traceback", NotSupported("no")).as_instanceof_cause()
    with pytest.raises(NotSupported) as raised:
        await over(ScriptedHandle(wrapped)).find_faces([])
    assert raised.value.status == 422


async def test_a_bug_in_a_replica_does_not_reach_the_client() -> None:
    wrapped = RayTaskError("find_faces", "secret path in a traceback", ValueError("x")).as_instanceof_cause()
    with pytest.raises(Unavailable) as raised:
        await over(ScriptedHandle(wrapped)).find_faces([])
    assert "secret" not in raised.value.message


async def test_a_generation_comes_step_by_step() -> None:
    handle = StreamingHandle(STEP, "picture")
    assert [event async for event in over(handle).generate(REQUEST)] == [STEP, "picture"]  # type: ignore[arg-type]
    assert handle.option == {"stream": True, "multiplexed_model_id": "tiny"}


async def test_closing_a_generation_stops_its_replica() -> None:
    handle = StreamingHandle(STEP, asyncio.Event().wait)
    events = over(handle).generate(REQUEST)  # type: ignore[arg-type]
    await anext(events)
    await events.aclose()
    assert handle.cancelled


async def test_a_generation_that_is_silent_ends_at_its_deadline_and_stops_its_replica() -> None:
    handle = StreamingHandle(STEP, asyncio.Event().wait)
    events = over(handle, Deadlines(generate_s=0.05)).generate(REQUEST)  # type: ignore[arg-type]
    await anext(events)
    with pytest.raises(DeadlineExceeded, match="generate"):
        await anext(events)
    assert handle.cancelled


async def test_a_generation_whose_replica_died_before_the_first_step_is_begun_again() -> None:
    handle = StreamingHandle(ActorDiedError(), STEP, "picture")
    assert [event async for event in over(handle).generate(REQUEST)] == [STEP, "picture"]  # type: ignore[arg-type]


async def test_a_generation_whose_replica_dies_later_is_not_begun_again() -> None:
    handle = StreamingHandle(STEP, ActorDiedError(), STEP)
    events = over(handle).generate(REQUEST)  # type: ignore[arg-type]
    await anext(events)
    with pytest.raises(Unavailable):
        await anext(events)


async def test_without_a_diffusion_deployment_its_verbs_are_unavailable() -> None:
    one = Gateway(Handles(*[ScriptedHandle()] * 7), Deadlines(), Metrics("test"))  # type: ignore[arg-type]
    with pytest.raises(Unavailable, match="no diffusion engine"):
        await one.list_models()
    with pytest.raises(Unavailable, match="no diffusion engine"):
        await anext(one.generate(REQUEST))


async def test_styles_and_prompts_have_their_own_deadlines() -> None:
    image = np.zeros((2, 2, 3), np.uint8)
    silent = over(ScriptedHandle(asyncio.Event().wait), Deadlines(style_s=0.01, prompt_s=0.01))
    with pytest.raises(DeadlineExceeded, match="stylize"):
        await silent.stylize("opencv", StyleRequest(image, "ink", "x"))
    with pytest.raises(DeadlineExceeded, match="write_prompt"):
        await silent.write_prompt(image, "ink")
