"""Prompt conditioning of the denoiser, call by call, as A1111 does it: chunks, weights, schedules, clip skip, AND.

diffusers' pipelines take it as `prompt_embeds` and `negative_prompt_embeds`; where it changes, `callback_on_step_end`
swaps them. A plain prompt of up to 75 tokens is encoded exactly as `encode_prompt` would. SDXL's two text encoders see
the same chunks; their embeddings lie side by side, and the second gives the pooled embedding of the first chunk.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

from deployments.algorithms.a1111.prompts.attention import parse_attention
from deployments.algorithms.a1111.prompts.chunks import CHUNK_TOKENS, Chunk, WeightedTokens, split_chunks
from deployments.algorithms.a1111.prompts.composition import split_parts
from deployments.algorithms.a1111.prompts.schedules import Until, schedule_prompt
from deployments.engines.diffusion.text_encoders import ChunkEncoder, SideBySide, run_clip, run_xl
from deployments.engines.diffusion.textual_inversions import NONE, TextualInversions
from deployments.errors import InvalidRequest

if TYPE_CHECKING:
    from torch import Tensor

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
    """Conditioning of all calls of one pass. Its tensors have equal lengths: shorter ones end in encoded empty
    chunks."""

    segments: tuple[StepConditioning, ...]
    """Conditioning of each segment, a stretch of calls in which nothing changes, in order."""
    ends: tuple[int, ...]
    """The last call of each segment, counted from 0."""
    chunks: int
    """Length in chunks. Requests can share a batch when these are equal, and only then is an image the same as it would
    be alone."""

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
    """Prompt encoder: a CLIP tokenizer and text encoder of SD 1.x or 2.x, or SDXL's two. Keeps nothing between calls,
    so LoRAs may come and go."""

    def __init__(
        self,
        tokenizer: Any,
        text_encoder: Any,
        inversions: TextualInversions = NONE,
        second: tuple[Any, Any] | None = None,
        *,
        is_refiner: bool = False,
    ) -> None:
        """`second`: tokenizer and text encoder that SDXL has besides. `is_refiner`: that second one stands alone."""
        self._tokenizer = tokenizer
        self._inversions = inversions
        self._encoder = text_encoder
        self._second, self._is_refiner = second, is_refiner
        self._comma: int | None = tokenizer.get_vocab().get(",</w>")

    def count_chunks(self, prompt: str, negative: str, steps: int, *, first_pass_steps: int | None = None) -> int:
        """Count `Conditioning.chunks` of the result of `encode`, without the text encoder. Raises as `encode` does."""
        return _Prompts(self._chunk, prompt, negative, steps, first_pass_steps).chunks

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
        encode = self._encoding(clip_skip, prompts.chunks)
        segments, ends = [], []
        for end, positives, negative_text in prompts.segments():
            conditions = tuple(_condition(encode, prompts.read[text], weight) for text, weight in positives)
            against = _condition(encode, prompts.read[negative_text])
            if against.pooled is not None and not prompts.has_negative:
                against = _nothing(against)
            segments.append(StepConditioning(conditions, against.embeddings, against.pooled))
            ends.append(end)
        return Conditioning(tuple(segments), tuple(ends), prompts.chunks)

    def _encoding(self, clip_skip: int, chunks: int) -> ChunkEncoder | SideBySide:
        if self._is_refiner:
            run_alone = partial(run_xl, self._encoder)
            return ChunkEncoder(self._tokenizer, self._encoder, run_alone, chunks, self._inversions)
        if self._second is None:
            run = partial(run_clip, self._encoder, clip_skip)
            return ChunkEncoder(self._tokenizer, self._encoder, run, chunks, self._inversions)
        pairs = ((self._tokenizer, self._encoder), self._second)
        return SideBySide(
            [
                ChunkEncoder(tokenizer, encoder, partial(run_xl, encoder), chunks, self._inversions, place)
                for place, (tokenizer, encoder) in enumerate(pairs)
            ]
        )

    def _chunk(self, text: str) -> tuple[Chunk, ...]:
        stretches = parse_attention(text)
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
        self._positive = [(schedule_prompt(part.text, steps, first_pass_steps), part.weight) for part in parts]
        self._negative = schedule_prompt(negative, steps, first_pass_steps)
        self.has_negative = any(until.text for until in self._negative)
        schedules = [*(schedule for schedule, _ in self._positive), self._negative]
        self.read: dict[str, tuple[Chunk, ...]] = {}
        self.chunks = 0
        for text in {until.text for schedule in schedules for until in schedule}:
            self.read[text] = chunk(text)
            self.chunks = max(self.chunks, len(self.read[text]))
            if len(self.read) * self.chunks > MAX_EMBEDDED_CHUNKS:
                raise InvalidRequest("A prompt that is this long may not change so often on its way")

    def segments(self) -> Iterable[tuple[int, list[tuple[str, float]], str]]:
        """List the last call, the weighted positive texts and the negative one of each segment in which nothing
        changes."""
        schedules = [*(schedule for schedule, _ in self._positive), self._negative]
        ends = sorted({until.call for schedule in schedules for until in schedule})
        found: list[tuple[int, list[tuple[str, float]], str]] = []
        for end in ends:
            positives = [(_text_at(schedule, end), weight) for schedule, weight in self._positive]
            negative = _text_at(self._negative, end)
            if found and found[-1][1:] == (positives, negative):
                found.pop()
            found.append((end, positives, negative))
        return found


def _text_at(schedule: list[Until], call: int) -> str:
    return schedule[bisect_left(schedule, call, key=lambda until: until.call)].text


def _condition(encode: ChunkEncoder | SideBySide, chunks: tuple[Chunk, ...], weight: float = 1.0) -> Condition:
    return Condition(encode(chunks), weight, encode.pooled(chunks))


def _nothing(condition: Condition) -> Condition:
    """Put zeros for an empty negative prompt, as A1111 does with SDXL."""
    import torch

    pooled = condition.pooled
    return Condition(
        torch.zeros_like(condition.embeddings), pooled=None if pooled is None else torch.zeros_like(pooled)
    )
