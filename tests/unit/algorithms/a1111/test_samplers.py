"""Tables of samplers and schedulers, and the arithmetic of img2img steps."""

from __future__ import annotations

import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deployments.algorithms.a1111.samplers import (
    AUTOMATIC,
    SAMPLERS,
    SCHEDULERS,
    choose_sampler,
    count_calls,
    strength_for,
)


def test_the_sampler_tables_need_no_torch() -> None:
    code = (
        "import sys, deployments.algorithms.a1111.samplers, deployments.algorithms.a1111.prompts.extra_networks\n"
        "assert not {'torch', 'diffusers', 'transformers'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)


@pytest.mark.parametrize(
    ("asked", "sampler", "scheduler"),
    [
        (("Euler", ""), "Euler", "automatic"),
        (("Euler a", "Karras"), "Euler a", "karras"),
        (("k_euler_a", "automatic"), "Euler a", "automatic"),
        (("DPM++ 2M Karras", ""), "DPM++ 2M", "karras"),
        (("DPM++ 2M SDE Karras", "Automatic"), "DPM++ 2M SDE", "karras"),
        (("DPM++ 2M SDE Heun Exponential", ""), "DPM++ 2M SDE Heun", "exponential"),
        (("DPM++ 2M SDE Heun", ""), "DPM++ 2M SDE Heun", "automatic"),
        (("DPM++ 2M SGM Uniform", ""), "DPM++ 2M", "sgm_uniform"),
        (("DPM++ 2M SGMUniform", ""), "DPM++ 2M", "sgm_uniform"),
        (("DPM++ 2M align_your_steps", "Karras"), "DPM++ 2M", "align_your_steps"),
        (("euler A", "KARRAS"), "Euler a", "karras"),
        (("DDIM", "DDIM"), "DDIM", "ddim"),
    ],
)
def test_sampler_names_aliases_and_joined_names_are_understood(
    asked: tuple[str, str], sampler: str, scheduler: str
) -> None:
    choice = choose_sampler(*asked)
    assert (choice.sampler.name, choice.scheduler.name, choice.warnings) == (sampler, scheduler, ())


@pytest.mark.parametrize("name", ["", "Euler b", "Euler  a", "Karras", " Karras", "Warp Karras"])
def test_an_unknown_sampler_becomes_dpmpp_2m_and_says_so(name: str) -> None:
    choice = choose_sampler(name)
    assert choice.sampler.name == "DPM++ 2M"
    assert len(choice.warnings) == 1


def test_an_unknown_scheduler_becomes_automatic_and_says_so() -> None:
    choice = choose_sampler("Euler", "warp")
    assert choice.scheduler.name == "automatic"
    assert choice.warnings == ('There is no scheduler "warp": Automatic was used.',)


def test_every_sampler_of_the_table_is_the_one_that_works() -> None:
    for sampler in SAMPLERS:
        assert choose_sampler(sampler.name) == (sampler, AUTOMATIC, ())


def test_sampler_and_scheduler_names_are_unambiguous() -> None:
    samplers = [{name.casefold() for name in (sampler.name, *sampler.aliases)} for sampler in SAMPLERS]
    assert len(set().union(*samplers)) == sum(len(names) for names in samplers)
    schedulers = [{s.name.casefold(), s.label.casefold(), *(a.casefold() for a in s.aliases)} for s in SCHEDULERS]
    assert len(set().union(*schedulers)) == sum(len(names) for names in schedulers)
    assert {sampler.scheduler for sampler in SAMPLERS} <= {scheduler.name for scheduler in SCHEDULERS}


def test_second_order_samplers_count_two_calls_a_step() -> None:
    assert [count_calls(name, 20) for name in ("Euler a", "Heun", "DPM++ SDE Karras", "nonsense")] == [20, 40, 40, 20]


@pytest.mark.parametrize(("strength", "runs"), [(0.3, 7), (0.5, 11), (0.75, 16), (1.0, 20), (0.0, 1)])
def test_img2img_runs_as_many_steps_as_upstream(strength: float, runs: int) -> None:
    assert strength_for(strength, 20).runs == runs


def test_exact_steps_of_img2img_are_a_share_of_a_longer_schedule() -> None:
    assert strength_for(0.5, 20, exact_steps=True)[::2] == (40, 20)
    assert strength_for(1.0, 20, exact_steps=True)[::2] == (20, 20)
    assert strength_for(0.0, 20, exact_steps=True).runs == 0


@given(st.floats(0, 1), st.integers(1, 150), st.booleans())
def test_diffusers_rounds_to_the_same_steps_and_schedules_are_bounded(strength: float, steps: int, exact: bool) -> None:
    partial = strength_for(strength, steps, exact)
    if partial.runs:
        assert min(int(partial.steps * partial.strength), partial.steps) == partial.runs
    assert 0 <= partial.strength <= 1
    assert 1 <= partial.steps <= 1000
    assert partial.runs <= steps
