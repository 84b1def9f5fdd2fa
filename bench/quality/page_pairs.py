"""Pairs of pages, copies and other pages of a form: `python -m bench.quality.page_pairs [tuned|reported] [--seeds N]`.

Documents are drawn, with another font and other entries for each half; limits were set on `tuned`. Each is compared
with copies of itself, and with the same form in which a digit, an entry or all of them are others. `before` is what
pixels alone say (`verify_pair`), `after` what is left of it when the words are compared, read as analyses in the
background read. Prints a table in Markdown with intervals of 95 % (bootstrap over documents).
"""

from __future__ import annotations

import argparse
import sys
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from zlib import crc32

import cv2
import numpy as np

from bench.quality.copies.documents import AS_IT_IS, COPIES, DOCUMENTS, FONTS, Document, one_digit, one_entry
from bench.quality.copies.drawing import Random
from bench.quality.figures import rate
from configs.settings import Settings
from deployments.algorithms.duplicates.features import describe
from deployments.algorithms.duplicates.verdict import verify_pair
from deployments.algorithms.texts.page_pairs import PageRules, compare_pages
from deployments.contracts.arrays import Image
from deployments.contracts.texts import Text, TextOptions
from deployments.engines.texts.rapid import RapidTextEngine

OTHERS = ("a digit", "an entry", "all entries")
RETAKEN = (AS_IT_IS, "rescanned", "photographed")
"""How another page of a form comes beside the first."""


@dataclass(frozen=True, slots=True)
class Pair:
    """A document, the page that it is compared with, and what was read on both."""

    document: str
    """Its name: pairs of one document are no independent ones."""
    kind: str
    is_copy: bool
    looks_so: bool
    """What pixels alone say."""
    first: Sequence[Text]
    second: Sequence[Text]

    def called_copy(self, rules: PageRules) -> bool:
        """Whether pixels and words together say so."""
        return self.looks_so and not compare_pages(self.first, self.second, rules).differ


def pairs(half: str, seeds: int) -> Iterator[Pair]:
    """Draw and read the pairs of a half."""
    settings = Settings()
    engine = RapidTextEngine(settings.texts.max_px, settings.texts.recognition_model)
    options = TextOptions(glance_px=settings.texts.glance_px)

    def read(image: Image) -> list[Text]:
        return engine.read(image, options)

    for name, image, others in drawn(half, seeds):
        features, texts = describe(image), read(image)
        for kind, is_copy, other in others:
            looks_so = verify_pair(features, describe(other)).is_copy
            yield Pair(name, kind, is_copy, looks_so, texts, read(other))
        print(name, file=sys.stderr, flush=True)


def drawn(half: str, seeds: int) -> Iterator[tuple[str, Image, Iterator[tuple[str, bool, Image]]]]:
    """Draw documents, each with the pages that it is compared with: kind, whether that is a copy, the page."""
    for filler in DOCUMENTS:
        for seed in range(seeds):
            for font in FONTS[half]:
                name = f"{half}/{filler}/{seed}/{font}"
                document = DOCUMENTS[filler](random_for(name, "form"), random_for(name, "entries"))
                yield name, document.draw(font), _others(name, filler, document, font)


def _others(name: str, filler: str, document: Document, font: str) -> Iterator[tuple[str, bool, Image]]:
    image = document.draw(font)
    for kind, edit in COPIES.items():
        yield kind, True, edit(image, random_for(name, kind))
    changed = {
        "a digit": one_digit(document, random_for(name, "digit")),
        "an entry": one_entry(document, random_for(name, "entry")),
        "all entries": DOCUMENTS[filler](random_for(name, "form"), random_for(name, "others")),
    }
    for other, page in changed.items():
        for taken in RETAKEN:
            seen = page.draw(font)
            if taken != AS_IT_IS:
                seen = COPIES[taken](seen, random_for(name, other, taken))
            yield f"{other}, {taken}", False, seen


def random_for(*names: str) -> Random:
    """Seed by names, so that a page does not depend on which others are drawn."""
    return np.random.default_rng(crc32("/".join(names).encode()))


def table(found: Sequence[Pair], rules: PageRules, half: str) -> str:
    """Write the figures as Markdown."""
    lines = [f"| {half}: pages | pairs | copies, before | after | interval |", "|---|---|---|---|---|"]
    kinds: dict[str, list[Pair]] = defaultdict(list)
    for pair in found:
        kinds[pair.kind].append(pair)
    for kind, of in kinds.items():
        after = [pair.called_copy(rules) for pair in of]
        figure = rate(after, [1] * len(of))
        before = sum(pair.looks_so for pair in of) / len(of)
        interval = f"{figure.low:.2f} to {figure.high:.2f}"
        lines.append(f"| {kind} | {len(of)} | {before:.3f} | {figure.value:.3f} | {interval} |")
    lines += ["", "| | precision | interval | recall | interval |", "|---|---|---|---|---|"]
    for name, called in (
        ("before", [pair.looks_so for pair in found]),
        ("after", [pair.called_copy(rules) for pair in found]),
    ):
        counts: dict[str, list[int]] = defaultdict(lambda: [0, 0, 0])
        for pair, is_called in zip(found, called, strict=True):
            right, all_called, all_copies = counts[pair.document]
            is_right = is_called and pair.is_copy
            counts[pair.document] = [right + is_right, all_called + is_called, all_copies + pair.is_copy]
        rights, called_ones, copies = (list(column) for column in zip(*counts.values(), strict=True))
        figures = (rate(rights, called_ones), rate(rights, copies))
        cells = " | ".join(f"{one.value:.3f} | {one.low:.3f} to {one.high:.3f}" for one in figures)
        lines.append(f"| {name} | {cells} |")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.quality.page_pairs", description=__doc__)
    parser.add_argument("half", choices=sorted(FONTS), nargs="?", default="reported")
    parser.add_argument("--seeds", type=int, default=1, help="documents of each kind and font")
    arguments = parser.parse_args()
    cv2.setNumThreads(1)
    print(table(list(pairs(arguments.half, arguments.seeds)), PageRules(), arguments.half))


if __name__ == "__main__":
    main()
