"""Batches: a request alone and in company, those that join, are cancelled, or are refused."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

pytest.importorskip("diffusers")

import diffusers
import torch

from deployments.contracts.diffusion import (
    GeneratedPicture,
    GenerationRequest,
    GenerationStep,
    Hires,
    Lora,
)
from deployments.engines.diffusion.engine import DiffusionEngine
from deployments.errors import InvalidRequest, Overloaded
from tests.support.diffusing import (
    CONTROL,
    INIT,
    SIZE,
    Listening,
    Looking,
    a_mask,
    a_request,
    difference,
    make,
    make_one,
)
from tests.support.tiny_diffusion import LORA, OTHER_CHECKPOINT


@pytest.mark.parametrize(
    "shape",
    [
        {},
        {"sampler": "Euler a"},
        {"sampler": "DPM++ 2M SDE"},
        {"sampler": "DDIM", "eta": 1.0},
        {"controls": (CONTROL, replace(CONTROL, mode="control"))},
        {"init_image": INIT, "sampler": "Euler a"},
        {"init_image": INIT, "mask": a_mask(), "masked_content": "noise"},
        {"loras": (Lora(LORA, 0.7, 0.7),)},
        {"hires": Hires(96, 96, 2, 0.6), "sampler": "Euler a"},
        {"prompt": "[cat:dog:0.5] AND red:0.4"},
    ],
    ids=lambda shape: "-".join(shape) or "text",
)
def test_a_request_in_a_batch_is_the_same_request_alone(engine: DiffusionEngine, shape: dict[str, Any]) -> None:
    own = a_request(**shape)
    others = [replace(own, seed=1, prompt="dog"), replace(own, seed=2, negative_prompt="", prompt="red (house:1.4)")]
    batch = make(engine, others[0], own, others[1])
    assert len({engine.key(request) for request in (own, *others)}) == 1
    assert difference(batch[1].image, make(engine, own)[0].image) <= 1
    assert difference(batch[0].image, batch[1].image) > 3


def test_a_long_prompt_beside_a_short_one_changes_neither(engine: DiffusionEngine) -> None:
    short, long = a_request(), a_request(prompt="cat, " * 60)
    together = make(engine, short, long)
    for picture, request in zip(together, (short, long), strict=True):
        assert difference(picture.image, make(engine, request)[0].image) <= 1


@pytest.mark.parametrize(
    "change",
    [
        {"steps": 5},
        {"width": 128},
        {"sampler": "Heun"},
        {"guidance_scale": 3.0},
        {"loras": (Lora(LORA),)},
        {"controls": (CONTROL,)},
        {"init_image": INIT},
        {"checkpoint": OTHER_CHECKPOINT},
        {"tiling": True},
        {"hires": Hires(96, 96, 2, 0.6)},
    ],
    ids=lambda change: "-".join(change),
)
def test_requests_of_another_shape_do_not_share_a_batch(engine: DiffusionEngine, change: dict[str, Any]) -> None:
    assert engine.key(a_request()) != engine.key(a_request(**change))


@pytest.mark.parametrize(
    ("shape", "calls"),
    [
        ({}, 4),
        ({"sampler": "Heun"}, 7),
        ({"init_image": INIT, "denoising_strength": 0.5}, 3),
        ({"init_image": INIT, "denoising_strength": 0.5, "exact_steps": True}, 4),
        ({"init_image": INIT, "denoising_strength": 0.0}, 1),
        ({"init_image": INIT, "denoising_strength": 1.0}, 4),
        ({"hires": Hires(96, 96, 3, 0.4)}, 7),
        ({"hires": Hires(96, 96, 3, 0.0)}, 4),
    ],
    ids=str,
)
def test_every_call_of_the_denoiser_is_reported(engine: DiffusionEngine, shape: dict[str, Any], calls: int) -> None:
    listening = Listening()
    engine.run([a_request(**shape), a_request(**shape, seed=3)], listening)
    for place in (0, 1):
        assert [step.step for step in listening.of(place)] == list(range(1, calls + 1))
        assert {step.steps for step in listening.of(place)} == {calls}


def test_the_latents_of_the_last_step_are_those_of_the_picture(engine: DiffusionEngine) -> None:
    looking = Looking(engine)
    (picture,) = engine.run([a_request()], looking)
    last = looking.seen[-1].latents
    assert last.dtype == np.float16
    assert last.shape == (4, 8, 8)
    assert difference(engine.decode_latents(last), picture.image) <= 2  # type: ignore[union-attr]


def test_a_preview_shows_the_predicted_x0(engine: DiffusionEngine) -> None:
    looking = Looking(engine)
    (picture,) = engine.run([a_request(steps=8)], looking)
    previews = [engine.decode_latents(seen.latents).astype(float) for seen in looking.seen]
    errors = [np.abs(preview - picture.image).mean() for preview in previews]  # type: ignore[union-attr]
    assert errors[4] < 25
    assert errors[-1] < 2


def test_the_pipeline_stops_within_a_step_when_all_requests_are_cancelled(engine: DiffusionEngine) -> None:
    listening = Listening(leaves={0: 2, 1: 2})
    engine.run([a_request(steps=20), a_request(steps=20, seed=1)], listening)
    assert [len(listening.of(place)) for place in (0, 1)] == [2, 2]


def test_requests_get_their_pictures_when_others_of_the_batch_are_cancelled(engine: DiffusionEngine) -> None:
    stays = a_request(seed=1)
    outcomes = engine.run([a_request(), stays], Listening(leaves={0: 1}))
    assert isinstance(outcomes[0], Exception)
    assert difference(outcomes[1].image, make(engine, stays)[0].image) <= 1  # type: ignore[union-attr]


def test_a_pass_of_cancelled_requests_is_not_begun(engine: DiffusionEngine) -> None:
    listening = Listening(leaves={0: 4})
    engine.run([a_request(hires=Hires(96, 96, 3, 0.5))], listening)
    assert len(listening.of(0)) == 4


def test_prompts_are_encoded_once_by_the_same_weights(fresh: DiffusionEngine) -> None:
    with fresh.models.cache.lease() as lease:
        encoder = fresh.models.checkpoint(lease, "").text_encoder
    asked: list[int] = []
    hook = encoder.register_forward_pre_hook(lambda _, args: asked.append(len(args[0])))
    counts = []
    try:
        for changes in ({}, {"seed": 8}, {"prompt": "dog"}, {"clip_skip": 2}, {"loras": (Lora(LORA),)}, {}):
            make_one(fresh, **changes)
            counts.append(len(asked))
            asked.clear()
    finally:
        hook.remove()
    assert counts == [2, 0, 1, 2, 2, 2]


class Company(Listening):
    """Listener with requests that come while the batch makes ready, one after the other."""

    def __init__(self, *company: GenerationRequest) -> None:
        super().__init__()
        self._company = list(company)

    def join(self, *, wait: bool = False) -> list[GenerationRequest]:
        return [self._company.pop(0)] if self._company else []


def test_requests_that_join_a_batch_are_made_as_they_would_be_alone(engine: DiffusionEngine) -> None:
    own, *others = (a_request(seed=seed, sampler="Euler a") for seed in (7, 8, 9))
    refused = a_request(prompt="cat, " * 3_900)
    outcomes = engine.run([own], Company(others[0], refused, others[1]))
    assert isinstance(outcomes[2], InvalidRequest)
    for request, outcome in zip((own, others[0], others[1]), (outcomes[0], outcomes[1], outcomes[3]), strict=True):
        assert isinstance(outcome, GeneratedPicture)
        assert difference(outcome.image, make(engine, request)[0].image) <= 1


class Late(Listening):
    """Listener with requests that come while the first pass is made ready, and one that is too late."""

    def __init__(self, *late: GenerationRequest) -> None:
        super().__init__()
        self._late = list(late)

    def join(self, *, wait: bool = False) -> list[GenerationRequest]:
        assert not self.steps
        return [self._late.pop(0)] if wait and self._late else []


def test_requests_join_until_the_first_call_and_those_of_other_lengths_follow(engine: DiffusionEngine) -> None:
    own, other, long = (
        a_request(init_image=INIT, controls=(CONTROL,), sampler="Euler a", **changes)
        for changes in ({}, {"seed": 8, "prompt": "dog"}, {"seed": 9, "prompt": "cat, " * 60})
    )
    rows: list[int] = []
    with engine.models.cache.lease() as lease:
        unet = engine.models.checkpoint(lease, "").unet
    hook = unet.register_forward_pre_hook(lambda _, args: rows.append(len(args[0])))
    try:
        outcomes = engine.run([own], Late(long, other))
    finally:
        hook.remove()
    calls = len(rows) // 3
    assert rows == [4] * calls + [1] * (2 * calls)
    for request, outcome in zip((own, long, other), outcomes, strict=True):
        assert difference(outcome.image, make(engine, request)[0].image) <= 1  # type: ignore[union-attr]


def test_a_request_has_its_picture_before_those_of_other_lengths_are_begun(engine: DiffusionEngine) -> None:
    class Ordered(Listening):
        def report(self, place: int, step: GenerationStep) -> None:
            super().report(place, step)
            ended[place] = [at for at, _ in self.finished]

    ended: dict[int, list[int]] = {}
    listening = Ordered()
    outcomes = engine.run([a_request(), a_request(prompt="cat, " * 60), a_request(seed=8)], listening)
    assert ended == {0: [], 2: [], 1: [0, 2]}
    assert [listening.finished.index((place, outcome)) for place, outcome in enumerate(outcomes)] == [0, 2, 1]


def test_memory_that_is_out_for_a_long_prompt_is_no_error_of_the_short_one_before_it(
    fresh: DiffusionEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = diffusers.UNet2DConditionModel.forward

    def forward(self: Any, *arguments: Any, **options: Any) -> Any:
        if options["encoder_hidden_states"].shape[1] > 77:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return real(self, *arguments, **options)

    monkeypatch.setattr("diffusers.UNet2DConditionModel.forward", forward)
    long = a_request(prompt="cat, " * 60)
    first, refused, last = fresh.run([a_request(), long, a_request(prompt="dog", seed=8)], Listening())
    assert isinstance(refused, Overloaded)
    assert isinstance(first, GeneratedPicture)
    assert isinstance(last, GeneratedPicture)


def test_a_request_that_is_refused_in_its_batch_is_refused_alone(engine: DiffusionEngine) -> None:
    refused, good = engine.run([a_request(prompt="cat, " * 3_900), a_request()], Listening())
    assert isinstance(refused, InvalidRequest)
    assert difference(good.image, make_one(engine)) <= 1  # type: ignore[union-attr]


def test_a_step_brings_nothing_to_the_host_where_nobody_looks(
    engine: DiffusionEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    copies: list[tuple[int, ...]] = []
    real = torch.Tensor.cpu

    def cpu(tensor: Any) -> Any:
        copies.append(tuple(tensor.shape))
        return real(tensor)

    monkeypatch.setattr(torch.Tensor, "cpu", cpu)

    def count(steps: int) -> int:
        copies.clear()
        make(engine, *(a_request(steps=steps, seed=seed, sampler="Euler a", controls=(CONTROL,)) for seed in (1, 2, 3)))
        return len(copies)

    assert count(9) == count(4)
    assert (3, 4, SIZE // 8, SIZE // 8) not in copies
