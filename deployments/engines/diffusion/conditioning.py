"""Prompt conditioning of the denoiser, call by call, as A1111 does it: chunks, weights, schedules, clip skip, AND.

diffusers' pipelines take it as `prompt_embeds` and `negative_prompt_embeds`; where it changes, `callback_on_step_end`
swaps them. A plain prompt of up to 75 tokens is encoded exactly as `encode_prompt` would.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from deployments.algorithms.a1111.prompts.attention import parse_attention
from deployments.algorithms.a1111.prompts.chunks import CHUNK_TOKENS, Chunk, WeightedTokens, split_chunks
from deployments.algorithms.a1111.prompts.composition import split_parts
from deployments.algorithms.a1111.prompts.schedules import Until, schedule_prompt
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


@dataclass(frozen=True, slots=True)
class StepConditioning:
    """Prompt embeddings for one UNet call."""

    conditions: tuple[Condition, ...]
    """Conditions of the prompt, at least one."""
    negative: Tensor
    """Embeddings of the negative prompt, `[1, 77 * chunks, D]`."""

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
    """Prompt encoder: a CLIP tokenizer and text encoder of SD 1.x or 2.x. Keeps nothing between calls, so LoRAs may
    come and go."""

    def __init__(self, tokenizer: Any, text_encoder: Any, inversions: TextualInversions = NONE) -> None:
        self._tokenizer = tokenizer
        self._inversions = inversions
        self._encoder = text_encoder
        self._comma: int | None = tokenizer.get_vocab().get(",</w>")

    def count_chunks(self, prompt: str, negative: str, steps: int, *, first_pass_steps: int | None = None) -> int:
        """Count `Conditioning.chunks` of the result of `encode`, without the text encoder. Raises as `encode` does."""
        return _Prompts(self._chunk, prompt, negative, steps, first_pass_steps).chunks

    def encode(
        self, prompt: str, negative: str, steps: int, *, clip_skip: int = 1, first_pass_steps: int | None = None
    ) -> Conditioning:
        """Encode a prompt and a negative prompt for a pass of `steps` denoiser calls, see `samplers.count_calls`.

        `first_pass_steps` makes it the prompts of a second (hires) pass. `clip_skip` 1 is the last layer. Raises
        `InvalidRequest` for a prompt that is too long and a layer that the text encoder has not.
        """
        layers = self._encoder.config.num_hidden_layers
        if not 1 <= clip_skip <= layers:
            raise InvalidRequest(f"clip skip is 1 to {layers} for this checkpoint, not {clip_skip}")
        prompts = _Prompts(self._chunk, prompt, negative, steps, first_pass_steps)
        encode = _Encoding(self._tokenizer, self._encoder, clip_skip, prompts.chunks, self._inversions)
        segments, ends = [], []
        for end, positives, negative_text in prompts.segments():
            conditions = tuple(Condition(encode(prompts.read[text]), weight) for text, weight in positives)
            segments.append(StepConditioning(conditions, encode(prompts.read[negative_text])))
            ends.append(end)
        return Conditioning(tuple(segments), tuple(ends), prompts.chunks)

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


class _Encoding:
    """Encoder of chunks to embeddings of one length. Each chunk goes through the text encoder alone, and once.

    Alone: the embedding of a prompt must not depend, not even in the last bit, on what it is encoded with.
    """

    def __init__(
        self, tokenizer: Any, encoder: Any, clip_skip: int, chunks: int, inversions: TextualInversions
    ) -> None:
        self._inversions = inversions
        self._begin, self._end, self._pad = tokenizer.bos_token_id, tokenizer.eos_token_id, tokenizer.pad_token_id
        self._encoder, self._clip_skip, self._chunks = encoder, clip_skip, chunks
        self._hidden: dict[tuple[int, ...], Tensor] = {}
        self._done: dict[int, Tensor] = {}

    def __call__(self, chunks: tuple[Chunk, ...]) -> Tensor:
        import torch

        key = id(chunks)  # they live as long as this
        if key not in self._done:
            padding = [Chunk()] * (self._chunks - len(chunks))
            with torch.no_grad():
                self._done[key] = torch.cat([self._embed(chunk) for chunk in (*chunks, *padding)], dim=1)
        return self._done[key]

    def _embed(self, chunk: Chunk) -> Tensor:
        import torch

        hidden = self._encode(tuple(chunk.tokens))
        if all(weight == 1 for weight in chunk.weights):
            return hidden
        weights = torch.ones(hidden.shape[1], device=hidden.device)
        weights[1 : 1 + len(chunk.weights)] = torch.tensor(chunk.weights, device=hidden.device)
        plain = hidden.float()
        weighted = plain * weights[None, :, None]
        restored = weighted * (plain.mean() / weighted.mean())
        return (restored if torch.isfinite(restored).all() else weighted).to(hidden.dtype)

    def _encode(self, tokens: tuple[int, ...]) -> Tensor:
        import torch

        if tokens not in self._hidden:
            missing = CHUNK_TOKENS - len(tokens)
            ids = [self._begin, *tokens, self._end, *[self._pad] * missing]
            with self._inversions.in_place(self._encoder, ids) as plain:
                self._hidden[tokens] = self._run(torch.tensor([plain], device=self._encoder.device))
        return self._hidden[tokens]

    def _run(self, batch: Tensor) -> Tensor:
        if self._clip_skip == 1:
            hidden: Tensor = self._encoder(batch)[0]
            return hidden
        layers = self._encoder(batch, output_hidden_states=True).hidden_states
        network = getattr(self._encoder, "text_model", self._encoder)  # transformers 5.6 took the wrapper away
        skipped: Tensor = network.final_layer_norm(layers[-self._clip_skip])
        return skipped
