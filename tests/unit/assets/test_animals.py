"""Animals: the form of their folders and the drawings of the repository."""

from __future__ import annotations

import tomllib
from typing import Any

import numpy as np
import pytest
from pydantic import ValidationError

from deployments.algorithms.avatars.layers import paint
from deployments.algorithms.avatars.svg import view_box
from deployments.assets.animals import Animal, load_animals
from deployments.assets.animals.drawing import Drawing
from deployments.engines.drawn.avatars import LocalAvatarArtist

_ANIMALS = list(load_animals().values())
_SQUARE = '<svg xmlns="http://www.w3.org/2000/svg" viewBox="-2 -2 4 4"><rect x="-1" y="-1" width="2" height="2"/></svg>'


def an_animal(text: str = _SQUARE, **layer: Any) -> Animal:
    form = tomllib.loads('title = "T"\ndescription = "D"\nprompts = { character = "c", overlay = "o" }')
    drawing = {"layers": [{"svg": "head.svg", **layer}]}
    return Animal(name="blob", parts={"head.svg": text}, drawing=Drawing.model_validate(drawing), **form)


@pytest.mark.parametrize("animal", _ANIMALS, ids=lambda animal: animal.name)
@pytest.mark.parametrize("mode", ["overlay", "character"])
def test_an_animal_has_something_to_see_in_both_modes(animal: Animal, mode: str) -> None:
    layers = [layer for layer in animal.drawing.layers if mode in layer.modes]

    for layer in layers:
        colours = paint(layer, animal.parts[layer.svg], 24).colours
        assert colours[..., 3].max() > 100, f"{layer.svg} shows nothing"
        border = np.concatenate([colours[0], colours[-1], colours[:, 0], colours[:, -1]])[:, 3]
        assert layer.tint or border.max() < 140, f"{layer.svg} is cut off by its viewBox"


@pytest.mark.parametrize("animal", _ANIMALS, ids=lambda animal: animal.name)
def test_parts_of_an_animal_can_be_mirrored(animal: Animal) -> None:
    for name, text in animal.parts.items():
        box = view_box(text)
        assert box.x == pytest.approx(-box.width / 2), f"{name} reaches farther to one side"


@pytest.mark.parametrize("animal", _ANIMALS, ids=lambda animal: animal.name)
def test_only_an_overlay_tints_and_roots(animal: Animal) -> None:
    assert all(layer.modes == ("overlay",) for layer in animal.drawing.layers if layer.tint)


def test_a_layer_without_its_file_is_refused() -> None:
    with pytest.raises(ValidationError, match=r"no such file: ears\.svg"):
        an_animal(svg="ears.svg")


def test_a_file_that_no_layer_draws_is_refused() -> None:
    with pytest.raises(ValidationError, match=r"no layer draws tail\.svg"):
        Animal.model_validate(an_animal().model_dump(by_alias=True) | {"parts": {"head.svg": _SQUARE, "tail.svg": ""}})


def test_a_misspelt_field_is_refused() -> None:
    with pytest.raises(ValidationError, match="depht"):
        an_animal(depht=1)


def test_fur_without_combs_is_refused() -> None:
    with pytest.raises(ValidationError, match="need combs"):
        an_animal(coat={"kind": "fur"})


def test_an_animal_without_an_overlay_is_refused() -> None:
    with pytest.raises(ValidationError, match="no layer for overlay"):
        an_animal(modes=["character"])


@pytest.mark.parametrize(
    ("svg", "problem"),
    [
        ('<svg xmlns="http://www.w3.org/2000/svg" width="9" height="9"/>', "viewBox"),
        ('<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 900 900"/>', "viewBox"),
        (_SQUARE.replace("</svg>", ""), ""),
    ],
    ids=["no viewBox", "pixels instead of head units", "not closed"],
)
def test_an_svg_that_cannot_be_drawn_is_named_when_the_engine_starts(svg: str, problem: str) -> None:
    with pytest.raises(ValueError, match=rf"deployments/assets/animals/blob/head\.svg: .*{problem}"):
        LocalAvatarArtist({"blob": an_animal(svg)})
