"""Looks at pictures in progress: what is seen, what it costs, and what is left of it."""

from __future__ import annotations

import asyncio
import itertools
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import aclosing, contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("diffusers")

import torch

from configs.settings import Diffusion, Settings
from deployments.contracts.diffusion import GeneratedPicture, GenerationStep, Hires
from deployments.engines.diffusion.batched import BatchedDiffuser
from deployments.engines.diffusion.device import Device
from deployments.engines.diffusion.engine import DiffusionEngine
from deployments.engines.diffusion.preprocessors import Preprocessors
from deployments.errors import Overloaded
from tests.support.diffusing import Listening, Looking, a_request, no_faces
from tests.support.tiny_diffusion import CHECKPOINT


@pytest.fixture
async def diffuser(tiny_models: Path) -> AsyncIterator[BatchedDiffuser]:
    made = BatchedDiffuser(
        Settings(
            diffusion={"models_dir": tiny_models, "checkpoint": CHECKPOINT, "offline": True},
            runtime={"threads": 1},
        )
    )
    yield made
    await made.close()


@contextmanager
def held_in_a_step(diffuser: BatchedDiffuser, step: int) -> Iterator[threading.Event]:
    """Hold the engine's thread in the call of a step until the block ends. -> the event that it is there"""
    calls, there, go = iter(range(1, 1000)), threading.Event(), threading.Event()

    def hold(*_: Any) -> None:
        if next(calls) == step:
            there.set()
            go.wait(60)

    with diffuser.engine.models.cache.lease() as lease:
        unet = diffuser.engine.models.checkpoint(lease, "").unet
    hook = unet.register_forward_pre_hook(hold)
    try:
        yield there
    finally:
        hook.remove()
        go.set()


def test_a_look_shows_the_newest_step(engine: DiffusionEngine) -> None:
    looking = Looking(engine)
    engine.run([a_request(hires=Hires(96, 96, 3, 0.7))], looking)
    assert [(seen.step, seen.steps) for seen in looking.seen] == [(step, 7) for step in range(1, 8)]
    assert [seen.latents.shape for seen in looking.seen] == [(4, 8, 8)] * 4 + [(4, 12, 12)] * 3
    assert {seen.latents.dtype for seen in looking.seen} == {np.dtype(np.float16)}
    for one, following in zip(looking.seen[:3], looking.seen[1:4], strict=True):
        assert np.any(one.latents != following.latents)


def test_each_picture_of_a_batch_is_seen_as_if_it_were_alone(engine: DiffusionEngine) -> None:
    requests = [a_request(seed=seed) for seed in (1, 2, 3)]
    looking = Looking(engine)
    engine.run(requests, looking)
    for place, request in enumerate(requests):
        alone = Looking(engine)
        engine.run([request], alone)
        for one, other in zip(looking.seen[place::3], alone.seen, strict=True):
            np.testing.assert_allclose(one.latents, other.latents, atol=0.02)


def test_what_was_seen_stays_as_it_was(engine: DiffusionEngine) -> None:
    class Comparing(Looking):
        def report(self, place: int, step: GenerationStep) -> None:
            super().report(place, step)
            then.append(self.seen[-1].latents.copy())

    then: list[Any] = []
    comparing = Comparing(engine)
    engine.run([a_request(sampler="DPM++ 2M")], comparing)
    for seen, copy in zip(comparing.seen, then, strict=True):
        np.testing.assert_array_equal(seen.latents, copy)


def test_every_run_of_a_request_has_a_ticket_of_its_own(engine: DiffusionEngine) -> None:
    tickets = []
    for _ in range(2):
        listening = Listening()
        engine.run([a_request(steps=2), a_request(steps=2)], listening)
        tickets += [{step.ticket for step in listening.of(place)} for place in (0, 1)]
    assert [len(own) for own in tickets] == [1] * 4
    assert len(set.union(*tickets)) == 4


def test_a_finished_run_leaves_nothing(engine: DiffusionEngine) -> None:
    class Ending(Looking):
        def finish(self, place: int, outcome: object) -> None:
            left.append(len(engine.running))

    left: list[int] = []
    listening = Ending(engine)
    engine.run([a_request(), a_request(seed=8), a_request(prompt="cat, " * 60)], listening)
    assert left == [0, 0, 0]  # before whoever waits for the picture has it
    assert len(engine.running) == 0


