"""Prompt conditioning of the denoiser, call by call, as A1111 does it: chunks, weights, schedules, clip skip, AND.

A plain prompt of up to 75 tokens is encoded exactly as `encode_prompt` would. SDXL's two text encoders see
the same chunks; their embeddings lie side by side, and the second gives the pooled embedding of the first chunk.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import lru_cache, partial
from typing import TYPE_CHECKING, Any

from deployments.algorithms.a1111.prompts.attention import Stretch, parse_attention
from deployments.algorithms.a1111.prompts.chunks import CHUNK_TOKENS, Chunk, WeightedTokens, split_chunks
from deployments.algorithms.a1111.prompts.composition import split_parts
from deployments.algorithms.a1111.prompts.schedules import Until, schedule_prompt
from deployments.contracts.diffusion import Emphasis
from deployments.engines.diffusion.text_encoders import Cache, ChunkEncoder, SideBySide, run_clip, run_xl
from deployments.engines.diffusion.textual_inversions import NONE, TextualInversions
from deployments.errors import InvalidRequest

if TYPE_CHECKING:
    from torch import Tensor

_PLACES = CHUNK_TOKENS + 2
"""Places of a chunk in the text encoder."""
MAX_CHUNKS = 32
"""Chunks of one prompt: 2,400 tokens."""
MAX_PARTS = 8
"""Conditions joined by AND; each costs a denoiser's call per step."""
MAX_EMBEDDED_CHUNKS = 512
"""Chunks of all texts that a schedule comes to, each as long as the longest: some 120 MB of embeddings in float32."""
MAX_CHARS = 20_000
"""Characters of one prompt."""


@dataclass(frozen=True, slots=True)
class Condition:
    """Condition: one of the texts that AND joins; most prompts have one."""

    embeddings: Tensor
    """Text embeddings `[1, 77 * chunks, D]`, in the text encoder's dtype and on its device."""
    weight: float = 1.0
    """Weight in the sum: the prediction is `uncond + sum(weight * guidance * (cond - uncond))`."""
    pooled: Tensor | None = None
    """Pooled embedding `[1, P]`, of SDXL alone."""


@dataclass(frozen=True, slots=True)
class StepConditioning:
    """Prompt embeddings for one UNet call."""

    conditions: tuple[Condition, ...]
    """Conditions of the prompt, at least one."""
    negative: Tensor
    """Embeddings of the negative prompt, `[1, 77 * chunks, D]`."""
    negative_pooled: Tensor | None = None
    """Pooled embedding of the negative prompt, `[1, P]`, of SDXL alone."""

    @property
    def positive(self) -> Tensor:
        """Embeddings of the first condition: all there is unless `is_composed`."""
        return self.conditions[0].embeddings

    @property
    def is_composed(self) -> bool:
        """Whether `positive` alone does not suffice: there are several conditions, or one that is weighted."""
        return len(self.conditions) > 1 or self.conditions[0].weight != 1


@dataclass(frozen=True, slots=True)
class Conditioning:
    """Conditioning of all calls of one pass. All conditions of the prompt have one length, so have all negative
    embeddings; the two differ unless the shorter was padded."""

    segments: tuple[StepConditioning, ...]
    """Conditioning of each segment, a stretch of calls in which nothing changes, in order."""
    ends: tuple[int, ...]
    """The last call of each segment, counted from 0."""
    lengths: tuple[int, int]
    """Lengths of the prompt and the negative prompt in chunks. Requests can share a batch when these are equal, and
    only then is an image the same as it would be alone."""

    def at(self, call: int) -> StepConditioning:
        """Return the conditioning of `call`, counted from 0; calls past the end get that of the last one."""
        return self.segments[min(bisect_left(self.ends, call), len(self.segments) - 1)]

    @property
    def is_composed(self) -> bool:
        """Whether AND joins prompts somewhere; without guidance it has no meaning."""
        return any(segment.is_composed for segment in self.segments)

    @property
    def changes(self) -> tuple[int, ...]:
        """Calls whose conditioning differs from that of the call before."""
        return tuple(end + 1 for end in self.ends[:-1])


