"""Prompt conditioning through a real CLIP text encoder (small, seeded), against diffusers' own encoding."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

pytest.importorskip("diffusers")

import torch

from deployments.engines.diffusion.conditioning import MAX_PARTS, Conditioner
from deployments.errors import InvalidRequest
from tests.support.tiny_diffusion import build_pipeline

PROMPT = "a photo of the cat, best quality"
NEGATIVE = "worst quality, blurry"


@pytest.fixture(scope="module")
def pipeline() -> Any:
    return build_pipeline()


@pytest.fixture
def conditioner(pipeline: Any) -> Conditioner:
    return Conditioner(pipeline.tokenizer, pipeline.text_encoder)


@pytest.mark.parametrize("prompt", ["", PROMPT, " ".join(["dog"] * 75), "Füße ☃ 猫"])
def test_a_plain_prompt_is_encoded_exactly_as_diffusers_does(
    conditioner: Conditioner, pipeline: Any, prompt: str
) -> None:
    theirs = pipeline.encode_prompt(prompt, "cpu", 1, True, NEGATIVE)
    told = conditioner.encode(prompt, NEGATIVE, 20).at(0)
    assert torch.equal(told.positive, theirs[0])
    assert torch.equal(told.negative, theirs[1])


@pytest.mark.parametrize("clip_skip", [2, 3, 12])
def test_clip_skip_is_one_more_than_diffusers_calls_it(
    conditioner: Conditioner, pipeline: Any, clip_skip: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    # diffusers 0.42 looks for the norm where transformers 5.6 no longer has it
    norm = SimpleNamespace(final_layer_norm=pipeline.text_encoder.final_layer_norm)
    monkeypatch.setattr(pipeline.text_encoder, "text_model", norm, raising=False)
    theirs, _ = pipeline.encode_prompt(PROMPT, "cpu", 1, False, clip_skip=clip_skip - 1)
    assert torch.equal(conditioner.encode(PROMPT, "", 20, clip_skip=clip_skip).at(0).positive, theirs)


def test_clip_skip_acts_on_both_prompts(conditioner: Conditioner) -> None:
    one, two = (conditioner.encode(PROMPT, NEGATIVE, 20, clip_skip=skip).at(0) for skip in (1, 2))
    assert not torch.allclose(one.positive, two.positive)
    assert not torch.allclose(one.negative, two.negative)


@pytest.mark.parametrize("clip_skip", [0, 13])
def test_a_layer_that_is_not_there_is_refused(conditioner: Conditioner, clip_skip: int) -> None:
    with pytest.raises(InvalidRequest, match="1 to 12"):
        conditioner.encode(PROMPT, "", 20, clip_skip=clip_skip)


def test_weights_of_one_change_nothing(conditioner: Conditioner) -> None:
    plain = conditioner.encode("a photo of the cat", "", 20).at(0)
    weighted = conditioner.encode("a (photo:1.0) of (the:1) cat", "", 20).at(0)
    assert torch.equal(weighted.positive, plain.positive)


def test_weights_scale_tokens_and_keep_the_mean_of_the_chunk(conditioner: Conditioner) -> None:
    plain = conditioner.encode("a photo of the cat", "", 20).at(0).positive
    weighted = conditioner.encode("a photo of the (cat:1.5)", "", 20).at(0).positive
    expected = plain.clone()
    expected[0, 5] *= 1.5
    expected *= plain.mean() / expected.mean()
    assert torch.allclose(weighted, expected, atol=1e-6)
    assert weighted.mean().item() == pytest.approx(plain.mean().item(), rel=1e-4)


@pytest.mark.parametrize("prompt", ["(cat:0)", "(cat:-1)", "(" * 500 + "cat", "[" * 500 + "cat", "(cat:1e9)"])
def test_extreme_weights_stay_finite(conditioner: Conditioner, prompt: str) -> None:
    assert torch.isfinite(conditioner.encode(prompt, "", 20).at(0).positive).all()


def test_break_encodes_each_side_in_a_chunk_of_its_own(conditioner: Conditioner) -> None:
    both = conditioner.encode("a cat BREAK a (dog:1.2)", "", 20)
    left, right = (conditioner.encode(text, "", 20).at(0).positive for text in ("a cat", "a (dog:1.2)"))
    assert both.lengths == (2, 1)
    assert torch.equal(both.at(0).positive, torch.cat([left, right], dim=1))


def test_prompts_keep_their_own_lengths(conditioner: Conditioner) -> None:
    long = conditioner.encode("cat BREAK cat BREAK cat", NEGATIVE, 20)
    assert long.lengths == (3, 1)
    assert long.at(0).positive.shape == (1, 3 * 77, 32)
    assert torch.equal(long.at(0).negative, conditioner.encode("", NEGATIVE, 20).at(0).negative)


@pytest.mark.parametrize(
    ("prompt", "negative"), [("cat BREAK cat BREAK cat", NEGATIVE), (NEGATIVE, "cat BREAK a BREAK b")]
)
def test_the_shorter_prompt_ends_in_empty_chunks_where_padding_is_asked_for(
    conditioner: Conditioner, pipeline: Any, prompt: str, negative: str
) -> None:
    padding = Conditioner(pipeline.tokenizer, pipeline.text_encoder, pad=True)
    empty = conditioner.encode("", "", 20).at(0).positive
    padded = padding.encode(prompt, negative, 20)
    own = conditioner.encode(prompt, negative, 20).at(0)
    assert padded.lengths == (3, 3)
    for found, exact in ((padded.at(0).positive, own.positive), (padded.at(0).negative, own.negative)):
        chunks = exact.shape[1] // 77
        assert torch.equal(found, torch.cat([exact, *[empty] * (3 - chunks)], dim=1))


def test_texts_of_one_schedule_are_as_long_as_the_longest(conditioner: Conditioner) -> None:
    changing = conditioner.encode("[cat:cat BREAK dog:5]", "", 20)
    cat, empty = (conditioner.encode(text, "", 20).at(0).positive for text in ("cat", ""))
    assert torch.equal(changing.at(0).positive, torch.cat([cat, empty], dim=1))


def test_a_short_part_of_and_ends_in_repetitions_of_its_last_vector(conditioner: Conditioner) -> None:
    told = conditioner.encode("a cat AND a dog BREAK a girl", "", 20).at(0)
    cat = conditioner.encode("a cat", "", 20).at(0).positive
    assert torch.equal(told.conditions[0].embeddings, torch.cat([cat, cat[:, -1:].expand(-1, 77, -1)], dim=1))


def test_weights_keep_the_mean_of_all_texts_of_a_schedule_together(conditioner: Conditioner) -> None:
    """Each as often as the schedule names it; the dog's weight changes the cat, too."""
    alternating = conditioner.encode("a [cat|(dog:1.5)|cat]", "", 3)
    cat, dog = (conditioner.encode(f"a {animal}", "", 3).at(0).positive for animal in ("cat", "dog"))
    weighted = dog.clone()
    weighted[0, 2] *= 1.5
    factor = (2 * cat.mean() + dog.mean()) / (2 * cat.mean() + weighted.mean())
    torch.testing.assert_close(alternating.at(0).positive, cat * factor)
    torch.testing.assert_close(alternating.at(2).positive, weighted * factor)


