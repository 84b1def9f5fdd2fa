"""Textual inversions: vectors that stand in a prompt where their file's name is written.

Each vector gets a token id past the vocabulary. The name is found among the tokens of a prompt, as A1111 finds it, so
that emphasis, commas and case do as they do with words.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from deployments.algorithms.a1111.prompts.chunks import CHUNK_TOKENS

if TYPE_CHECKING:
    from torch import Tensor

Run = int | tuple[int, ...]
"""A token, or the tokens of a textual inversion, which stay in one chunk."""


class TextualInversions:
    """Textual inversions that prompts may name, each loaded when it is first found in one."""

    def __init__(
        self, names: Mapping[str, Sequence[int]], load: Callable[[str], Tensor | str], width: int, first_id: int
    ) -> None:
        """`names`: name -> its tokens. `load` gives vectors `[n, width]`, or says why there are none. `first_id`: that
        of the first vector, past the vocabulary."""
        self._load, self._width, self._next = load, width, first_id
        self._by_first: dict[int, list[tuple[tuple[int, ...], str]]] = {}
        for name, tokens in names.items():
            if tokens:
                self._by_first.setdefault(tokens[0], []).append((tuple(tokens), name))
        for found in self._by_first.values():
            found.sort(key=lambda one: -len(one[0]))
        self._runs: dict[str, tuple[int, ...]] = {}
        self.vectors: dict[int, Tensor] = {}
        """Token id -> vector `[width]`."""
        self.warnings: list[str] = []

    def replace(self, tokens: Sequence[int]) -> list[Run]:
        """Replace the names of textual inversions among the tokens of a text."""
        replaced: list[Run] = []
        place = 0
        while place < len(tokens):
            length, run = self._at(tokens, place)
            replaced.append(run or tokens[place])
            place += length
        return replaced

    def _at(self, tokens: Sequence[int], place: int) -> tuple[int, tuple[int, ...]]:
        for name_tokens, name in self._by_first.get(tokens[place], ()):
            length = len(name_tokens)
            if tuple(tokens[place : place + length]) == name_tokens and (run := self._run(name)):
                return length, run
        return 1, ()

    def _run(self, name: str) -> tuple[int, ...]:
        if name not in self._runs:
            self._runs[name] = self._read(name)
        return self._runs[name]

    def _read(self, name: str) -> tuple[int, ...]:
        vectors = self._load(name)
        if not isinstance(vectors, str):
            count, width = vectors.shape
            if width != self._width:
                vectors = f"its vectors have {width} numbers, the checkpoint's have {self._width}"
            elif count > CHUNK_TOKENS:
                vectors = f"it has {count} vectors, and at most {CHUNK_TOKENS} are used"
        if isinstance(vectors, str):
            self.warnings.append(f"The textual inversion '{name[:80]}' was read as text: {vectors}.")
            return ()
        run = tuple(range(self._next, self._next + len(vectors)))
        self._next += len(vectors)
        self.vectors |= dict(zip(run, vectors, strict=True))
        return run

    @contextmanager
    def in_place(self, encoder: Any, tokens: Sequence[int]) -> Iterator[list[int]]:
        """Make the text encoder see the vectors among `tokens` while the block runs; -> tokens for its input.

        The tokens of one text, as long as the encoder's input.
        """
        own = {place: self.vectors[token] for place, token in enumerate(tokens) if token in self.vectors}
        if not own:
            yield list(tokens)
            return

        def put(_module: Any, _input: Any, output: Tensor) -> Tensor:
            output = output.clone()
            for place, vector in own.items():
                output[:, place] = vector.to(output.device, output.dtype)
            return output

        network = getattr(encoder, "text_model", encoder)  # transformers 5.6 took the wrapper `text_model` away
        hook = network.embeddings.token_embedding.register_forward_hook(put)
        try:
            yield [0 if place in own else token for place, token in enumerate(tokens)]
        finally:
            hook.remove()


NONE = TextualInversions({}, lambda _: "", 0, 0)
"""No textual inversions."""


def read_vectors(tensors: Mapping[str, Tensor], width: int) -> Tensor | str:
    """Choose the vectors `[n, D]` of a textual inversion's tensors; a text where there are none.

    Forms: `string_to_param` of the first trainers, `emb_params`, one tensor by the token's name, and SDXL's pair, of
    which the one of the encoder's `width` is taken.
    """
    if {"clip_l", "clip_g"} <= set(tensors):
        widths = [(0, *tensors[name].shape)[-1] for name in ("clip_l", "clip_g")]
        if width not in widths:
            sizes = " and ".join(map(str, widths))
            return f"its vectors have {sizes} numbers, the checkpoint's have {width}"
        return "it is for SDXL, the checkpoint is not"
    named = [tensor for name, tensor in tensors.items() if name.startswith("string_to_param.")]
    chosen = named or [tensors[name] for name in ("emb_params",) if name in tensors] or list(tensors.values())
    if len(chosen) != 1 or not 1 <= chosen[0].ndim <= 2 or not chosen[0].numel():
        return "the file holds no vectors that are known here"
    if not chosen[0].float().isfinite().all():
        return "its vectors hold values that are no numbers"
    return chosen[0].reshape(-1, chosen[0].shape[-1])
