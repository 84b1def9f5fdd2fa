"""The gateway over handles that behave as Ray's do: lost replicas, full queues, calls without an answer."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Generator, Mapping
from contextlib import aclosing
from typing import Any

import numpy as np
import pytest
import structlog
from ray.exceptions import ActorDiedError, RayTaskError
from ray.serve.exceptions import BackPressureError, DeploymentUnavailableError

from configs.settings import Deadlines
from deployments.algorithms.faces.sample import sample_portrait
from deployments.capabilities import BUNDLED
from deployments.contracts.diffusion import GenerationRequest, HintOptions
from deployments.contracts.portraits import AvatarTask
from deployments.contracts.styles import StyleTask
from deployments.errors import CapabilityFailed, DeadlineExceeded, NoFace, NotSupported, Overloaded, Unavailable
from deployments.kit.turns import acting_for
from serve_app import gateway
from serve_app.gateway import Gateway
from serve_app.remote_calls import Refusal
from serve_app.telemetry import Metrics

HandleAnswer = Callable[[], Awaitable[Any]]


class ScriptedHandle:
    """Answers each call with the next of its answers; the last one again and again. `checked` answers checks, if there
    is one."""

    def __init__(self, *answers: Any, checked: ScriptedHandle | None = None) -> None:
        self._answers = list(answers)
        self._checked = checked
        self.calls = self.cancelled = 0
        self.users: list[str | None] = []
        self.contexts: list[Mapping[str, str]] = []

    def __getattr__(self, verb: str) -> ScriptedHandle:
        return self._checked if verb == "check" and self._checked else self

    def remote(self, *_: Any, user: str | None, context: Mapping[str, str]) -> ScriptedResponse:
        self.users.append(user)
        self.contexts.append(context)
        return ScriptedResponse(self)

    async def answer(self) -> Any:
        answer = self._answers[min(self.calls, len(self._answers) - 1)]
        self.calls += 1
        if isinstance(answer, BaseException):
            raise answer
        if callable(answer):
            return await answer()
        return answer


class ScriptedResponse:
    """Awaited as Serve's are."""

    def __init__(self, handle: ScriptedHandle) -> None:
        self._handle = handle

    def __await__(self) -> Generator[Any, None, Any]:
        return self._handle.answer().__await__()

    def cancel(self) -> None:
        self._handle.cancelled += 1


def over(handle: ScriptedHandle, deadlines: Deadlines | None = None) -> Gateway:
    return Gateway(dict.fromkeys(BUNDLED, handle), deadlines or Deadlines(), Metrics("test"))  # type: ignore[arg-type]


@pytest.fixture(autouse=True)
def _no_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gateway, "_BACKOFF_S", 0.0)
    monkeypatch.setattr(gateway, "_CHECK_S", 0.01)


async def test_a_call_that_died_with_its_replica_is_made_again() -> None:
    handle = ScriptedHandle(ActorDiedError(), ActorDiedError(), [[]])
    assert await over(handle).find_faces([np.zeros((2, 2, 3), np.uint8)]) == [[]]
    assert handle.calls == 3


async def test_replicas_that_keep_dying_make_the_capability_unavailable() -> None:
    with pytest.raises(Unavailable):
        await over(ScriptedHandle(ActorDiedError())).find_faces([])


async def test_a_replica_is_told_whom_a_call_is_for() -> None:
    handle = ScriptedHandle([])
    with acting_for("ann"):
        await over(handle).find_faces([])
    assert handle.users == ["ann"]


async def test_a_replica_is_told_of_which_request_and_job_a_call_is_part() -> None:
    handle = ScriptedHandle([])
    with structlog.contextvars.bound_contextvars(request_id="r-1", job="job_1", kind="tags"):
        await over(handle).find_faces([])
    await over(handle).find_faces([])
    assert handle.contexts == [{"request_id": "r-1", "job": "job_1"}, {}]


async def test_calls_that_are_made_again_are_counted() -> None:
    gate = over(ScriptedHandle(ActorDiedError(), ActorDiedError(), [[]]))
    await gate.find_faces([np.zeros((2, 2, 3), np.uint8)])
    page = gate._metrics.render().decode()
    assert 'darkroom_test_capability_calls_repeated_total{verb="find_faces"} 2.0' in page
    assert 'darkroom_test_capability_calls_total{outcome="ok",verb="find_faces"} 1.0' in page


