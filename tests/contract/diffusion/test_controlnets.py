"""ControlNets' weights, modes and windows, against the networks called one by one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("diffusers")

import torch
from diffusers import ControlNetModel

from deployments.contracts.diffusion import ControlHint, ControlMode, Hires
from deployments.engines.diffusion.controlnets import ControlUnit, add_residuals, residual_weights
from deployments.engines.diffusion.engine import DiffusionEngine
from tests.support.diffusing import HINT, SIZE, a_request, an_engine, difference, make, make_one
from tests.support.tiny_diffusion import CONTROLNETS

NAMES = [CONTROLNETS["canny"], CONTROLNETS["depth"]]
SOFT = [0.0994, 0.1205, 0.1461, 0.1770, 0.2146, 0.2601, 0.3153, 0.3822, 0.4633, 0.5615, 0.6806, 0.8250, 1.0]
"""As sd-webui-controlnet has them for the thirteen residuals of SD 1.5."""


@pytest.fixture(scope="module")
def nets(tiny_models: Path) -> list[Any]:
    return [ControlNetModel.from_pretrained(tiny_models / "controlnets" / name).eval() for name in NAMES]


@pytest.fixture(scope="module")
def engine(tiny_models: Path) -> DiffusionEngine:
    return an_engine(tiny_models)


def the_inputs() -> tuple[Any, Any, Any, list[Any]]:
    """Make sample, timestep, embeddings and hints of a guided batch of two images."""
    generator = torch.Generator().manual_seed(0)
    sample = torch.randn((4, 4, 8, 8), generator=generator)
    words = torch.randn((4, 77, 32), generator=generator)
    hints = [torch.rand((4, 3, SIZE, SIZE), generator=generator) for _ in NAMES]
    return sample, torch.tensor(500), words, hints


def residuals_of(net: Any, hint: Any) -> list[Any]:
    sample, timestep, words, _ = the_inputs()
    with torch.no_grad():
        down, middle = net(sample, timestep, words, hint, conditioning_scale=1.0, return_dict=False)
    return [*down, middle]


def together(
    nets: Sequence[Any], units: Sequence[ControlUnit], active: Sequence[float] = (1.0, 1.0)
) -> list[Any] | None:
    sample, timestep, words, hints = the_inputs()
    with torch.no_grad():
        chosen = [(net, unit, hint) for net, unit, hint, one in zip(nets, units, hints, active, strict=False) if one]
        own = [list(part) for part in zip(*chosen, strict=True)] or [[], [], []]
        return add_residuals(own[0], own[1], (sample, timestep, words), own[2], unconditional=2)


def a_unit(weight: float = 1.0, mode: ControlMode = "balanced") -> ControlUnit:
    return ControlUnit("any", weight, 0.0, 1.0, mode)


def test_balanced_adds_every_residual_by_the_weight(nets: list[Any]) -> None:
    hints = the_inputs()[3]
    expected = [
        0.5 * a + 2.0 * b for a, b in zip(residuals_of(nets[0], hints[0]), residuals_of(nets[1], hints[1]), strict=True)
    ]
    for ours, theirs in zip(together(nets, [a_unit(0.5), a_unit(2.0)]) or [], expected, strict=True):
        torch.testing.assert_close(ours, theirs)


def test_my_prompt_is_more_important_fades_towards_the_input(nets: list[Any]) -> None:
    hints = the_inputs()[3]
    found = together(nets[:1], [a_unit(0.8, "prompt")], [1.0]) or []
    plain = residuals_of(nets[0], hints[0])
    assert len(plain) == len(SOFT)
    for ours, residual, share in zip(found, plain, SOFT, strict=True):
        torch.testing.assert_close(ours, residual * 0.8 * share, rtol=1e-3, atol=1e-5)


def test_controlnet_is_more_important_leaves_the_unconditional_half_alone(nets: list[Any]) -> None:
    hints = the_inputs()[3]
    found = together(nets[:1], [a_unit(1.0, "control")], [1.0]) or []
    for ours, residual, share in zip(found, residuals_of(nets[0], hints[0]), SOFT, strict=True):
        assert not ours[:2].any()
        torch.testing.assert_close(ours[2:], residual[2:] * share, rtol=1e-3, atol=1e-5)


def test_a_network_that_pools_says_the_same_of_all_places_and_nothing_of_the_unconditional_half(
    nets: list[Any], tiny_models: Path
) -> None:
    net = ControlNetModel.from_pretrained(tiny_models / "controlnets" / NAMES[0], global_pool_conditions=True).eval()
    found = together([net], [a_unit(0.8)], [1.0]) or []
    assert len(found) == len(SOFT)
    for ours, residual in zip(found, residuals_of(nets[0], the_inputs()[3][0]), strict=True):
        assert not ours[:2].any()
        torch.testing.assert_close(ours[2:], residual[2:].mean(dim=(2, 3), keepdim=True) * 0.8)


def test_networks_outside_their_window_are_not_asked(nets: list[Any]) -> None:
    hints = the_inputs()[3]
    found = together(nets, [a_unit(), a_unit()], [0.0, 1.0]) or []
    torch.testing.assert_close(found[-1], residuals_of(nets[1], hints[1])[-1])
    assert together(nets, [a_unit(), a_unit()], [0.0, 0.0]) is None


def test_the_weights_are_those_of_the_extension() -> None:
    np.testing.assert_allclose(residual_weights(13, 1.0, "prompt"), SOFT, atol=5e-5)
    assert residual_weights(13, 0.7, "balanced") == [0.7] * 13


@pytest.mark.parametrize(
    ("start", "end", "steps", "calls"),
    [
        (0.0, 0.5, 20, range(12)),
        (0.0, 1.0, 20, range(20)),
        (0.5, 1.0, 20, range(11, 20)),
        (0.25, 0.75, 20, range(6, 17)),
        (0.0, 0.0, 20, range(2)),
        (0.5, 0.5, 20, range(11, 12)),
        (1.0, 1.0, 20, range(0)),
        (0.0, 0.5, 7, range(5)),
    ],
)
def test_the_window_is_inclusive_as_in_a1111(
    engine: DiffusionEngine, monkeypatch: pytest.MonkeyPatch, start: float, end: float, steps: int, calls: range
) -> None:
    """A call acts unless the share of calls before it, without the last, lies outside start to end."""
    asked: list[int] = []
    count = [0]
    forward, predict = ControlNetModel.forward, engine_unet(engine).forward

    def counting(self: Any, *args: Any, **options: Any) -> Any:
        asked.append(count[0])
        return forward(self, *args, **options)

    def predicting(*args: Any, **options: Any) -> Any:
        count[0] += 1
        return predict(*args, **options)

    monkeypatch.setattr(ControlNetModel, "forward", counting)
    monkeypatch.setattr(engine_unet(engine), "forward", predicting)
    make(engine, a_request(steps=steps, controls=(ControlHint(NAMES[0], HINT, start=start, end=end),)))
    assert asked == list(calls)


def engine_unet(engine: DiffusionEngine) -> Any:
    with engine.models.cache.lease() as lease:
        return engine.models.checkpoint(lease, "").unet


def test_each_control_mode_makes_another_picture(engine: DiffusionEngine) -> None:
    control = ControlHint(NAMES[0], HINT)
    pictures = [make_one(engine, controls=(replace(control, mode=mode),)) for mode in ("balanced", "prompt", "control")]
    for one, other in ((0, 1), (0, 2), (1, 2)):
        assert difference(pictures[one], pictures[other]) > 1


def test_a_controlnet_of_weight_zero_changes_nothing(engine: DiffusionEngine) -> None:
    without = make_one(engine)
    np.testing.assert_array_equal(make_one(engine, controls=(ControlHint(NAMES[0], HINT, weight=0.0),)), without)


def test_four_controlnets_act_at_once(engine: DiffusionEngine) -> None:
    modes: tuple[ControlMode, ...] = ("control", "prompt", "prompt", "prompt")
    controls = tuple(ControlHint(name, HINT, mode=mode) for name, mode in zip(CONTROLNETS.values(), modes, strict=True))
    assert difference(make_one(engine, controls=controls), make_one(engine, controls=controls[:3])) > 1


def test_a_controlnet_name_with_its_short_hash_is_found(engine: DiffusionEngine) -> None:
    (listed,) = [model for model in engine.list_models().controlnets if model.name == NAMES[0]]
    for name in (listed.alias, f"{NAMES[0]} [deadbeef]", NAMES[0].upper(), "canny"):
        assert make_one(engine, controls=(ControlHint(name, HINT),)).shape == (SIZE, SIZE, 3)


@pytest.mark.parametrize("passes", ["first", "hires"])
def test_a_unit_may_act_in_one_pass_only(engine: DiffusionEngine, passes: Any) -> None:
    hires = Hires(96, 96, 3, 0.7)
    control = ControlHint(NAMES[1], HINT)
    both, one, none = (
        make_one(engine, hires=hires, controls=controls)
        for controls in ((control,), (replace(control, passes=passes),), ())
    )
    assert min(difference(one, both), difference(one, none)) > 1


def test_thin_lines_fade_in_the_second_pass() -> None:
    canny, depth = ControlHint(NAMES[0], HINT), ControlHint(NAMES[1], HINT)
    assert (ControlUnit.of(canny).mode, ControlUnit.of(canny, hires=True).mode) == ("balanced", "prompt")
    assert ControlUnit.of(depth, hires=True).mode == "balanced"


def test_what_an_inpaint_network_makes_anew_is_minus_one_in_its_hint(engine: DiffusionEngine) -> None:
    mask = np.zeros((SIZE, SIZE), np.uint8)
    mask[:, : SIZE // 2] = 255
    hint = ControlHint(NAMES[0], HINT)
    grey = HINT.copy()
    grey[mask > 0] = 0
    plain, black, masked = (
        make_one(engine, controls=(one,)) for one in (hint, replace(hint, image=grey), replace(hint, mask=mask))
    )
    assert difference(plain, masked) > 0
    assert difference(black, masked) > 0  # -1 is not black
    other = HINT.copy()
    other[mask > 0] = 77
    again = make_one(engine, controls=(replace(hint, image=other, mask=mask),))
    assert difference(masked, again) == 0  # whatever lies under the mask is not seen
