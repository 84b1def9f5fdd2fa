"""Requests that come while others are drawn: they run beside them, each at its own step, and come out as if alone."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("diffusers")

import diffusers
import torch

from deployments.algorithms.a1111.samplers import SAMPLERS
from deployments.contracts.diffusion import GeneratedPicture, GenerationRequest, Hires, Lora, Reference
from deployments.engines.diffusion.engine import DiffusionEngine
from deployments.errors import Overloaded
from tests.support.diffusing import CONTROL, INIT, Listening, a_mask, a_request, an_engine, difference, make
from tests.support.tiny_diffusion import LORA

LONG = "cat, " * 60


class Following(Listening):
    """Listener with requests that come after so many steps of the first one."""

    def __init__(self, *late: tuple[int, GenerationRequest]) -> None:
        super().__init__()
        self._late = list(late)

    def follow(self) -> Sequence[GenerationRequest]:
        due = [request for after, request in self._late if len(self.of(0)) >= after]
        self._late = [(after, request) for after, request in self._late if request not in due]
        return due


@pytest.fixture(scope="module")
def engine(tiny_models: Path) -> DiffusionEngine:
    return an_engine(tiny_models)


def rows_of(engine: DiffusionEngine, *requests: GenerationRequest, listening: Listening) -> tuple[list[Any], list[int]]:
    """Run requests. -> outcomes, and the number of rows of each call of the UNet"""
    rows: list[int] = []
    with engine.models.cache.lease() as lease:
        unet = engine.models.checkpoint(lease, "").unet
    hook = unet.register_forward_pre_hook(lambda _, args: rows.append(len(args[0])))
    try:
        return engine.run(list(requests), listening), rows
    finally:
        hook.remove()


def assert_as_alone(engine: DiffusionEngine, requests: Sequence[GenerationRequest], outcomes: Sequence[Any]) -> None:
    assert len(outcomes) == len(requests)
    for request, outcome in zip(requests, outcomes, strict=True):
        assert isinstance(outcome, GeneratedPicture), outcome
        assert difference(outcome.image, make(engine, request)[0].image) <= 1


@pytest.mark.parametrize("sampler", [one.name for one in SAMPLERS if not one.is_adaptive])
def test_a_request_that_follows_shares_calls_whatever_the_sampler(engine: DiffusionEngine, sampler: str) -> None:
    own, late = a_request(sampler=sampler, steps=5), a_request(sampler=sampler, steps=5, seed=8, prompt="dog")
    outcomes, rows = rows_of(engine, own, listening=Following((2, late)))
    assert 4 in rows
    assert rows[0] == rows[-1] == 2
    assert_as_alone(engine, (own, late), outcomes)


@pytest.mark.parametrize(
    "shape",
    [
        {"controls": (CONTROL, replace(CONTROL, mode="control"))},
        {"controls": (replace(CONTROL, end=0.4),)},
        {"init_image": INIT, "denoising_strength": 0.9},
        {"init_image": INIT, "mask": a_mask(), "masked_content": "noise", "denoising_strength": 0.9},
        {"loras": (Lora(LORA, 0.7, 0.7),)},
        {"hires": Hires(96, 96, 3, 0.7)},
        {"prompt": "[cat:dog:0.5] AND red:0.4"},
        {"guidance_scale": 1.0},
        {"tiling": True},
        {"references": (Reference(INIT),)},
    ],
    ids=lambda shape: "-".join(shape),
)
def test_a_request_that_follows_is_made_as_it_would_be_alone(engine: DiffusionEngine, shape: dict[str, Any]) -> None:
    own, second, third = (a_request(sampler="Euler a", steps=5, seed=seed, **shape) for seed in (7, 8, 9))
    outcomes, _ = rows_of(engine, own, listening=Following((1, second), (3, third)))
    assert_as_alone(engine, (own, second, third), outcomes)


def test_a_request_of_another_length_follows_too(engine: DiffusionEngine) -> None:
    own, long = a_request(steps=5), a_request(steps=5, prompt=LONG, seed=8)
    outcomes, rows = rows_of(engine, own, listening=Following((2, long)))
    assert 3 in rows  # its negative prompt, which is short, beside both halves of the first one
    assert_as_alone(engine, (own, long), outcomes)


def test_the_first_request_has_its_picture_before_those_that_follow_are_done(engine: DiffusionEngine) -> None:
    listening = Following((2, a_request(seed=8)))
    engine.run([a_request()], listening)
    assert [place for place, _ in listening.finished] == [0, 1]
    steps_before = [place for place, _ in listening.steps]
    assert steps_before.index(1) < len(steps_before) - 1 - steps_before[::-1].index(0)  # side by side for a while


def test_a_request_that_follows_and_is_refused_is_no_error_of_the_others(engine: DiffusionEngine) -> None:
    own, good = a_request(), a_request(seed=8)
    listening = Following((1, a_request(prompt="cat, " * 3_900)), (1, good))
    first, refused, last = engine.run([own], listening)
    assert not isinstance(refused, GeneratedPicture)
    assert_as_alone(engine, (own, good), (first, last))


def test_memory_that_is_out_while_one_follows_ends_those_that_run_and_the_next_batch_works(
    tiny_models: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = an_engine(tiny_models)
    real = diffusers.UNet2DConditionModel.forward

    def forward(self: Any, sample: Any, *arguments: Any, **options: Any) -> Any:
        if len(sample) > 2:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return real(self, sample, *arguments, **options)

    with monkeypatch.context() as patched:
        patched.setattr("diffusers.UNet2DConditionModel.forward", forward)
        outcomes = engine.run([a_request()], Following((2, a_request(seed=8))))
    assert len(outcomes) == 2
    assert all(isinstance(outcome, Overloaded) for outcome in outcomes)
    assert isinstance(engine.run([a_request()], Listening())[0], GeneratedPicture)


def test_nobody_follows_while_requests_of_another_length_wait(engine: DiffusionEngine) -> None:
    listening = Following((1, a_request(seed=9)))
    outcomes = engine.run([a_request(), a_request(prompt=LONG, seed=8)], listening)
    assert all(isinstance(outcome, GeneratedPicture) for outcome in outcomes)
    assert [place for place, _ in listening.finished] == [0, 1, 2]
    at = [place for place, _ in listening.steps]
    assert at.index(2) > at.index(1) > len(at) - 1 - at[::-1].index(0)
