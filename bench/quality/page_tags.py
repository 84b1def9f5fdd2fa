"""Tags of pages by what is written on them: `python -m bench.quality.page_tags [tuned|reported]`.

Drawn documents of a half (`bench.quality.copies.documents`), as they are, rescanned and photographed, other things with
words on them (`bench.quality.copies.drawn`), and the photographs that packages ship, are read as analyses in the
background read. Prints a table in Markdown: how many are tagged as what.
"""

from __future__ import annotations

import argparse
from collections import Counter, defaultdict
from collections.abc import Iterator

import cv2

from bench.quality.copies import drawn, sources
from bench.quality.copies.documents import AS_IT_IS, COPIES, DOCUMENTS, FONTS
from bench.quality.copies.drawing import to_long_side
from bench.quality.page_pairs import RETAKEN, random_for
from configs.settings import Settings
from deployments.algorithms.tags.page_tags import PAGE_WORDS, PageRules, page_tags
from deployments.algorithms.texts.likelihood import measure_writing
from deployments.contracts.arrays import Image
from deployments.contracts.texts import TextOptions
from deployments.engines.texts.rapid import RapidTextEngine

_PHOTO_PX = 1280
_OTHERS = ("products on white", "charts, other values", "tickets", "maps", "chats", "receipts")
_OF_EACH = 3
_HALVES = {"tuned": sources.TUNED, "reported": sources.REPORTED}


def pictures(half: str) -> Iterator[tuple[str, Image]]:
    """Draw and load pictures of a half, with what they are."""
    for name, filler in DOCUMENTS.items():
        for font in FONTS[half]:
            page = filler(random_for(half, name, font), random_for(half, name, font, "entries")).draw(font)
            for taken in RETAKEN:
                seen = page if taken == AS_IT_IS else COPIES[taken](page, random_for(half, name, font, taken))
                yield name, seen
    for trap in _OTHERS:
        for image in drawn.TRAPS[trap](random_for(half, trap))[:_OF_EACH]:
            yield f"drawn: {trap}", image
    installed = {name: path for name, path in _HALVES[half].items() if sources.is_installed(path)}
    for photo in sources.load(installed).values():
        yield "photographs", to_long_side(photo, _PHOTO_PX)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.quality.page_tags", description=__doc__)
    parser.add_argument("half", choices=sorted(FONTS), nargs="?", default="reported")
    half = parser.parse_args().half
    cv2.setNumThreads(1)
    chosen = Settings().texts
    engine = RapidTextEngine(chosen.max_px, chosen.recognition_model)
    counts: dict[str, Counter[str]] = defaultdict(Counter)
    for kind, image in pictures(half):
        counts[kind]["pictures"] += 1
        if measure_writing(image) >= chosen.min_writing:
            texts = engine.read(image, TextOptions(glance_px=chosen.glance_px))
            tags = page_tags(texts, image.shape[1], image.shape[0])
            counts[kind].update(tag for tag, score in tags.items() if score >= PageRules().sure)
    columns = ("pictures", *PAGE_WORDS)
    print(f"| {half} | {' | '.join(columns)} |\n|---|{'---|' * len(columns)}")
    for kind, of in counts.items():
        print(f"| {kind} | {' | '.join(str(of[column]) for column in columns)} |")


if __name__ == "__main__":
    main()