class Conditioner:
    """Prompt encoder: a CLIP tokenizer and text encoder of SD 1.x or 2.x, or SDXL's two. It keeps embeddings in the
    cache that it is given and nowhere else, so LoRAs may come and go."""

    def __init__(
        self,
        tokenizer: Any,
        text_encoder: Any,
        inversions: TextualInversions = NONE,
        second: tuple[Any, Any] | None = None,
        *,
        is_refiner: bool = False,
        emphasis: Emphasis = "Original",
        pad: bool = False,
        caches: dict[int, Cache] | None = None,
    ) -> None:
        """`second`: tokenizer and text encoder that SDXL has besides. `is_refiner`: that second one stands alone.
        `pad`: whether the shorter of the two prompts ends in encoded empty chunks. `caches`: what these weights have
        encoded before, by clip skip."""
        self._tokenizer = tokenizer
        self._inversions = inversions
        self._encoder = text_encoder
        self._second, self._is_refiner = second, is_refiner
        self._emphasis, self._pad = emphasis, pad
        self._caches: dict[int, Cache] = {} if caches is None else caches
        self._comma = _comma_of(tokenizer)

    def count_chunks(
        self, prompt: str, negative: str, steps: int, *, first_pass_steps: int | None = None
    ) -> tuple[int, int]:
        """Count `Conditioning.lengths` of the result of `encode` without padding, without the text encoder. Raises as
        `encode` does."""
        return _Prompts(self._chunk, prompt, negative, steps, first_pass_steps).lengths

    def encode(
        self, prompt: str, negative: str, steps: int, *, clip_skip: int = 1, first_pass_steps: int | None = None
    ) -> Conditioning:
        """Encode a prompt and a negative prompt for a pass of `steps` denoiser calls, see `samplers.count_calls`.

        `first_pass_steps` makes it the prompts of a second (hires) pass. `clip_skip` 1 is the last layer; SDXL takes
        the last but one, whatever it is. Raises `InvalidRequest` for a prompt that is too long and a layer that the
        text encoder has not.
        """
        layers = self._encoder.config.num_hidden_layers
        if not 1 <= clip_skip <= layers:
            raise InvalidRequest(f"clip skip is 1 to {layers} for this checkpoint, not {clip_skip}")
        prompts = _Prompts(self._chunk, prompt, negative, steps, first_pass_steps)
        encode = self._encoding(clip_skip)
        positives = [(_Encoded(encode, prompts, schedule), weight) for schedule, weight in prompts.positives]
        against = _Encoded(encode, prompts, prompts.negative)
        if against.has_pooled and not prompts.has_negative:
            against.forget()
        lengths = (max(prompts.lengths),) * 2 if self._pad else prompts.lengths
        segments, ends = [], []
        for end, negative_text, texts in prompts.segments():
            conditions = tuple(
                encoded.condition(text, prompts.lengths[0], lengths[0], weight)
                for text, (encoded, weight) in zip(texts, positives, strict=True)
            )
            told = against.condition(negative_text, prompts.lengths[1], lengths[1])
            segments.append(StepConditioning(conditions, told.embeddings, told.pooled))
            ends.append(end)
        return Conditioning(tuple(segments), tuple(ends), lengths)

    def _encoding(self, clip_skip: int) -> ChunkEncoder | SideBySide:
        cache = self._caches.setdefault(clip_skip, {})

        def encoder(tokenizer: Any, network: Any, run: Any, place: int = 0) -> ChunkEncoder:
            run = partial(run, network)
            return ChunkEncoder(tokenizer, network, run, self._inversions, place, emphasis=self._emphasis, cache=cache)

        if self._is_refiner:
            return encoder(self._tokenizer, self._encoder, run_xl)
        if self._second is None:
            return encoder(self._tokenizer, self._encoder, partial(run_clip, clip_skip))
        pairs = ((self._tokenizer, self._encoder), self._second)
        return SideBySide([encoder(*pair, run_xl, place) for place, pair in enumerate(pairs)])

    def _chunk(self, text: str) -> tuple[Chunk, ...]:
        stretches = [Stretch(text, 1.0)] if self._emphasis == "None" else parse_attention(text)
        ids = self._tokenizer([s.text for s in stretches], add_special_tokens=False, verbose=False).input_ids
        tokens = (
            WeightedTokens(self._inversions.replace(own), stretch.weight, stretch.is_break)
            for stretch, own in zip(stretches, ids, strict=True)
        )
        chunks = split_chunks(tokens, self._comma)
        if len(chunks) > MAX_CHUNKS:
            raise InvalidRequest(f"A prompt may have {MAX_CHUNKS * CHUNK_TOKENS:,} tokens, this one has more")
        return tuple(chunks)


