"""Chunks of prompts for the text encoder."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from deployments.algorithms.a1111.prompts.chunks import (
    CHUNK_TOKENS,
    COMMA_BACKTRACK,
    Chunk,
    WeightedTokens,
    split_chunks,
)

COMMA = 7
BREAK = WeightedTokens(is_break=True)


def words(count: int, weight: float = 1.0) -> WeightedTokens:
    return WeightedTokens(range(100, 100 + count), weight)


def comma() -> WeightedTokens:
    return WeightedTokens([COMMA])


def lengths(*stretches: WeightedTokens) -> list[int]:
    return [len(chunk.tokens) for chunk in split_chunks(stretches, COMMA)]


def test_an_empty_prompt_is_one_empty_chunk() -> None:
    assert split_chunks([], COMMA) == [Chunk()]


def test_seventy_five_tokens_fit_into_one_chunk() -> None:
    assert lengths(words(75)) == [75]
    assert lengths(words(76)) == [75, 1]
    assert lengths(words(151)) == [75, 75, 1]


def test_text_behind_a_late_comma_moves_to_the_next_chunk() -> None:
    assert lengths(words(59), comma(), words(20)) == [60, 20]
    assert lengths(words(73), comma(), words(20)) == [74, 20]


def test_a_comma_too_early_does_not_end_a_chunk() -> None:
    assert lengths(words(54), comma(), words(30)) == [75, 10], "the 55th token: 21 before the end"
    assert lengths(words(55), comma(), words(30)) == [56, 30], "the 56th token: 20 before the end"


def test_no_comma_is_needed_where_the_prompt_fits_a_chunk() -> None:
    assert lengths(words(70), comma(), words(4)) == [75]


def test_a_comma_that_does_not_fit_begins_the_next_chunk() -> None:
    assert lengths(words(60), comma(), words(14), comma(), words(3)) == [75, 4]


def test_break_ends_a_chunk_and_weights_travel_with_their_tokens() -> None:
    chunks = split_chunks([words(2, 1.3), BREAK, words(1, 0.5)], COMMA)
    assert chunks == [Chunk([100, 101], [1.3, 1.3]), Chunk([100], [0.5])]


def test_breaks_make_empty_chunks_but_not_at_the_end() -> None:
    assert lengths(words(1), BREAK) == [1]
    assert lengths(BREAK, BREAK, words(1)) == [0, 0, 1]


@given(st.lists(st.tuples(st.lists(st.integers(1, 9), max_size=60), st.floats(0, 2)), max_size=12))
def test_no_token_is_lost_and_chunks_are_full_but_for_commas(pieces: list[tuple[list[int], float]]) -> None:
    chunks = split_chunks([WeightedTokens(tokens, weight) for tokens, weight in pieces], COMMA)
    assert [token for chunk in chunks for token in chunk.tokens] == [token for tokens, _ in pieces for token in tokens]
    assert [weight for chunk in chunks for weight in chunk.weights] == [
        weight for tokens, weight in pieces for _ in tokens
    ]
    for chunk in chunks[:-1]:
        assert CHUNK_TOKENS - COMMA_BACKTRACK < len(chunk.tokens) <= CHUNK_TOKENS
        assert len(chunk.tokens) == CHUNK_TOKENS or chunk.tokens[-1] == COMMA


RUNS = st.one_of(st.integers(1, 5), st.integers(1, 75).map(lambda n: tuple(range(1000, 1000 + n))))


@given(st.lists(RUNS, max_size=60))
def test_tokens_that_belong_together_stay_in_one_chunk(tokens: list[int | tuple[int, ...]]) -> None:
    chunks = split_chunks([WeightedTokens(tokens, 1.5)], comma=1)
    assert all(len(chunk.tokens) == len(chunk.weights) <= CHUNK_TOKENS for chunk in chunks)
    expected = [one for token in tokens for one in (token if isinstance(token, tuple) else (token,))]
    assert [token for chunk in chunks for token in chunk.tokens] == expected
    for chunk in chunks:
        assert not chunk.tokens or chunk.tokens[0] <= 1000, "a run was broken"
