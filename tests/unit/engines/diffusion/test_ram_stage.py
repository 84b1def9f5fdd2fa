"""Checkpoints between disk and GPU. Without a GPU the moves are none, but who is kept and who leaves is the same."""

from __future__ import annotations

from typing import Any

import pytest

pytest.importorskip("torch")

import torch

from deployments.engines.diffusion.catalogue import Model
from deployments.engines.diffusion.device import Device
from deployments.engines.diffusion.loading import Checkpoint
from deployments.engines.diffusion.ram_stage import RamStage

DEVICE = Device("cpu", torch.float32)


def a_checkpoint(weights: int = 100) -> Checkpoint:
    unet = torch.nn.Linear(weights, 1, bias=False)
    parts: dict[str, Any] = {"vae": None, "text_encoder": None, "tokenizer": None, "scheduler": None}
    return Checkpoint(Model("checkpoints", "any", None), unet=unet, **parts)


def test_a_checkpoint_comes_back_as_it_left_and_once() -> None:
    stage, one = RamStage(1000, DEVICE), a_checkpoint()
    before = one.unet.weight.clone()
    stage.put("a", one)
    assert stage.take("b") is None
    assert stage.take("a") is one
    assert torch.equal(one.unet.weight, before)
    assert stage.take("a") is None


def test_the_least_recently_used_leave_where_the_budget_is_short() -> None:
    stage = RamStage(1000, DEVICE)
    for name in ("a", "b", "c"):
        stage.put(name, a_checkpoint())
    assert [stage.take(name) is not None for name in ("a", "b", "c")] == [False, True, True]


def test_a_checkpoint_that_is_larger_than_the_budget_is_not_kept() -> None:
    stage = RamStage(1000, DEVICE)
    stage.put("small", a_checkpoint())
    stage.put("large", a_checkpoint(251))
    assert stage.take("large") is None
    assert stage.take("small") is not None


def test_nothing_is_kept_without_a_budget_or_after_closing() -> None:
    off, on = RamStage(0, DEVICE), RamStage(1000, DEVICE)
    for stage in (off, on):
        stage.put("a", a_checkpoint())
    on.close()
    on.put("b", a_checkpoint())
    assert off.take("a") is None
    assert on.take("a") is None
    assert on.take("b") is None
    assert not on.has_room_for(a_checkpoint())


def test_what_else_lies_in_the_budget_leaves_less_room_for_checkpoints() -> None:
    others = [0]
    stage = RamStage(1000, DEVICE, lambda: others[0])
    stage.put("a", a_checkpoint())
    others[0] = 300
    stage.put("b", a_checkpoint())
    assert stage.take("a") is None
    assert stage.take("b") is not None
    others[0] = 700
    stage.put("c", a_checkpoint())
    assert stage.take("c") is None
