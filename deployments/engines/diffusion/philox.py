"""Philox: the random numbers that PyTorch draws on an NVIDIA card, computed anywhere (Salmon et al. 2011)."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

_FACTORS = (np.uint64(0xD2511F53), np.uint64(0xCD9E8D57))
_WEYL = (0x9E3779B9, 0xBB67AE85)
_ROUNDS = 10
_WORD = 0xFFFFFFFF
_SCALE = np.float32(2.0**-32)
_LOW, _HIGH = np.uint64(_WORD), np.uint64(32)


class Philox:
    """Generator of normal noise from a seed: the n-th draw is that of PyTorch on a card, for tensors up to some million
    entries."""

    def __init__(self, seed: int) -> None:
        self._seed = seed
        self._draws = 0

    def initial_seed(self) -> int:
        """The seed."""
        return self._seed

    def randn(self, shape: tuple[int, ...]) -> Any:
        """Draw `float32[shape]`, a tensor on the processor."""
        import torch

        count = math.prod(shape)
        words = np.zeros((4, count), np.uint64)
        words[0] = self._draws
        words[2] = np.arange(count, dtype=np.uint64)
        self._draws += 1
        first, second, *_ = philox(words, self._seed)
        radius = np.sqrt(-2 * np.log(first * _SCALE + _SCALE / 2))
        angle = second * (_SCALE * np.float32(2 * math.pi)) + _SCALE * np.float32(math.pi)
        return torch.from_numpy((radius * np.sin(angle)).astype(np.float32).reshape(shape))


def philox(counter: NDArray[np.uint64], seed: int) -> NDArray[np.uint64]:
    """Compute Philox-4x32-10 of counters `[4, n]`, 32 bits each, with the 64 bits of the seed as key."""
    a, b, c, d = counter
    keys = [seed & _WORD, seed >> 32 & _WORD]
    for _ in range(_ROUNDS):
        left, right = a * _FACTORS[0], c * _FACTORS[1]
        a, b, c, d = (
            (right >> _HIGH) ^ b ^ np.uint64(keys[0]),
            right & _LOW,
            (left >> _HIGH) ^ d ^ np.uint64(keys[1]),
            left & _LOW,
        )
        keys = [(key + step) & _WORD for key, step in zip(keys, _WEYL, strict=True)]
    return np.stack([a, b, c, d])