def test_parts_of_and_keep_their_own_means(conditioner: Conditioner) -> None:
    told = conditioner.encode("a cat AND a (dog:1.5)", "", 20).at(0)
    assert torch.equal(told.positive, conditioner.encode("a cat", "", 20).at(0).positive)


@pytest.mark.parametrize(
    ("emphasis", "same_as"), [("Ignore", "a photo of the cat"), ("None", r"a photo of the \(cat:1.5\)")]
)
def test_emphasis_can_be_ignored_or_read_as_text(
    pipeline: Any, conditioner: Conditioner, emphasis: Any, same_as: str
) -> None:
    other = Conditioner(pipeline.tokenizer, pipeline.text_encoder, emphasis=emphasis)
    found = other.encode("a photo of the (cat:1.5)", "", 20).at(0).positive
    assert torch.equal(found, conditioner.encode(same_as, "", 20).at(0).positive)


def test_break_is_a_word_where_brackets_are_text(pipeline: Any) -> None:
    assert Conditioner(pipeline.tokenizer, None, emphasis="None").count_chunks("a BREAK b", "", 20) == (1, 1)


def test_emphasis_without_a_norm_scales_tokens_and_nothing_else(pipeline: Any, conditioner: Conditioner) -> None:
    expected = conditioner.encode("a photo of the cat", "", 20).at(0).positive.clone()
    expected[0, 5] *= 1.5
    other = Conditioner(pipeline.tokenizer, pipeline.text_encoder, emphasis="No norm")
    assert torch.equal(other.encode("a photo of the (cat:1.5)", "", 20).at(0).positive, expected)


