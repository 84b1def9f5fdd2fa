"""Prompt conditioning through SDXL's two text encoders (small, seeded), against diffusers' own encoding."""

from __future__ import annotations

from typing import Any

import pytest

pytest.importorskip("diffusers")

import torch

from deployments.engines.diffusion.conditioning import Conditioner
from tests.support.tiny_sdxl import CLIP_WIDTH, OPEN_CLIP_WIDTH, build_pipeline

PROMPT, NEGATIVE = "a photo of the cat, best quality", "worst quality, blurry"


@pytest.fixture(scope="module")
def pipeline() -> Any:
    return build_pipeline()


@pytest.fixture
def conditioner(pipeline: Any) -> Conditioner:
    second = (pipeline.tokenizer_2, pipeline.text_encoder_2)
    return Conditioner(pipeline.tokenizer, pipeline.text_encoder, second=second)


@pytest.mark.parametrize("prompt", ["", PROMPT, " ".join(["dog"] * 75), "Füße ☃ 猫"])
def test_a_plain_prompt_is_encoded_exactly_as_diffusers_does(
    conditioner: Conditioner, pipeline: Any, prompt: str
) -> None:
    theirs = pipeline.encode_prompt(prompt, device="cpu", negative_prompt=NEGATIVE)
    told = conditioner.encode(prompt, NEGATIVE, 20, clip_skip=2).at(0)
    ours = (told.positive, told.negative, told.conditions[0].pooled, told.negative_pooled)
    for own, other in zip(ours, theirs, strict=True):
        assert own is not None
        assert torch.equal(own, other)


def test_an_empty_negative_prompt_is_zeros_but_not_an_empty_end_of_a_schedule(conditioner: Conditioner) -> None:
    told = conditioner.encode(PROMPT, "", 20).at(0)
    assert told.negative_pooled is not None
    assert not told.negative.any()
    assert not told.negative_pooled.any()
    later = conditioner.encode(PROMPT, "[blurry::0.5]", 20).at(15)
    assert torch.equal(later.negative, conditioner.encode("", NEGATIVE, 20).at(0).positive)
    assert conditioner.encode("", NEGATIVE, 20).at(0).positive.any()


def test_weights_keep_the_mean_of_each_text_encoder_and_leave_the_pooled_prompt_alone(conditioner: Conditioner) -> None:
    plain = conditioner.encode("a photo of the cat", NEGATIVE, 20).at(0).conditions[0]
    weighted = conditioner.encode("a photo of the (cat:1.5)", NEGATIVE, 20).at(0).conditions[0]
    parts = []
    for own in plain.embeddings.split([CLIP_WIDTH, OPEN_CLIP_WIDTH], dim=-1):
        expected = own.clone()
        expected[0, 5] *= 1.5
        parts.append(expected * own.mean() / expected.mean())
    torch.testing.assert_close(weighted.embeddings, torch.cat(parts, dim=-1), rtol=1e-4, atol=1e-5)
    assert plain.pooled is not None
    assert weighted.pooled is not None
    assert torch.equal(weighted.pooled, plain.pooled)


def test_the_pooled_prompt_is_that_of_the_first_chunk(conditioner: Conditioner) -> None:
    first, both = (
        conditioner.encode(text, NEGATIVE, 20).at(0).conditions[0] for text in ("a cat", "a cat BREAK a dog")
    )
    assert both.embeddings.shape == (1, 2 * 77, CLIP_WIDTH + OPEN_CLIP_WIDTH)
    assert first.pooled is not None
    assert both.pooled is not None
    assert torch.equal(first.pooled, both.pooled)


def test_the_second_text_encoder_pads_with_its_own_token(conditioner: Conditioner, pipeline: Any) -> None:
    seen: dict[int, Any] = {}
    hooks = [
        network.register_forward_pre_hook(lambda _, args, place=place: seen.setdefault(place, args[0]))
        for place, network in enumerate((pipeline.text_encoder, pipeline.text_encoder_2))
    ]
    try:
        conditioner.encode("cat", NEGATIVE, 20)
    finally:
        for hook in hooks:
            hook.remove()
    assert seen[0][0, 2:].tolist() == [49407] * 75
    assert seen[1][0, 2:].tolist() == [49407] + [0] * 74


def test_and_has_a_pooled_prompt_for_each_part(conditioner: Conditioner) -> None:
    cat, dog = conditioner.encode("a cat AND a dog:0.5", NEGATIVE, 20).at(0).conditions
    assert cat.pooled is not None
    assert dog.pooled is not None
    assert not torch.equal(cat.pooled, dog.pooled)
