"""Sentence embeddings by MiniLM (all-MiniLM-L6-v2) on ONNX Runtime, with its WordPiece tokenizer.

The tokenizer is written out here: it is forty lines, and the library that has it brings a hub client along. A test
holds it to that library's results.
"""

from __future__ import annotations

import json
import unicodedata
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from deployments.contracts.arrays import Vectors
from deployments.engines.runtime import open_session

_MAX_TOKENS = 128
"""Length at which the model truncates, both marks included."""
_MAX_WORD_CHARACTERS = 100
_BATCH = 64


class WordPiece:
    """BERT's uncased tokenizer: text -> vocabulary numbers between the marks for start and end."""

    def __init__(self, vocabulary: dict[str, int]) -> None:
        self._vocabulary = vocabulary
        self._unknown, self._start, self._end = (vocabulary[mark] for mark in ("[UNK]", "[CLS]", "[SEP]"))

    @classmethod
    def from_file(cls, path: Path) -> WordPiece:
        """Read the vocabulary out of a `tokenizer.json`."""
        return cls(json.loads(path.read_text(encoding="utf-8"))["model"]["vocab"])

    def encode(self, text: str) -> list[int]:
        """Tokenize a text; -> vocabulary numbers, truncated to the model's length."""
        pieces = [piece for word in _split_words(text) for piece in self._split_word(word)]
        return [self._start, *pieces[: _MAX_TOKENS - 2], self._end]

    def _split_word(self, word: str) -> list[int]:
        """Split a word into the longest known beginnings, one after another; a word with an unknown rest is unknown as
        a whole."""
        if len(word) > _MAX_WORD_CHARACTERS:
            return [self._unknown]
        pieces: list[int] = []
        start = 0
        while start < len(word):
            for end in range(len(word), start, -1):
                piece = word[start:end] if start == 0 else f"##{word[start:end]}"
                if piece in self._vocabulary:
                    pieces.append(self._vocabulary[piece])
                    start = end
                    break
            else:
                return [self._unknown]
        return pieces


def _split_words(text: str) -> list[str]:
    """Split a text into words, in lower case, without accents and control characters; punctuation marks and Chinese
    characters stand alone."""
    spaced = []
    for character in text:
        category = unicodedata.category(character)
        if character in "\t\n\r" or category == "Zs":
            spaced.append(" ")
        elif category in {"Cc", "Cf", "Co", "Cs"} or character == "\ufffd":
            continue
        elif _is_chinese(character):
            spaced.append(f" {character} ")
        else:
            spaced.append(character)
    plain = unicodedata.normalize("NFD", "".join(spaced))
    plain = "".join(character for character in plain if unicodedata.category(character) != "Mn").lower()
    return "".join(f" {character} " if _is_punctuation(character) else character for character in plain).split()


def _is_punctuation(character: str) -> bool:
    return (character.isascii() and character.isprintable() and not character.isalnum() and character != " ") or (
        unicodedata.category(character)[0] == "P"
    )


def _is_chinese(character: str) -> bool:
    code = ord(character)
    return (
        0x4E00 <= code <= 0x9FFF or 0x3400 <= code <= 0x4DBF or 0x20000 <= code <= 0x2CEAF or 0xF900 <= code <= 0xFAFF
    )


class SentenceEncoder:
    """Sentence encoder: unit vectors of short texts. Thread-safe."""

    dim = 384
    files = ("minilm/model.onnx", "minilm/tokenizer.json")

    def __init__(self, weights_dir: Path) -> None:
        self._session = open_session(weights_dir / self.files[0])
        self._tokenizer = WordPiece.from_file(weights_dir / self.files[1])

    def encode(self, texts: Sequence[str]) -> Vectors:
        """Embed texts as `float32[N, 384]`, L2-normalised: the mean of the token vectors.

        Texts of one length go together, so that nothing is padded and a text's vector does not depend on its company.
        """
        vectors = np.empty((len(texts), self.dim), np.float32)
        tokens = [self._tokenizer.encode(text) for text in texts]
        by_length: dict[int, list[int]] = defaultdict(list)
        for index, encoded in enumerate(tokens):
            by_length[len(encoded)].append(index)
        for indices in by_length.values():
            for start in range(0, len(indices), _BATCH):
                batch = indices[start : start + _BATCH]
                ids = np.array([tokens[index] for index in batch], np.int64)
                feed = {"input_ids": ids, "attention_mask": np.ones_like(ids), "token_type_ids": np.zeros_like(ids)}
                vectors[batch] = self._session.run(None, feed)[0].mean(axis=1)
        return np.asarray(vectors / np.linalg.norm(vectors, axis=1, keepdims=True), np.float32)
