"""What an X/Y/Z plot answers: its tables, the images in them where they are wanted, and what is said of both."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from PIL import Image as PillowImage

from deployments.contracts.arrays import Image
from serve_app.services.sdapi.grid import grid
from serve_app.services.sdapi.info import infotext
from serve_app.services.sdapi.order import GenerationOrder
from serve_app.services.sdapi.plan import Plan
from serve_app.services.sdapi.plot_sheet import lay_out
from serve_app.services.sdapi.tasks import FinishedImage
from serve_app.services.sdapi.xyz_plot import XyzPlot

_SHRUNK = "The tables were made smaller, so that their files are no larger than this server takes"


@dataclass(frozen=True, slots=True)
class Filled:
    """An order, its plan, and what became of it."""

    order: GenerationOrder
    plan: Plan
    finished: tuple[FinishedImage, ...]
    """None of them: the client interrupted before."""

    @property
    def texts(self) -> list[str]:
        """Infotexts of its images."""
        return [infotext(self.plan, one, self.order) for one in self.finished]


@dataclass(frozen=True, slots=True)
class Shown:
    """Files of an answer in its order, each with its infotext."""

    files: list[tuple[Image, str]]
    texts: list[str]
    """Infotexts as the answer lists them: maps have none."""
    first: int
    """Place of the first image: before it are grids and tables."""
    last: int
    """Place after the last image: from it on are maps."""
    warnings: list[str] = field(default_factory=list)


def plot_answer(plot: XyzPlot, cells: Sequence[Filled], most_pixels: int) -> Shown:
    """Lay out what a plot answers: its tables, which have at most `most_pixels` pixels, and single images where they
    are wanted."""
    drawn, warnings = tables(plot, cells, most_pixels)
    files = gather(plot, cells, drawn)
    first = len(files) - sum(len(cell.finished) for cell in cells) if plot.lone_images else len(files[:1])
    return Shown(files, [text for _, text in files], first, len(files), warnings)


def tables(plot: XyzPlot, cells: Sequence[Filled], most_pixels: int) -> tuple[list[Image], list[str]]:
    """Draw the table of all cells, and one for each value of z. -> they, warnings

    Cells hold less detail where the table would have more than `most_pixels` pixels.
    """
    shown = [grid([one.image for one in cell.finished]) if cell.finished else None for cell in cells]
    made = [image for image in shown if image is not None]
    if not made:
        return [], []
    height, width = (max(image.shape[axis] for image in made) for axis in (0, 1))
    x, y, z = (axis.names for axis in plot.axes)
    across, down = (len(x) * width + plot.margin * (len(x) - 1)) * len(z), len(y) * height + plot.margin * (len(y) - 1)
    # Names take at most a third of a cell beside, and some lines above, for which half a cell is a safe guess.
    share = math.sqrt(most_pixels / ((across + len(z) * width / 3) * (down + height / 2)))
    if share < 1:
        shown = [_smaller(image, share) for image in shown]
        height, width = max(1, int(height * share)), max(1, int(width * share))
    blank = np.full((height, width, 3), 255, np.uint8)
    drawn = [blank if image is None else image for image in shown]
    size = len(x) * len(y)
    names = (x, y) if plot.legend else ((), ())
    subs = [lay_out(drawn[start : start + size], len(x), names, plot.margin) for start in range(0, len(drawn), size)]
    whole = lay_out(subs, len(subs), (z if plot.legend else (), ())) if len(subs) > 1 else subs[0]
    return [whole, *subs], [_SHRUNK] if share < 1 else []


def _smaller(image: Image | None, share: float) -> Image | None:
    if image is None:
        return None
    size = (max(1, int(image.shape[1] * share)), max(1, int(image.shape[0] * share)))
    return np.asarray(PillowImage.fromarray(image).resize(size, PillowImage.Resampling.LANCZOS), np.uint8)


def gather(plot: XyzPlot, cells: Sequence[Filled], drawn: Sequence[Image]) -> list[tuple[Image, str]]:
    """Choose what is answered: the table, the tables of z and single images where they are wanted, each with its
    infotext."""
    begun = next((cell for cell in cells if cell.finished), None)
    if begun is None:
        return []
    plan = replace(begun.plan, parameters={**begun.plan.parameters, **plot.parameters})
    said = infotext(plan, begun.finished[0], begun.order)
    files = [(table, said) for table in (drawn if plot.sub_grids else drawn[:1])]
    if plot.lone_images:
        files += [(one.image, text) for cell in cells for one, text in zip(cell.finished, cell.texts, strict=True)]
    return files


def describe_cells(info: dict[str, Any], plot: XyzPlot, cells: Sequence[Filled], warnings: Sequence[str]) -> None:
    """Put into the member `info` of the first cell what is said of all."""
    tasks = [(cell.plan, task) for cell in cells for task in cell.plan.image_tasks]
    info["all_prompts"] = [plan.prompt for plan, _ in tasks]
    info["all_negative_prompts"] = [plan.negative_prompt for plan, _ in tasks]
    info["all_seeds"] = [task.seed for _, task in tasks]
    info["all_subseeds"] = [task.subseed for _, task in tasks]
    info["extra_generation_params"] |= plot.parameters
    told = [
        text for cell in cells for text in (*cell.plan.warnings, *(w for one in cell.finished for w in one.warnings))
    ]
    info["warnings"] = list(dict.fromkeys([*warnings, *told]))