async def test_a_check_does_not_wait_behind_the_calls_of_users() -> None:
    begun, end = asyncio.Semaphore(0), asyncio.Event()

    async def until_the_end() -> list[Any]:
        begun.release()
        await end.wait()
        return []

    busy = ScriptedHandle(until_the_end)
    handles = dict.fromkeys(BUNDLED, busy) | {"clustering": ScriptedHandle(None)}
    gate = Gateway(handles, Deadlines(), Metrics("test"))  # type: ignore[arg-type]
    calls = [asyncio.create_task(gate.find_faces([])) for _ in range(100)]
    for _ in range(gateway._AT_ONCE):
        await begun.acquire()
    await asyncio.wait_for(gate.check("clustering"), 20)
    assert busy.calls == gateway._AT_ONCE
    end.set()
    await asyncio.gather(*calls)


async def test_a_full_queue_is_overloaded() -> None:
    with pytest.raises(Overloaded):
        await over(ScriptedHandle(BackPressureError(num_queued_requests=9, max_queued_requests=9))).find_faces([])


async def test_a_deployment_that_failed_to_start_is_unavailable() -> None:
    with pytest.raises(Unavailable):
        await over(ScriptedHandle(DeploymentUnavailableError("x"))).find_faces([])


def late() -> ScriptedHandle:
    """A replica that works on for ever, and answers checks meanwhile."""
    return ScriptedHandle(asyncio.Event().wait, checked=ScriptedHandle(None))


async def test_a_call_that_takes_too_long_ends_at_the_deadline() -> None:
    handle = late()
    with pytest.raises(DeadlineExceeded, match="find_faces"):
        await over(handle, Deadlines(faces_s=0.01)).find_faces([])
    assert handle.cancelled == 1


async def test_a_call_that_nobody_answers_tells_of_an_outage_at_the_deadline() -> None:
    for checked in (ScriptedHandle(asyncio.Event().wait), ScriptedHandle(DeploymentUnavailableError("x"))):
        handle = ScriptedHandle(asyncio.Event().wait, checked=checked)
        with pytest.raises(Unavailable, match="find_faces: no replica answers"):
            await over(handle, Deadlines(faces_s=0.01)).find_faces([])


async def test_a_call_that_never_got_its_turn_was_not_tried(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gateway, "_AT_ONCE", 1)
    gate = over(late(), Deadlines(faces_s=0.05, embed_s=30))
    busy = asyncio.create_task(gate.embed_images(np.zeros((1, 2, 2, 3), np.uint8)))
    await asyncio.sleep(0)
    with pytest.raises(Overloaded, match="find_faces"):
        await gate.find_faces([])
    busy.cancel()
    with pytest.raises(asyncio.CancelledError):
        await busy


async def test_a_call_that_is_not_wanted_any_more_is_cancelled_at_the_replica() -> None:
    begun = asyncio.Event()

    async def silence() -> None:
        begun.set()
        await asyncio.Event().wait()

    handle = ScriptedHandle(silence)
    call = asyncio.create_task(over(handle).find_faces([]))
    await begun.wait()
    call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await call
    assert handle.cancelled == 1


async def test_errors_of_our_own_pass_through_unchanged() -> None:
    wrapped = RayTaskError("find_faces", "traceback", NotSupported("no")).as_instanceof_cause()
    with pytest.raises(NotSupported) as raised:
        await over(ScriptedHandle(wrapped)).find_faces([])
    assert raised.value.status == 422


async def test_a_bug_in_a_replica_does_not_reach_the_client() -> None:
    wrapped = RayTaskError("find_faces", "secret path in a traceback", ValueError("x")).as_instanceof_cause()
    with pytest.raises(Unavailable) as raised:
        await over(ScriptedHandle(wrapped)).find_faces([])
    assert "secret" not in raised.value.message


async def test_a_bug_in_a_replica_is_told_from_a_replica_that_is_away() -> None:
    wrapped = RayTaskError("find_faces", "traceback", ValueError("x")).as_instanceof_cause()
    with pytest.raises(CapabilityFailed):
        await over(ScriptedHandle(wrapped)).find_faces([])
    with pytest.raises(Unavailable) as raised:
        await over(ScriptedHandle(ActorDiedError())).find_faces([])
    assert not isinstance(raised.value, CapabilityFailed)


class Stream:
    """A streaming call that gives its events, raises them, or waits for ever on None."""

    def __init__(self, events: list[Any]) -> None:
        self._events = iter(events)
        self.is_cancelled = False

    async def __anext__(self) -> Any:
        event = next(self._events, StopAsyncIteration())
        if event is None:
            await asyncio.Event().wait()
        if isinstance(event, BaseException):
            raise event
        return event

    def cancel(self) -> None:
        self.is_cancelled = True


class StreamingHandle:
    """Each call is the next of its streams."""

    def __init__(self, *streams: list[Any]) -> None:
        self.streams = [Stream(events) for events in streams]
        self.options_given: list[dict[str, Any]] = []
        self.calls = 0
        self.generate = self

    def options(self, **options: Any) -> StreamingHandle:
        self.options_given.append(options)
        return self

    def remote(self, *_: Any, **__: Any) -> Stream:
        self.calls += 1
        return self.streams[self.calls - 1]


