"""The script "X/Y/Z plot": one request made with many values of up to three of its fields, laid out as a table."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from pydantic import TypeAdapter, ValidationError

from deployments.algorithms.a1111.value_lists import TooMany
from deployments.contracts.diffusion import MAX_SEED, ModelCatalogue
from serve_app.services.sdapi.errors import bad_field
from serve_app.services.sdapi.lenient_types import Int, Switch
from serve_app.services.sdapi.order import GenerationOrder, SdapiKind
from serve_app.services.sdapi.xyz_axes import AXES, NOTHING, Axis

_DEFAULTS = (1, "", None, 0, "", None, 0, "", None, True, False, False, False, False, False, False, 0, False)
"""`script_args`: type, values and chosen values of each axis, flags, margin in pixels, whether values are text."""
_MOST_MARGIN = 500
_SWITCH: TypeAdapter[bool] = TypeAdapter(Switch)
_INT: TypeAdapter[int] = TypeAdapter(Int)
_SEEDS = ("Seed", "Var. seed")


@dataclass(frozen=True, slots=True)
class PlotAxis:
    """An axis with its values."""

    axis: Axis
    values: tuple[Any, ...]
    given: str
    """The values as they were sent."""

    @property
    def names(self) -> list[str]:
        """Names of the values, for the legend."""
        return [""] if self.axis is NOTHING else [self.axis.name(value) for value in self.values]


@dataclass(frozen=True, slots=True)
class Cell:
    """A cell of the table and the order that fills it."""

    place: tuple[int, int, int]
    """Column, row and table."""
    order: GenerationOrder


@dataclass(frozen=True, slots=True)
class XyzPlot:
    """A plot: `len(z)` tables of `len(y)` rows and `len(x)` columns."""

    x: PlotAxis
    y: PlotAxis
    z: PlotAxis
    margin: int
    legend: bool
    lone_images: bool
    sub_grids: bool
    keep_random: bool
    """Whether a seed of -1 is another one in each cell."""
    vary: tuple[bool, bool, bool]
    """Whether seeds count up along x, y and z."""
    drawn: int
    """What random seeds are drawn from."""

    @property
    def axes(self) -> tuple[PlotAxis, PlotAxis, PlotAxis]:
        return self.x, self.y, self.z

    @property
    def parameters(self) -> dict[str, str]:
        """What the infotext of the tables says of the plot."""
        said = {"Script": "X/Y/Z plot"}
        for letter, axis in zip("XYZ", self.axes, strict=True):
            if axis.axis is not NOTHING:
                said |= {f"{letter} Type": axis.axis.label, f"{letter} Values": axis.given}
                if axis.axis.label in _SEEDS:
                    said[f"Fixed {letter} Values"] = ", ".join(map(str, axis.values))
        return said

    @classmethod
    def of(cls, kind: SdapiKind, arguments: Sequence[Any], most: int) -> XyzPlot:
        """Parse `script_args`, as `with_draw` made them.

        Raises `FieldRefused` for values that are none, axes that are not served, and more than `most` cells.
        """
        *given, drawn = arguments
        try:
            flags = [_SWITCH.validate_python(value) for value in given[9:16]]
            margin, is_text = _INT.validate_python(given[16]), _SWITCH.validate_python(given[17])
        except ValidationError:
            raise _wrong("margins are numbers, and the others are true or false") from None
        if not 0 <= margin <= _MOST_MARGIN:
            raise _wrong(f"margins are 0 to {_MOST_MARGIN} pixels")
        draw = None if flags[3] else random.Random(drawn).randrange
        x, y, z = (_axis(kind, given[place : place + 3], is_text, most, draw) for place in (0, 3, 6))
        if len(x.values) * len(y.values) * len(z.values) > most:
            raise _too_many(most)
        legend, lone_images, sub_grids, keep_random, *vary = flags
        return cls(x, y, z, margin, legend, lone_images, sub_grids, keep_random, (vary[0], vary[1], vary[2]), drawn)

    def cells(self, order: GenerationOrder, catalogue: ModelCatalogue) -> list[Cell]:
        """Make the orders of all cells, x changing first. Raises `WebUiError` for values that a request cannot have."""
        draw = random.Random(self.drawn)
        columns, rows = (len(axis.values) if on else 1 for axis, on in zip(self.axes[:2], self.vary[:2], strict=True))
        made = []
        for number in range(len(self.x.values) * len(self.y.values) * len(self.z.values)):
            rest, ix = divmod(number, len(self.x.values))
            iz, iy = divmod(rest, len(self.y.values))
            cell = order
            for axis, place in zip(self.axes, (ix, iy, iz), strict=True):
                if axis.axis.change is not None:
                    cell = axis.axis.change(cell, axis.values[place], axis.values, catalogue)
            seeds = [draw.randrange(MAX_SEED) if seed == -1 else seed for seed in (cell.body.seed, cell.body.subseed)]
            seeds[0] += ix * self.vary[0] + iy * self.vary[1] * columns + iz * self.vary[2] * columns * rows
            body = cell.body.model_copy(update=dict(zip(("seed", "subseed"), seeds, strict=True)))
            made.append(Cell((ix, iy, iz), replace(cell, body=body)))
        return made


def with_draw(arguments: Sequence[Any]) -> list[Any]:
    """Make `script_args` that mean the same cells whenever they are read: what is random is drawn from the last one."""
    return [*arguments[: len(_DEFAULTS)], *_DEFAULTS[len(arguments) :], random.randrange(MAX_SEED)]


def _axis(kind: str, arguments: Sequence[Any], is_text: bool, most: int, draw: Callable[[int], int] | None) -> PlotAxis:
    place, text, chosen = arguments
    axis = _find(kind, place)
    if axis is NOTHING:
        return PlotAxis(axis, (0,), "")
    if axis.change is None:
        served = ", ".join(one.label for one in AXES[kind] if one.change is not None)
        raise _wrong(f"the axis '{axis.label}' is not served here; there are {served}")
    given = str(text or "")
    if axis.has_choices and chosen and not is_text:
        given = ", ".join(_quoted(str(one)) for one in chosen) if isinstance(chosen, list) else str(chosen)
    try:
        values = axis.values(given, most)
    except TooMany:
        raise _too_many(most) from None
    except (ValueError, OverflowError):
        raise _wrong(f"'{given[:100]}' are no values of the axis '{axis.label}'") from None
    if not values:
        raise _wrong(f"the axis '{axis.label}' has no values")
    if axis.label in _SEEDS and draw is not None:
        values = [draw(MAX_SEED) if value == -1 else value for value in values]
    return PlotAxis(axis, tuple(values), given)


def _find(kind: str, wanted: Any) -> Axis:
    """Find an axis by its place, which is what clients send, or by its label."""
    axes = AXES[kind]
    if isinstance(wanted, int) and not isinstance(wanted, bool) and 0 <= wanted < len(axes):
        return axes[wanted]
    for axis in axes:
        if str(wanted).strip().lower() == axis.label.lower():
            return axis
    raise _wrong(f"there is no axis {str(wanted)[:80]!r}; there are 0 to {len(axes) - 1}, or their names")


def _quoted(value: str) -> str:
    return f'"{value.replace(chr(34), chr(34) * 2)}"' if "," in value or '"' in value else value


def _wrong(message: str) -> Exception:
    return bad_field(f"X/Y/Z plot: {message}", "script_args")


def _too_many(most: int) -> Exception:
    return _wrong(f"at most {most} images are made (DARKROOM_LIMITS__MAX_PLOTTED)")
