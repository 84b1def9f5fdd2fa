"""Drawing of an animal: layers of SVG parts, what grows on them and how they stand out of the face.

All lengths are in head space: the origin lies between the eyes, the unit is the distance between them, y points down,
depth towards the viewer. What is said of the left (negative x) side is mirrored to the right.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

Mode = Literal["overlay", "character"]
_Length = Annotated[float, Field(ge=-8, le=8)]
Place = tuple[_Length, _Length]
Share = Annotated[float, Field(ge=0, le=1)]
Colour = Annotated[str, Field(pattern=r"^#[0-9a-fA-F]{6}$")]


class _Form(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Comb(_Form):
    """A hair; those between combs are blended from the nearest."""

    at: Place
    """Position of its root."""
    hair: Place
    """Vector from its root to its tip."""


class Coat(_Form):
    """Fur, feathers or skin of a layer, in the colours of its SVG."""

    kind: Literal["fur", "feathers", "skin"] = "fur"
    combs: tuple[Comb, ...] = ()
    """Directions and lengths. Needed unless `kind` is skin."""
    density: float = Field(1.0, gt=0, le=4)
    width: float = Field(1.0, gt=0, le=6)
    """Width of a hair or a feather, times the usual."""
    unruly: Share = 0.3
    """Variation of the hairs' directions."""
    contrast: Share = 0.5
    """Contrast between the hairs and from their roots to their tips."""
    shine: Share = 0.15
    """Highlights on what is turned to the light."""
    from_: Place = Field((0.0, 0.4), alias="from")
    """Origin of the coat: hairs nearer to it lie over those farther away."""

    @model_validator(mode="after")
    def _has_combs(self) -> Coat:
        if self.kind != "skin" and not self.combs:
            raise ValueError("fur and feathers need combs")
        return self


class Dome(_Form):
    """A bump, half an ellipsoid with a soft foot."""

    at: Place
    radius: Place
    height: float = Field(ge=-2, le=3)


class Layer(_Form):
    """One SVG part of an animal."""

    svg: str = Field(pattern=r"^[a-z0-9-]+\.svg$")
    modes: tuple[Mode, ...] = ("overlay", "character")
    tint: bool = False
    """Whether it tints the skin of the face only, under the light and the wrinkles of the photograph. Otherwise
    opaque."""
    opacity: Share = 1.0
    depth: float = Field(0.0, ge=-2, le=2)
    """Depth of the whole layer: ears lie behind the face, noses before it. Moves with yaw and pitch."""
    domes: tuple[Dome, ...] = ()
    coat: Coat | None = None
    """None: the SVG as it is."""
    root: tuple[_Length, _Length] | None = None
    """In an overlay, the y between which a part goes down into the person's hair."""
    shadow: Share = 0.0
    """Darkness of the shade on what lies below."""
    follow: Share = 1.0
    """Share to which nose, mouth and chin of the person move and stretch it."""
    rigid_at: _Length | None = None
    """Height y at which the person's face moves it as one, instead of stretching it: noses and beaks."""


class Eyes(_Form):
    """Openings through which the person's own eyes are seen."""

    enlarge: float = Field(1.0, ge=0.8, le=1.8)
    rim: Colour = "#1c1412"
    rim_width: float = Field(0.05, ge=0, le=0.3)
    rim_opacity: Share = 0.9
    lid: float = Field(0.0, ge=-0.1, le=0.3)
    """Width of the lids seen around the eye."""
    open: Share = 0.0
    """Opening from the person's lids, 0, to round ones, 1; squinting eyes are opened, the coat darkens the rim."""
    move: Place = (0.0, 0.0)
    """Shift of the left eye; the right one's is mirrored."""


class CharacterEyes(Eyes):
    """Eyes of a character's head: larger, opened and a little apart."""

    enlarge: float = Field(1.6, ge=0.8, le=2.2)
    open: Share = 0.55
    move: Place = (-0.09, 0.0)


class Drawing(_Form):
    """An animal's layers and eyes."""

    layers: tuple[Layer, ...] = Field(min_length=1)
    """Layers, the farthest first."""
    overlay: Eyes = Eyes(rim_width=0.03, rim_opacity=0.5)
    character: CharacterEyes = CharacterEyes()

    @model_validator(mode="after")
    def _both_modes(self) -> Drawing:
        for mode in ("overlay", "character"):
            if not any(mode in layer.modes for layer in self.layers):
                raise ValueError(f"no layer for {mode}")
        return self
