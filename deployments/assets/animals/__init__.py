"""Animals, one folder each: an `animal.toml` and the SVG parts that it is drawn with.

A new animal is a new folder; nothing else knows their names.
"""

from __future__ import annotations

import tomllib
from functools import cache
from importlib import resources

from pydantic import BaseModel, ConfigDict, Field, model_validator

from deployments.assets.animals.drawing import Drawing


class _AnimalModel(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class AnimalPrompts(_AnimalModel):
    """Prompts that ask an image model for the animal."""

    character: str
    """The animal's head on the person's body."""
    overlay: str
    """The person's face with the animal's features."""
    negative: str = ""
    strength: float = Field(0.9, ge=0, le=1)
    """Strength for image models where a request names none, a distance from the photograph, 0 to 1."""


class Animal(_AnimalModel):
    """One animal: its prompts, drawing and SVG parts."""

    name: str
    title: str
    description: str
    prompts: AnimalPrompts
    drawing: Drawing
    parts: dict[str, str] = Field(default_factory=dict, repr=False)
    """SVG files of the folder, name -> text."""

    @model_validator(mode="after")
    def _parts_match(self) -> Animal:
        named = {layer.svg for layer in self.drawing.layers}
        if missing := named - set(self.parts):
            raise ValueError(f"no such file: {', '.join(sorted(missing))}")
        if idle := set(self.parts) - named:
            raise ValueError(f"no layer draws {', '.join(sorted(idle))}")
        return self


@cache
def load_animals() -> dict[str, Animal]:
    """Load all animals by name, in alphabetical order. Raises `ValueError` that names the file when one makes no
    sense."""
    animals: dict[str, Animal] = {}
    for folder in sorted(resources.files(__package__).iterdir(), key=lambda folder: folder.name):
        file = folder / "animal.toml"
        if not file.is_file():
            continue
        try:
            parts = {part.name: part.read_text("utf-8") for part in folder.iterdir() if part.name.endswith(".svg")}
            animals[folder.name] = Animal(name=folder.name, parts=parts, **tomllib.loads(file.read_text("utf-8")))
        except (ValueError, TypeError) as error:
            raise ValueError(f"deployments/assets/animals/{folder.name}: {error}") from error
    return animals
