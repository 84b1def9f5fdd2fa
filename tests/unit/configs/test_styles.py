"""The style files: each loads, asks for what exists, and is refused by name when it does not."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest

from configs.styles import SUBJECT, DiffusionRecipe, LocalRecipe, Style, load_styles
from deployments.algorithms.styles import FILTERS
from deployments.engines.drawn.styles import LocalStylist
from deployments.errors import InvalidRequest
from tests.support.builders import a_photo

_ASKED_FOR = {
    "ghibli",
    "watercolor",
    "oil",
    "pencil",
    "cartoon",
    "pop-art",
    "pixel-art",
    "anime",
    "clay",
    "cyberpunk",
}
_MODULES = {"canny", "softedge_hed", "depth_midas", "mediapipe_face"}

every_style = pytest.mark.parametrize("style", load_styles().values(), ids=lambda style: style.name)


def _a_style(look: str = "oil", options: Mapping[str, Any] | None = None, name: str = "mine") -> Style:
    return Style(
        name=name,
        title="Mine",
        description="",
        diffusion=DiffusionRecipe(prompt="{subject}"),
        local=LocalRecipe(look=look, options=dict(options or {})),
    )


def test_every_style_that_was_asked_for_has_a_file() -> None:
    assert set(load_styles()) >= _ASKED_FOR


def test_every_filter_has_a_style() -> None:
    assert {style.local.look for style in load_styles().values()} == set(FILTERS)


@every_style
def test_style_file_is_complete(style: Style) -> None:
    assert style.title
    assert style.description.endswith(".")
    assert style.diffusion.prompt.count(SUBJECT) == 1
    assert style.diffusion.negative_prompt
    assert style.diffusion.controls
    assert {control.module for control in style.diffusion.controls} <= _MODULES
    modules = [control.module for control in style.diffusion.controls]
    assert len(modules) == len(set(modules))


@every_style
def test_style_is_drawn_by_the_local_engine(style: Style) -> None:
    photo = a_photo("astronaut", 64)
    drawn = LocalStylist().render(photo, style, seed=1)
    assert drawn.shape == photo.shape
    assert drawn.dtype == np.uint8
    assert np.abs(drawn.astype(int) - photo).mean() > 5


def test_prompts_and_recipes_differ_from_style_to_style() -> None:
    styles = load_styles().values()
    assert len({style.diffusion.prompt for style in styles}) == len(styles)
    assert len({style.local.look for style in styles}) == len(styles)


def test_own_strength_is_used_when_none_is_given() -> None:
    style = _a_style()
    photo = a_photo("coffee", 48)
    stylist = LocalStylist({style.name: style})
    own = stylist.render(photo, style, seed=1)
    assert np.array_equal(own, stylist.render(photo, style, style.local.strength, seed=1))
    assert np.array_equal(stylist.render(photo, style, 0, seed=1), photo)


def test_options_of_a_file_reach_the_look() -> None:
    photo = a_photo("coffee", 64)
    plain, broad = _a_style(), _a_style(options={"brush": 2.5})
    one = LocalStylist({"mine": plain}).render(photo, plain)
    assert not np.array_equal(one, LocalStylist({"mine": broad}).render(photo, broad))


def test_unknown_look_is_refused_by_name() -> None:
    with pytest.raises(ValueError, match=r"style mine: there is no look 'vaporwave', only .*oil"):
        LocalStylist({"mine": _a_style("vaporwave")})


@pytest.mark.parametrize(
    ("options", "named"),
    [
        ({"sparkle": 1}, "option 'sparkle' of look 'oil'"),
        ({"brush": 40}, "option 'brush' of look 'oil'"),
        ({"brush": "broad"}, "option 'brush' of look 'oil'"),
        ({"impasto": -0.1}, "option 'impasto' of look 'oil'"),
    ],
)
def test_wrong_option_is_refused_by_name(options: Mapping[str, Any], named: str) -> None:
    with pytest.raises(ValueError, match=f"style mine: {named}"):
        LocalStylist({"mine": _a_style(options=options)})


def test_style_that_the_engine_was_not_built_with_is_refused() -> None:
    with pytest.raises(InvalidRequest, match="There is no style 'other'"):
        LocalStylist({"mine": _a_style()}).render(a_photo("coffee", 32), _a_style(name="other"))
