"""Infotexts: writing and reading."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from deployments.algorithms.a1111.infotext import read_infotext, write_infotext

PARAMETERS = {"Steps": 20, "Sampler": "Euler a", "CFG scale": 7.5, "Size": "512x768", "Model": "tiny"}
LINES = st.text(st.characters(codec="utf-8", exclude_categories=["C", "Z"]), min_size=1).filter(
    lambda text: not text.startswith("Negative prompt:")
)


def test_an_infotext_has_prompt_negative_prompt_and_parameters_a_line_each() -> None:
    assert write_infotext("a cat", "blurry", PARAMETERS) == (
        "a cat\nNegative prompt: blurry\nSteps: 20, Sampler: Euler a, CFG scale: 7.5, Size: 512x768, Model: tiny"
    )


def test_an_infotext_leaves_out_an_empty_negative_prompt_and_parameters_that_are_none() -> None:
    assert write_infotext("a cat", "", {"Steps": 1, "ENSD": None}) == "a cat\nSteps: 1"


def test_infotext_values_that_would_be_misread_are_quoted() -> None:
    text = write_infotext("", "", {"ControlNet 0": 'Module: canny, Model: "x"\ny', "Steps": 1, "Seed": 2})
    assert text.startswith('ControlNet 0: "Module: canny, Model: \\"x\\"\\ny", Steps')
    assert read_infotext(text)["ControlNet 0"] == 'Module: canny, Model: "x"\ny'


@given(LINES, LINES, st.dictionaries(st.sampled_from(["A", "B b", "C-c"]), LINES, min_size=3))
def test_an_infotext_is_read_back_as_written(prompt: str, negative: str, values: dict[str, str]) -> None:
    read = read_infotext(write_infotext(prompt, negative, values))
    assert (read["Prompt"], read["Negative prompt"]) == (prompt, negative)
    assert {key: read.get(key, f"{read.get(key + '-1')}x{read.get(key + '-2')}") for key in values} == values


@given(st.text())
def test_any_text_can_be_read_as_an_infotext(text: str) -> None:
    assert isinstance(read_infotext(text)["Prompt"], str)


def test_a_size_in_an_infotext_is_split_and_missing_values_are_the_defaults() -> None:
    read = read_infotext(write_infotext("a", "", PARAMETERS))
    assert (read["Size-1"], read["Size-2"], read["Clip skip"], read["RNG"]) == ("512", "768", "1", "GPU")


def test_a_last_infotext_line_of_few_pairs_belongs_to_the_prompt() -> None:
    assert read_infotext("a cat\nstyle: soft")["Prompt"] == "a cat\nstyle: soft"


def test_prompts_in_an_infotext_may_have_several_lines() -> None:
    read = read_infotext(write_infotext("a\nb", "c\nd", PARAMETERS))
    assert (read["Prompt"], read["Negative prompt"]) == ("a\nb", "c\nd")
