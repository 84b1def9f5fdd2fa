"""Text encoders over chunks of a prompt: one of SD 1.x or 2.x, or SDXL's two side by side."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from deployments.algorithms.a1111.prompts.chunks import CHUNK_TOKENS, Chunk
from deployments.engines.diffusion.textual_inversions import TextualInversions

if TYPE_CHECKING:
    from torch import Tensor


class ChunkEncoder:
    """Encoder of chunks to embeddings of one length. Each chunk goes through the text encoder alone, and once.

    Alone: the embedding of a prompt must not depend, not even in the last bit, on what it is encoded with.
    """

    def __init__(
        self,
        tokenizer: Any,
        encoder: Any,
        run: Callable[[Tensor], tuple[Tensor, Tensor | None]],
        chunks: int,
        inversions: TextualInversions,
        place: int = 0,
    ) -> None:
        """`run`: tokens `[1, 77]` -> embeddings `[1, 77, D]` and pooled embedding `[1, P]`. `place`: that of the
        encoder among the checkpoint's."""
        self._inversions, self._place = inversions, place
        self._begin, self._end, self._pad = tokenizer.bos_token_id, tokenizer.eos_token_id, tokenizer.pad_token_id
        self._encoder, self._run, self._chunks = encoder, run, chunks
        self._hidden: dict[tuple[int, ...], tuple[Tensor, Tensor | None]] = {}
        self._done: dict[int, Tensor] = {}

    def __call__(self, chunks: tuple[Chunk, ...]) -> Tensor:
        import torch

        key = id(chunks)  # they live as long as this
        if key not in self._done:
            padding = [Chunk()] * (self._chunks - len(chunks))
            with torch.no_grad():
                self._done[key] = torch.cat([self._embed(chunk) for chunk in (*chunks, *padding)], dim=1)
        return self._done[key]

    def pooled(self, chunks: tuple[Chunk, ...]) -> Tensor | None:
        """Pooled embedding `[1, P]` of the first chunk, without weights; None of encoders that have none."""
        return self._encode(tuple(chunks[0].tokens))[1]

    def _embed(self, chunk: Chunk) -> Tensor:
        import torch

        hidden, _ = self._encode(tuple(chunk.tokens))
        if all(weight == 1 for weight in chunk.weights):
            return hidden
        weights = torch.ones(hidden.shape[1], device=hidden.device)
        weights[1 : 1 + len(chunk.weights)] = torch.tensor(chunk.weights, device=hidden.device)
        plain = hidden.float()
        weighted = plain * weights[None, :, None]
        restored = weighted * (plain.mean() / weighted.mean())
        return (restored if torch.isfinite(restored).all() else weighted).to(hidden.dtype)

    def _encode(self, tokens: tuple[int, ...]) -> tuple[Tensor, Tensor | None]:
        import torch

        if tokens not in self._hidden:
            missing = CHUNK_TOKENS - len(tokens)
            ids = [self._begin, *tokens, self._end, *[self._pad] * missing]
            with torch.no_grad(), self._inversions.in_place(self._encoder, ids, self._place) as plain:
                self._hidden[tokens] = self._run(torch.tensor([plain], device=self._encoder.device))
        return self._hidden[tokens]


class SideBySide:
    """Encoder of chunks by several text encoders; the last one's pooled embedding is that of all."""

    def __init__(self, encodings: Sequence[ChunkEncoder]) -> None:
        self._encodings = encodings

    def __call__(self, chunks: tuple[Chunk, ...]) -> Tensor:
        import torch

        return torch.cat([encode(chunks) for encode in self._encodings], dim=-1)

    def pooled(self, chunks: tuple[Chunk, ...]) -> Tensor | None:
        """Pooled embedding `[1, P]` of the first chunk, without weights."""
        return self._encodings[-1].pooled(chunks)


def run_clip(encoder: Any, clip_skip: int, batch: Tensor) -> tuple[Tensor, None]:
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