def test_a_long_prompt_is_split_behind_a_late_comma(conditioner: Conditioner) -> None:
    head, tail = " ".join(["cat"] * 60) + ",", " ".join(["dog"] * 30)
    split = conditioner.encode(f"{head} {tail}", "", 20).at(0).positive
    by_hand = conditioner.encode(f"{head} BREAK {tail}", "", 20).at(0).positive
    assert torch.equal(split, by_hand)


def test_a_schedule_says_when_the_prompt_changes(conditioner: Conditioner) -> None:
    changing = conditioner.encode("a [cat:dog:5]", "[blurry::0.5]", 20)
    cat, dog = (conditioner.encode(f"a {animal}", "blurry", 20).at(0) for animal in ("cat", "dog"))
    assert changing.changes == (6, 11)
    assert torch.equal(changing.at(5).positive, cat.positive)
    assert torch.equal(changing.at(6).positive, dog.positive)
    assert torch.equal(changing.at(10).negative, cat.negative)
    assert torch.equal(changing.at(11).negative, conditioner.encode("", "", 20).at(0).negative)
    assert changing.at(100) is changing.at(20)


def test_alternation_encodes_each_word_once(pipeline: Any) -> None:
    calls = []

    class Counting:
        config, device = pipeline.text_encoder.config, pipeline.text_encoder.device

        def __call__(self, ids: Any, **options: Any) -> Any:
            calls.append(ids)
            return pipeline.text_encoder(ids, **options)

    changing = Conditioner(pipeline.tokenizer, Counting()).encode("a [cat|dog|cat]", "", 20)
    assert len(calls) == 3, "cat, dog and the empty negative prompt"
    assert changing.at(2).positive is not changing.at(1).positive
    assert torch.equal(changing.at(4).positive, changing.at(1).positive)


def test_the_second_pass_has_its_own_part_of_a_schedule(conditioner: Conditioner) -> None:
    first = conditioner.encode("[cat:dog:1.5]", "", 20)
    second = conditioner.encode("[cat:dog:1.5]", "", 10, first_pass_steps=20)
    assert first.changes == ()
    assert second.changes == (6,)


def test_and_gives_weighted_conditions_of_one_length(conditioner: Conditioner) -> None:
    told = conditioner.encode("a cat AND a dog BREAK a girl:0.5", "", 20).at(0)
    assert told.is_composed
    assert [condition.weight for condition in told.conditions] == [1.0, 0.5]
    assert {condition.embeddings.shape for condition in told.conditions} == {(1, 154, 32)}
    assert not conditioner.encode("a cat", "a AND b", 20).at(0).is_composed


def test_chunks_are_counted_without_the_text_encoder(pipeline: Any) -> None:
    blind = Conditioner(pipeline.tokenizer, None)
    assert blind.count_chunks("a cat", "a BREAK b BREAK c", 20) == (1, 3)
    assert blind.count_chunks("[cat:" + "dog " * 80 + ":5]", "", 20) == (2, 1)


OFTEN = f"[{'|'.join('a ' * place for place in range(1, 30))}] {'cat ' * 2000}"
"""Another long text for each call."""


@pytest.mark.parametrize("prompt", ["cat " * 2401, "cat AND " * MAX_PARTS, "a" * 20_001, "a BREAK " * 33 + "b", OFTEN])
def test_a_prompt_that_is_too_long_is_refused_before_anything_is_encoded(pipeline: Any, prompt: str) -> None:
    with pytest.raises(InvalidRequest):
        Conditioner(pipeline.tokenizer, None).count_chunks(prompt, "", 20)


def test_a_padding_token_of_its_own_follows_the_end(pipeline: Any, conditioner: Conditioner) -> None:
    """SD 2.x pads with token 0."""
    other = build_pipeline().tokenizer
    other.pad_token = other.convert_ids_to_tokens(0)
    seen = []

    def encoder(ids: Any) -> Any:
        seen.append(ids)
        return pipeline.text_encoder(ids)

    encoder.config, encoder.device = pipeline.text_encoder.config, "cpu"  # type: ignore[attr-defined]
    Conditioner(other, encoder).encode("cat", "cat", 20)
    assert seen[0][0, 2] == other.eos_token_id
    assert seen[0][0, 3:].tolist() == [0] * 74
