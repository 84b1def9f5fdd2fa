"""How an animal is drawn: layers of SVG parts, what grows on them and how they stand out of the face.

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
    """A hair: those between are blended from the nearest."""

    at: Place
    hair: Place
    """From its root to its tip."""


class Coat(_Form):
    """What grows on a layer, in the colours of its SVG."""

    kind: Literal["fur", "feathers", "skin"] = "fur"
    combs: tuple[Comb, ...] = ()
    """Directions and lengths. Needed unless `kind` is skin."""
    density: float = Field(1.0, gt=0, le=4)
    width: float = Field(1.0, gt=0, le=6)
    """Of a hair or a feather, times the usual."""
    unruly: Share = 0.3
    """How far hairs differ in direction."""
    contrast: Share = 0.5
    """Between the hairs and from their roots to their tips."""
    shine: Share = 0.15
    """Highlights on what is turned to the light."""
    from_: Place = Field((0.0, 0.4), alias="from")
    """Hairs nearer to here lie over those farther away."""

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
    svg: str = Field(pattern=r"^[a-z0-9-]+\.svg$")
    modes: tuple[Mode, ...] = ("overlay", "character")
    tint: bool = False
    """Over the skin of the face only, under the light and the wrinkles of the photograph. Otherwise opaque."""
    opacity: Share = 1.0
    depth: float = Field(0.0, ge=-2, le=2)
    """Of the whole layer: ears lie behind the face, noses before it. Moves with yaw and pitch."""
    domes: tuple[Dome, ...] = ()
    coat: Coat | None = None
    """None: the SVG as it is."""
    root: tuple[_Length, _Length] | None = None
    """In an overlay, the y between which a part goes down into the person's hair."""
    shadow: Share = 0.0
    """How dark the shade on what lies below."""
    follow: Share = 1.0
    """How far nose, mouth and chin of the person move and stretch it."""
    rigid_at: _Length | None = None
    """Moved as one, as far as the person's face is off at this y, instead of stretched: noses and beaks."""


class Eyes(_Form):
    """The person's own, seen through openings."""

    enlarge: float = Field(1.0, ge=0.8, le=1.8)
    rim: Colour = "#1c1412"
    rim_width: float = Field(0.05, ge=0, le=0.3)
    rim_opacity: Share = 0.9
    lid: float = Field(0.0, ge=-0.1, le=0.3)
    """How much of the lids is seen around the eye."""
    open: Share = 0.0
    """From the person's lids, 0, to round ones; squinting eyes are opened, the coat darkens the rim."""
    move: Place = (0.0, 0.0)
    """Of the left eye; the right one's is mirrored."""


class CharacterEyes(Eyes):
    enlarge: float = Field(1.6, ge=0.8, le=2.2)
    open: Share = 0.55
    move: Place = (-0.09, 0.0)


class Drawing(_Form):
    layers: tuple[Layer, ...] = Field(min_length=1)
    """The farthest first."""
    overlay: Eyes = Eyes(rim_width=0.03, rim_opacity=0.5)
    character: CharacterEyes = CharacterEyes()

    @model_validator(mode="after")
    def _both_modes(self) -> Drawing:
        for mode in ("overlay", "character"):
            if not any(mode in layer.modes for layer in self.layers):
                raise ValueError(f"no layer for {mode}")
        return self
