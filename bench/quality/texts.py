"""Reading of text, by kind of page: `python -m bench.quality.texts [--quick] [--fonts FOLDER] [--album FOLDER]`.

Pages are drawn on the spot (`written_pages`), so that what they say is known. CER: character error rate, edits that
make what was read into what is written, in characters of the latter; words and cells count by their spaces and tabs.
`in the background` is the CER of what analyses in the background read, after a glance, and of how many pages: of those
whose edges look like print.

Then photographs, those that packages ship or of `--album`: what reading adds to the time in which an album is analysed.
Times are of one thread's processor, not of the clock.
"""

from __future__ import annotations

import argparse
import asyncio
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import cv2
import numpy as np
from rapidfuzz.distance import Levenshtein
from rich.console import Console
from rich.table import Table

from bench.quality import written_pages
from bench.quality.copies import sources
from bench.quality.copies.drawing import to_long_side
from configs.settings import Runtime, Settings
from deployments.algorithms.images.quality import assess
from deployments.algorithms.images.views import make_views
from deployments.algorithms.texts.likelihood import measure_writing
from deployments.algorithms.texts.rows import plain_text
from deployments.contracts.arrays import Image
from deployments.contracts.texts import Text, TextOptions
from deployments.embedding import EmbeddingDeployment
from deployments.engines.texts.rapid import RapidTextEngine
from deployments.faces import FacesDeployment

T = TypeVar("T")
_PHOTO_PX = 1280


@dataclass
class Kind:
    """Sums over the pages of one kind."""

    edits: int = 0
    characters: int = 0
    pages: int = 0
    seconds: float = 0.0

    def add(self, page: written_pages.WrittenPage, found: Sequence[Text], seconds: float) -> None:
        text = plain_text([one.corners for one in found], [one.text for one in found])
        self.edits += int(Levenshtein.distance(text, page.text))
        self.characters += len(page.text)
        self.pages += 1
        self.seconds += seconds

    @property
    def error_rate(self) -> str:
        """CER in percent."""
        return f"{100 * self.edits / self.characters:.1f}" if self.characters else ""

    @property
    def ms(self) -> str:
        """Milliseconds a page."""
        return f"{1000 * self.seconds / self.pages:.0f}" if self.pages else ""


@dataclass
class Spent:
    """Processor time on photographs, milliseconds a photograph, by what it was spent on."""

    photos: int = 0
    flagged: int = 0
    glanced: int = 0
    texts: list[str] = field(default_factory=list)
    seconds: dict[str, float] = field(default_factory=lambda: defaultdict(float))

    def ms(self, *parts: str) -> float:
        return 1000 * sum(self.seconds[part] for part in parts) / max(self.photos, 1)


def main() -> None:
    arguments = _arguments()
    if arguments.fonts:
        written_pages.FONT_FOLDERS.insert(0, arguments.fonts)
    settings = Settings(runtime=Runtime(threads=1))
    engine = RapidTextEngine(settings.texts.max_px, settings.texts.recognition_model)
    cv2.setNumThreads(1)
    lines = 5 if arguments.quick else 10
    seeds = (0,) if arguments.quick else (0, 1, 2)
    console = Console()
    kinds = _read_pages(written_pages.pages(lines, seeds), engine, settings)
    table = Table("kind", "CER, %", "ms a page", "in the background", "pages", "ms")
    for name, (asked, seen) in kinds.items():
        pages = f"{seen.pages}/{asked.pages}"
        table.add_row(name, asked.error_rate, asked.ms, seen.error_rate, pages, seen.ms)
    console.print(table)
    spent = asyncio.run(_time_photos(list(_photos(arguments.album, 6 if arguments.quick else 200)), engine, settings))
    _print_photos(spent, console)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="fewer and shorter pages: a minute or two")
    parser.add_argument("--fonts", type=Path, help="folder to look for fonts in first")
    parser.add_argument("--album", type=Path, help="folder of photographs in place of those that packages ship")
    return parser.parse_args()


def _read_pages(
    pages: Iterator[written_pages.WrittenPage], engine: RapidTextEngine, settings: Settings
) -> dict[str, tuple[Kind, Kind]]:
    """-> kind -> what who asks is given, what the background reads"""
    chosen = settings.texts
    asked, glance = (TextOptions(min_text_score=chosen.min_score, glance_px=px) for px in (None, chosen.glance_px))
    kinds: dict[str, tuple[Kind, Kind]] = defaultdict(lambda: (Kind(), Kind()))
    for page in pages:
        for kind, options in zip(kinds[page.kind], (asked, glance), strict=True):
            if options is asked or measure_writing(page.image) >= chosen.min_writing:
                started = time.thread_time()
                found = engine.read(page.image, options)
                kind.add(page, found, time.thread_time() - started)
    return kinds


def _photos(folder: Path | None, most: int) -> Iterator[Image]:
    """Photographs at the size at which albums are analysed."""
    if folder is not None:
        for path in sorted(path for path in folder.rglob("*") if path.is_file())[:most]:
            if (pixels := cv2.imread(str(path))) is not None:
                yield to_long_side(np.ascontiguousarray(pixels[:, :, ::-1]), _PHOTO_PX)
        return
    installed = {name: path for name, path in (sources.TUNED | sources.REPORTED).items() if sources.is_installed(path)}
    for photo in list(sources.load(installed).values())[:most]:
        yield to_long_side(photo, _PHOTO_PX)


async def _time_photos(photos: Sequence[Image], engine: RapidTextEngine, settings: Settings) -> Spent:
    embedding, faces = EmbeddingDeployment(settings), FacesDeployment(settings)
    chosen, spent = settings.texts, Spent()
    await embedding.embed_images(make_views(photos[0], embedding.input_px))  # what opens at the first call
    await faces.find_faces(photos[:1])
    for photo in photos:
        spent.photos += 1
        started = time.process_time()
        assess(photo, photo.shape[1], photo.shape[0])
        await embedding.embed_images(make_views(photo, embedding.input_px))
        await faces.find_faces([photo])
        spent.seconds["analysis"] += time.process_time() - started
        if _timed(spent, "edges", partial(measure_writing, photo)) < chosen.min_writing:
            continue
        spent.flagged += 1
        options = TextOptions(min_text_score=chosen.min_score, glance_px=chosen.glance_px)
        found = _timed(spent, "reading", partial(engine.read, photo, options))
        spent.glanced += bool(found)
        spent.texts += [one.text for one in found]
    return spent


def _timed(spent: Spent, part: str, work: Callable[[], T]) -> T:
    started = time.process_time()
    result = work()
    spent.seconds[part] += time.process_time() - started
    return result


def _print_photos(spent: Spent, console: Console) -> None:
    share = spent.ms("edges", "reading") / max(spent.ms("analysis"), 1e-9)
    table = Table("photographs", str(spent.photos))
    rows: dict[str, Any] = {
        "that edges take for print": spent.flagged,
        "of these, with text": spent.glanced,
        "ms a photograph: embedding, faces, quality": f"{spent.ms('analysis'):.0f}",
        "ms a photograph: edges": f"{spent.ms('edges'):.1f}",
        "ms a photograph: glances and reading": f"{spent.ms('reading'):.1f}",
        "what text adds": f"{100 * share:.1f} %",
    }
    for name, value in rows.items():
        table.add_row(name, str(value))
    console.print(table)
    console.print("read:", " | ".join(spent.texts)[:600])


if __name__ == "__main__":
    main()
