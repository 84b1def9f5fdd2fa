"""Text encoders over chunks of a prompt: one of SD 1.x or 2.x, or SDXL's two side by side."""

from __future__ import annotations

from collections.abc import Callable, Hashable, MutableMapping, Sequence
from typing import TYPE_CHECKING, Any

from deployments.algorithms.a1111.prompts.chunks import CHUNK_TOKENS, Chunk
from deployments.contracts.diffusion import Emphasis
from deployments.engines.diffusion.textual_inversions import TextualInversions

if TYPE_CHECKING:
    from torch import Tensor


Hidden = tuple["Tensor", "Tensor | None"]
"""Embeddings `[1, 77, D]` of a chunk, and its pooled embedding `[1, P]` where the text encoder has one."""
Cache = MutableMapping[Hashable, Hidden]


_MAX_KEPT = 256
"""Chunks whose embeddings are kept for the next prompts: some 60 MB in float32 for SD 1.x, 160 MB for SDXL."""


class ChunkEncoder:
    """Encoder of texts in chunks. Each chunk goes through the text encoder alone, and once.

    Alone: the embedding of a prompt must not depend, not even in the last bit, on what it is encoded with.
    """

    def __init__(
        self,
        tokenizer: Any,
        encoder: Any,
        run: Callable[[Tensor], Hidden],
        inversions: TextualInversions,
        place: int = 0,
        *,
        emphasis: Emphasis = "Original",
        cache: Cache | None = None,
    ) -> None:
        """`run`: tokens `[1, 77]` -> embeddings and pooled embedding. `place`: that of the encoder among the
        checkpoint's. `cache`: what chunks without textual inversions were encoded to before, by the same weights."""
        self._inversions, self._place = inversions, place
        self._begin, self._end, self._pad = tokenizer.bos_token_id, tokenizer.eos_token_id, tokenizer.pad_token_id
        self._encoder, self._run, self._emphasis = encoder, run, emphasis
        self._cache: Cache = {} if cache is None else cache
        self._own: Cache = {}

    def __call__(self, texts: Sequence[tuple[Chunk, ...]], counts: Sequence[int]) -> list[Tensor]:
        """Encode the texts of one schedule, `[1, 77 * chunks, D]` each, shorter ones ending in empty chunks.

        Weights keep the mean of all of them together, chunk by chunk, as A1111 does; `counts`: how often the schedule
        names each.
        """
        import torch

        columns = [
            self._embed([text[i] if i < len(text) else Chunk() for text in texts], counts)
            for i in range(max(map(len, texts)))
        ]
        return [torch.cat(parts, dim=1) for parts in zip(*columns, strict=True)]

    def pooled(self, chunks: tuple[Chunk, ...]) -> Tensor | None:
        """Pooled embedding `[1, P]` of the first chunk, without weights; None of encoders that have none."""
        return self._encode(tuple(chunks[0].tokens))[1]

    def empty(self) -> Tensor:
        """Embeddings of an empty chunk, `[1, 77, D]`."""
        return self._encode(())[0]

    def _embed(self, chunks: Sequence[Chunk], counts: Sequence[int]) -> list[Tensor]:
        import torch

        hidden = [self._encode(tuple(chunk.tokens))[0] for chunk in chunks]
        is_plain = all(weight == 1 for chunk in chunks for weight in chunk.weights)
        if is_plain or self._emphasis in ("Ignore", "None"):
            return hidden
        plain = torch.cat(hidden).float()
        weights = torch.ones(plain.shape[:2], device=plain.device)
        for row, chunk in enumerate(chunks):
            weights[row, 1 : 1 + len(chunk.weights)] = torch.tensor(chunk.weights, device=plain.device)
        weighted = plain * weights[..., None]
        if self._emphasis == "Original":
            before, after = (_mean(embeddings, counts) for embeddings in (plain, weighted))
            restored = weighted * (before / after)
            weighted = restored if torch.isfinite(restored).all() else weighted
        return list(weighted.to(hidden[0].dtype).split(1))

    def _encode(self, tokens: tuple[int, ...]) -> Hidden:
        import torch

        known = self._cache if self._inversions.are_none_of(tokens) else self._own
        key = (self._place, tokens)
        if key not in known:
            missing = CHUNK_TOKENS - len(tokens)
            ids = [self._begin, *tokens, self._end, *[self._pad] * missing]
            with torch.no_grad(), self._inversions.in_place(self._encoder, ids, self._place) as plain:
                known[key] = self._run(torch.tensor([plain], device=self._encoder.device))
            while len(known) > _MAX_KEPT:
                del known[next(iter(known))]
        known[key] = known.pop(key)  # the least recently used come first
        return known[key]


class SideBySide:
    """Encoder of texts by several text encoders; the last one's pooled embedding is that of all."""

    def __init__(self, encodings: Sequence[ChunkEncoder]) -> None:
        self._encodings = encodings

    def __call__(self, texts: Sequence[tuple[Chunk, ...]], counts: Sequence[int]) -> list[Tensor]:
        """Encode the texts of one schedule; see `ChunkEncoder`."""
        import torch

        encoded = [encode(texts, counts) for encode in self._encodings]
        return [torch.cat(parts, dim=-1) for parts in zip(*encoded, strict=True)]

    def pooled(self, chunks: tuple[Chunk, ...]) -> Tensor | None:
        """Pooled embedding `[1, P]` of the first chunk, without weights."""
        return self._encodings[-1].pooled(chunks)

    def empty(self) -> Tensor:
        """Embeddings of an empty chunk, `[1, 77, D]`."""
        import torch

        return torch.cat([encode.empty() for encode in self._encodings], dim=-1)


def _mean(embeddings: Tensor, counts: Sequence[int]) -> Tensor:
    """Mean of embeddings `[texts, 77, D]`, each text as often as it is counted."""
    means = [count * own.mean() for own, count in zip(embeddings, counts, strict=True)]
    return sum(means[1:], means[0]) / sum(counts)


def run_clip(clip_skip: int, encoder: Any, batch: Tensor) -> tuple[Tensor, None]:
    """Take the layer that clip skip says, with the norm at the end."""
    if clip_skip == 1:
        return encoder(batch)[0], None
    layers = encoder(batch, output_hidden_states=True).hidden_states
    network = getattr(encoder, "text_model", encoder)  # transformers 5.6 took the wrapper away
    return network.final_layer_norm(layers[-clip_skip]), None


def run_xl(encoder: Any, batch: Tensor) -> tuple[Tensor, Tensor | None]:
    """Take the last layer but one, without the norm at the end, and what the encoder projects."""
    seen = encoder(batch, output_hidden_states=True)
    return seen.hidden_states[-2], getattr(seen, "text_embeds", None)
