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

Vectors = tuple["Tensor", ...]
"""Vectors for each text encoder of a checkpoint."""
Run = int | tuple[int, ...]
"""A token, or the tokens of a textual inversion, which stay in one chunk."""


class TextualInversions:
    """Textual inversions that prompts may name, each loaded when it is first found in one."""

    def __init__(self, names: Mapping[str, Sequence[int]], load: Callable[[str], Vectors | str], first_id: int) -> None:
        """`names`: name -> its tokens. `load` gives vectors `[n, width]` for each text encoder, or says why there are
        none. `first_id`: that of the first vector, past the vocabulary."""
        self._load, self._next = load, first_id
        self._by_first: dict[int, list[tuple[tuple[int, ...], str]]] = {}
        for name, tokens in names.items():
            if tokens:
                self._by_first.setdefault(tokens[0], []).append((tuple(tokens), name))
        for found in self._by_first.values():
            found.sort(key=lambda one: -len(one[0]))
        self._runs: dict[str, tuple[int, ...]] = {}
        self.vectors: dict[int, Vectors] = {}
        """Token id -> vector `[width]` for each text encoder."""
        self.warnings: list[str] = []

    @property
    def are_used(self) -> bool:
        """Whether a prompt named one that fits."""
        return bool(self.vectors)

    def are_none_of(self, tokens: Sequence[int]) -> bool:
        """Say whether none of these tokens stands for a vector."""
        return not any(token in self.vectors for token in tokens)

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
        if not isinstance(vectors, str) and (count := len(vectors[0])) > CHUNK_TOKENS:
            vectors = f"it has {count} vectors, and at most {CHUNK_TOKENS} are used"
        if isinstance(vectors, str):
            self.warnings.append(f"The textual inversion '{name[:80]}' was read as text: {vectors}.")
            return ()
        run = tuple(range(self._next, self._next + len(vectors[0])))
        self._next += len(run)
        self.vectors |= dict(zip(run, zip(*vectors, strict=True), strict=True))
        return run

    @contextmanager
    def in_place(self, encoder: Any, tokens: Sequence[int], number: int = 0) -> Iterator[list[int]]:
        """Make the text encoder, which is the checkpoint's first or second (`number` 0 or 1), see the vectors among
        `tokens` while the block runs; -> tokens for its input.

        The tokens of one text, as long as the encoder's input.
        """
        own = {place: self.vectors[token][number] for place, token in enumerate(tokens) if token in self.vectors}
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


NONE = TextualInversions({}, lambda _: "", 0)
"""No textual inversions."""
_PAIR = ("clip_l", "clip_g")


def read_vectors(tensors: Mapping[str, Tensor], *widths: int) -> Vectors | str:
    """Choose the vectors `[n, width]` for each text encoder of a textual inversion's tensors; a text where there are
    none.

    Forms: `string_to_param` of the first trainers, `emb_params`, one tensor by the token's name, and SDXL's pair.
    """
    if set(_PAIR) <= set(tensors):
        found: Vectors | str = tuple(tensors[name] for name in _PAIR)
    else:
        found = _read_one(tensors)
    if isinstance(found, str):
        return found
    for tensor in found:
        if not 1 <= tensor.ndim <= 2 or not tensor.numel():
            return "the file holds no vectors that are known here"
        if not tensor.float().isfinite().all():
            return "its vectors hold values that are no numbers"
    found = tuple(tensor.reshape(-1, tensor.shape[-1]) for tensor in found)
    own = tuple(tensor.shape[1] for tensor in found)
    if own == widths and len({len(tensor) for tensor in found}) == 1:
        return found
    if own == widths:
        return "it has not as many vectors for one text encoder as for the other"
    if len(own) > 1 and own[0] in widths:
        return "it is for SDXL, the checkpoint is not"
    sizes, wanted = (" and ".join(map(str, some)) for some in (own, widths))
    return f"its vectors have {sizes} numbers, the checkpoint's have {wanted}"


def _read_one(tensors: Mapping[str, Tensor]) -> Vectors | str:
    named = [tensor for name, tensor in tensors.items() if name.startswith("string_to_param.")]
    chosen = named or [tensors[name] for name in ("emb_params",) if name in tensors] or list(tensors.values())
    return tuple(chosen) if len(chosen) == 1 else "the file holds no vectors that are known here"
