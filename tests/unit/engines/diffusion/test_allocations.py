"""Limit on the memory of networks that are built by the sizes in a file."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

pytest.importorskip("torch")

import torch

from deployments.engines.diffusion.allocations import allocating_at_most

MAKERS = (
    lambda: torch.nn.Linear(512, 512, bias=False),
    lambda: torch.empty(512, 512),
    lambda: torch.zeros((1, 512, 512)),
    lambda: torch.ones(1024, 512, dtype=torch.float16),
    lambda: torch.full((512, 512), 1.0),
    lambda: torch.randn(512, 512),
)
"""Each makes 2**20 bytes."""


@pytest.mark.parametrize("make", MAKERS)
def test_a_block_that_makes_larger_tensors_ends_before_it_has_them(make: Callable[[], Any]) -> None:
    with allocating_at_most(2**20):
        make()
    with pytest.raises(MemoryError), allocating_at_most(2**20 - 1):
        make()


def test_tensors_of_a_block_count_together() -> None:
    with allocating_at_most(2**21 - 1):
        MAKERS[0]()
        with pytest.raises(MemoryError):
            MAKERS[0]()


def test_the_limit_ends_with_its_block() -> None:
    with allocating_at_most(0):
        pass
    assert torch.zeros(10**6).numel() == 10**6