class _Prompts:
    """Parsed prompt and negative prompt: their texts, the chunks of each, and the calls for which each holds."""

    def __init__(
        self,
        chunk: Callable[[str], tuple[Chunk, ...]],
        prompt: str,
        negative: str,
        steps: int,
        first_pass_steps: int | None,
    ) -> None:
        for text in (prompt, negative):
            if len(text) > MAX_CHARS:
                raise InvalidRequest(f"A prompt may have {MAX_CHARS:,} characters, this one has {len(text):,}")
        parts = split_parts(prompt)
        if len(parts) > MAX_PARTS:
            raise InvalidRequest(f"AND may join {MAX_PARTS} prompts, not {len(parts)}")
        self.positives = [(schedule_prompt(part.text, steps, first_pass_steps), part.weight) for part in parts]
        self.negative = schedule_prompt(negative, steps, first_pass_steps)
        self.has_negative = any(until.text for until in self.negative)
        self.read: dict[str, tuple[Chunk, ...]] = {}
        longest = 0
        for text in {until.text for schedule in self._schedules for until in schedule}:
            self.read[text] = chunk(text)
            longest = max(longest, len(self.read[text]))
            if len(self.read) * longest > MAX_EMBEDDED_CHUNKS:
                raise InvalidRequest("A prompt that is this long may not change so often on its way")
        own = [max(len(self.read[until.text]) for until in schedule) for schedule in self._schedules]
        self.lengths = max(own[1:]), own[0]

    @property
    def _schedules(self) -> list[list[Until]]:
        return [self.negative, *(schedule for schedule, _ in self.positives)]

    def segments(self) -> Iterable[tuple[int, str, list[str]]]:
        """List the last call, the negative text and the positive ones of each segment in which nothing changes."""
        found: list[tuple[int, str, list[str]]] = []
        for end in sorted({until.call for schedule in self._schedules for until in schedule}):
            negative, *positives = (_text_at(schedule, end) for schedule in self._schedules)
            if found and found[-1][1:] == (negative, positives):
                found.pop()
            found.append((end, negative, positives))
        return found


def _text_at(schedule: list[Until], call: int) -> str:
    return schedule[bisect_left(schedule, call, key=lambda until: until.call)].text


class _Encoded:
    """The texts of one schedule, encoded together."""

    def __init__(self, encode: ChunkEncoder | SideBySide, prompts: _Prompts, schedule: list[Until]) -> None:
        texts = Counter(until.text for until in schedule)
        self._encode = encode
        embeddings = encode([prompts.read[text] for text in texts], list(texts.values()))
        self._embeddings = dict(zip(texts, embeddings, strict=True))
        self._pooled = {text: encode.pooled(prompts.read[text]) for text in texts}
        self._lengthened: dict[str, Tensor] = {}

    @property
    def has_pooled(self) -> bool:
        """Whether the text encoder pools, as SDXL's does."""
        return None not in self._pooled.values()

    def forget(self) -> None:
        """Put zeros for an empty negative prompt, as A1111 does with SDXL."""
        import torch

        self._embeddings = {text: torch.zeros_like(own) for text, own in self._embeddings.items()}
        self._pooled = {text: torch.zeros_like(own) for text, own in self._pooled.items() if own is not None}

    def condition(self, text: str, beside: int, chunks: int, weight: float = 1.0) -> Condition:
        """Make a condition of `chunks`.

        As A1111 has it, one that AND joins with longer ones, `beside` chunks long, ends in repetitions of its last
        vector, and what is padded beyond that in encoded empty chunks.
        """
        import torch

        if text not in self._lengthened:
            own = self._embeddings[text]
            repeated = beside - own.shape[1] // _PLACES
            ends = [own[:, -1:].expand(-1, _PLACES, -1)] * repeated
            ends += [self._encode.empty() for _ in range(chunks - beside)]
            self._lengthened[text] = torch.cat([own, *ends], dim=1) if ends else own
        return Condition(self._lengthened[text], weight, self._pooled[text])


@lru_cache(maxsize=4)
def _comma_of(tokenizer: Any) -> int | None:
    """Token of a comma. Kept: the vocabulary has 49,408 words, and is made anew each time that somebody asks."""
    comma: int | None = tokenizer.get_vocab().get(",</w>")
    return comma
