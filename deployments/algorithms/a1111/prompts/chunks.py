"""Chunks of 75 tokens, for prompts of any length and a text encoder of 77 places, broken behind commas that are
near."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

CHUNK_TOKENS = 75
"""Tokens of a chunk, without the two that begin and end it."""
COMMA_BACKTRACK = 20
"""Last tokens of a full chunk among which a comma ends it; what follows the comma moves on."""


@dataclass(frozen=True, slots=True)
class WeightedTokens:
    """A stretch of the prompt as its tokens, or a BREAK between two."""

    tokens: Sequence[int | tuple[int, ...]] = ()
    """Tokens; a tuple stays in one chunk, and has at most `CHUNK_TOKENS`."""
    weight: float = 1.0
    is_break: bool = False


@dataclass(slots=True)
class Chunk:
    """A chunk: at most `CHUNK_TOKENS` tokens and the weight of each."""

    tokens: list[int] = field(default_factory=list)
    weights: list[float] = field(default_factory=list)


def split_chunks(stretches: Iterable[WeightedTokens], comma: int | None) -> list[Chunk]:
    """Split a prompt into at least one chunk; `comma` is the id of the token that is a comma and nothing else."""
    chunks: list[Chunk] = []
    chunk, behind_comma = Chunk(), 0
    for stretch in stretches:
        if stretch.is_break:
            chunks.append(chunk)
            chunk, behind_comma = Chunk(), 0
            continue
        for token in stretch.tokens:
            run = token if isinstance(token, tuple) else (token,)
            if CHUNK_TOKENS - len(run) < len(chunk.tokens) < CHUNK_TOKENS:  # vectors that belong together
                chunks.append(chunk)
                chunk, behind_comma = Chunk(), 0
            elif len(chunk.tokens) == CHUNK_TOKENS:
                moves = CHUNK_TOKENS + 1 - behind_comma <= COMMA_BACKTRACK and behind_comma > 0 and token != comma
                end = behind_comma if moves else CHUNK_TOKENS
                chunks.append(Chunk(chunk.tokens[:end], chunk.weights[:end]))
                chunk, behind_comma = Chunk(chunk.tokens[end:], chunk.weights[end:]), 0
                if len(chunk.tokens) + len(run) > CHUNK_TOKENS:
                    chunks.append(chunk)
                    chunk = Chunk()
            elif token == comma:
                behind_comma = len(chunk.tokens) + 1
            chunk.tokens += run
            chunk.weights += [stretch.weight] * len(run)
    if chunk.tokens or not chunks:
        chunks.append(chunk)
    return chunks