def generating(handle: Any, deadlines: Deadlines | None = None) -> Gateway:
    handles = {**dict.fromkeys(BUNDLED, ScriptedHandle()), "diffusion": handle}  # type: ignore[arg-type]
    return Gateway(handles, deadlines or Deadlines(), Metrics("test"))


async def events_of(gateway: Gateway, checkpoint: str = "") -> list[Any]:
    return [event async for event in gateway.generate(GenerationRequest("cat", checkpoint=checkpoint))]


async def test_events_of_a_generation_pass_through_as_they_come() -> None:
    handle = StreamingHandle([1, 2, "picture"])
    assert await events_of(generating(handle), "dreamy") == [1, 2, "picture"]
    assert handle.options_given == [{"stream": True, "multiplexed_model_id": "dreamy"}]


async def test_closing_the_iterator_cancels_the_call() -> None:
    handle = StreamingHandle([1, None])
    stream: AsyncIterator[Any] = generating(handle).generate(GenerationRequest("cat"))
    async with aclosing(stream) as events:  # type: ignore[type-var]
        assert await anext(events) == 1
    assert handle.streams[0].is_cancelled


async def test_a_generation_whose_replica_died_before_its_first_step_is_made_again() -> None:
    handle = StreamingHandle([ActorDiedError()], [1, "picture"])
    assert await events_of(generating(handle)) == [1, "picture"]


async def test_a_generation_whose_replica_died_half_way_is_not() -> None:
    handle = StreamingHandle([1, ActorDiedError()], [1, "picture"])
    with pytest.raises(Unavailable):
        await events_of(generating(handle))
    assert handle.calls == 1


async def test_a_silent_generation_ends_at_the_deadline_and_is_cancelled() -> None:
    handle = StreamingHandle([1, None])
    with pytest.raises(DeadlineExceeded, match="generate"):
        await events_of(generating(handle, Deadlines(generate_s=0.01)))
    assert handle.streams[0].is_cancelled


async def test_a_full_queue_of_generations_is_overload() -> None:
    with pytest.raises(Overloaded):
        await events_of(generating(StreamingHandle([BackPressureError(num_queued_requests=9, max_queued_requests=9)])))


async def test_handles_of_checkpoints_are_kept_but_not_without_bound() -> None:
    names = [f"checkpoint {number}" for number in range(100)]
    handle = StreamingHandle(*[["picture"]] * 102)
    gateway = generating(handle)
    for name in (*names, names[-1], names[0]):
        await events_of(gateway, name)
    assert len(handle.options_given) == 101


async def test_the_error_without_the_diffusion_engine_says_how_to_deploy_it() -> None:
    with pytest.raises(Unavailable, match="--diffusion"):
        await events_of(over(ScriptedHandle()))
    with pytest.raises(Unavailable, match="--diffusion"):
        await over(ScriptedHandle()).make_hint("canny", np.zeros((8, 8, 3), np.uint8), HintOptions())


async def test_styles_and_prompts_have_their_own_deadlines() -> None:
    image = np.zeros((2, 2, 3), np.uint8)
    silent = over(late(), Deadlines(style_s=0.01, prompt_s=0.01))
    with pytest.raises(DeadlineExceeded, match="stylize"):
        await silent.stylize("opencv", StyleTask(image, "ink", "x"))
    with pytest.raises(DeadlineExceeded, match="write_prompt"):
        await silent.write_prompt(image, "ink")


async def test_segmentation_and_avatars_have_their_own_deadlines() -> None:
    image, segmentation = sample_portrait()
    silent = over(late(), Deadlines(segment_s=0.01, avatar_s=0.01))
    with pytest.raises(DeadlineExceeded, match="segment_portrait"):
        await silent.segment_portrait("local", image)
    with pytest.raises(DeadlineExceeded, match="make_avatar"):
        await silent.make_avatar("local", AvatarTask(image, "fox", "overlay", segmentation))


async def test_a_replica_of_avatars_that_was_lost_is_asked_again_and_its_errors_pass_through() -> None:
    image, segmentation = sample_portrait()
    refused = RayTaskError("make_avatar", "traceback", NoFace("None.")).as_instanceof_cause()
    handle = ScriptedHandle(ActorDiedError(), refused)
    with pytest.raises(NoFace):
        await over(handle).make_avatar("local", AvatarTask(image, "fox", "overlay", segmentation))
    assert handle.calls == 2


async def test_a_refusal_that_a_replica_returns_is_raised_here() -> None:
    handle = ScriptedHandle(Refusal(NotSupported("no such word")))
    with pytest.raises(NotSupported, match="no such word"):
        await over(handle).search_images("zyzzyva", np.zeros((1, 7, 8), np.float32))