def test_a_picture_that_nobody_wants_any_more_is_forgotten_while_the_others_are_made(engine: DiffusionEngine) -> None:
    class Counting(Listening):
        def report(self, place: int, step: GenerationStep) -> None:
            super().report(place, step)
            if place == 1:
                kept.append(len(engine.running))

    kept: list[int] = []
    engine.run([a_request(), a_request(seed=8)], Counting(leaves={0: 2}))
    assert kept == [2, 2, 1, 1]
    assert len(engine.running) == 0


def test_a_batch_that_all_have_left_leaves_nothing(engine: DiffusionEngine) -> None:
    engine.run([a_request(steps=20), a_request(steps=20, seed=1)], Listening(leaves={0: 2, 1: 2}))
    assert len(engine.running) == 0


@contextmanager
def failing_in_its_third_call(engine: DiffusionEngine, error: Exception) -> Iterator[list[int]]:
    """Let the network fail. -> number of rows that are kept before each call"""

    def fail(*_: Any) -> None:
        kept.append(len(engine.running))
        if len(kept) == 3:
            raise error

    kept: list[int] = []
    with engine.models.cache.lease() as lease:
        unet = engine.models.checkpoint(lease, "").unet
    hook = unet.register_forward_pre_hook(fail)
    try:
        yield kept
    finally:
        hook.remove()


def test_a_batch_that_is_refused_leaves_nothing(engine: DiffusionEngine) -> None:
    with failing_in_its_third_call(engine, torch.OutOfMemoryError("CUDA out of memory")) as kept:
        (refused,) = engine.run([a_request()], Listening())
    assert isinstance(refused, Overloaded)
    assert kept == [0, 1, 1]
    assert len(engine.running) == 0


def test_a_batch_that_breaks_leaves_nothing(engine: DiffusionEngine) -> None:
    with failing_in_its_third_call(engine, RuntimeError("lost")) as kept, pytest.raises(RuntimeError, match="lost"):
        engine.run([a_request()], Listening())
    assert kept == [0, 1, 1]
    assert len(engine.running) == 0


def test_the_host_is_a_step_ahead_of_the_device_and_no_more(tiny_models: Path) -> None:
    class Mark:
        """What a step's event would be on a GPU."""

        def __init__(self, number: int) -> None:
            self._number = number

        def synchronize(self) -> None:
            happened.append(("awaited", self._number))

    class Marking(Device):
        def mark(self) -> Any:
            return Mark(next(numbers))

    class Told(Listening):
        def report(self, place: int, step: GenerationStep) -> None:
            super().report(place, step)
            happened.append(("told", step.step))

    numbers, happened = itertools.count(1), list[tuple[str, int]]()
    settings = Diffusion(checkpoint=CHECKPOINT, models_dir=tiny_models, offline=True)
    hints = Preprocessors(tiny_models / "annotators", lambda: no_faces)
    engine = DiffusionEngine(settings, tiny_models, hints, Marking("cpu", torch.float32))
    engine.run([a_request(steps=3)], Told())
    engine.close()
    assert happened == [("told", 1), ("awaited", 1), ("told", 2), ("awaited", 2), ("told", 3)]


async def test_a_look_does_not_wait_for_the_step_that_is_being_made(diffuser: BatchedDiffuser) -> None:
    with held_in_a_step(diffuser, 3) as there:
        async with aclosing(diffuser.generate(a_request())) as events:
            steps = [await anext(events) for _ in range(2)]
            assert await asyncio.to_thread(there.wait, 60)
            last = steps[-1]
            assert isinstance(last, GenerationStep)
            found = await asyncio.wait_for(diffuser.peek([last.ticket, "nobody's"]), 20)
    assert list(found) == [last.ticket]
    assert (found[last.ticket].step, found[last.ticket].steps) == (2, 4)


async def test_a_look_does_not_wait_for_what_is_done_beside_the_batch(diffuser: BatchedDiffuser) -> None:
    begun, go = threading.Event(), threading.Event()

    def draw() -> None:
        begun.set()
        go.wait(60)

    hints = [asyncio.create_task(diffuser._threads.run(draw)) for _ in range(8)]
    try:
        assert await asyncio.to_thread(begun.wait, 60)
        assert await asyncio.wait_for(diffuser.peek(["nobody's"]), 20) == {}
        assert not any(hint.done() for hint in hints)
    finally:
        go.set()
        await asyncio.gather(*hints)


async def test_a_finished_picture_is_not_to_be_seen_any_more(diffuser: BatchedDiffuser) -> None:
    *steps, picture = [event async for event in diffuser.generate(a_request())]
    assert isinstance(picture, GeneratedPicture)
    assert isinstance(steps[-1], GenerationStep)
    assert await diffuser.peek([steps[-1].ticket]) == {}
