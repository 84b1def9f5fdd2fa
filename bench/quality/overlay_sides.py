"""Which of two copies was drawn on: `python -m bench.quality.overlay_sides [tuned|reported]`.

Photographs that ship in packages are edited in the ways of `bench.quality.copy_kinds`. Of the edits that are recognised
as copies: how often the edit is named as the one with an overlay, and how often the photograph is, which is wrong: it
would be thrown away. Limits were set on the half `tuned`. Prints a table in Markdown.
"""

from __future__ import annotations

import argparse
from collections import Counter

import cv2

from bench.quality.copies import sources
from bench.quality.copy_kinds import EDITS, HALVES, make_edits
from deployments.algorithms.duplicates.features import describe
from deployments.algorithms.duplicates.verdict import verify_pair

DRAWN_ON = ("caption across", "stickers", "tiled watermark", "scribbles")
"""Kinds whose edits bear an overlay in the photograph itself."""


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.quality.overlay_sides", description=__doc__)
    parser.add_argument("half", choices=sorted(HALVES), nargs="?", default="reported")
    half: str = parser.parse_args().half
    cv2.setNumThreads(1)
    photos = sources.load(HALVES[half])
    originals = [describe(photo) for photo in photos.values()]
    print(f"| {half}: kind of edit | copies | the edit named | the photograph named |\n|---|---|---|---|")
    others: Counter[str | None] = Counter()
    for kind in EDITS:
        verdicts = [
            verify_pair(original, describe(edit))
            for original, edit in zip(originals, make_edits(kind, photos, half), strict=True)
        ]
        named = Counter(verdict.overlay for verdict in verdicts if verdict.is_copy)
        if kind in DRAWN_ON:
            print(f"| {kind} | {named.total()} | {named['right']} | {named['left']} |", flush=True)
        else:
            others += named
    print(f"| {len(EDITS) - len(DRAWN_ON)} other kinds | {others.total()} | {others['right']} | {others['left']} |")


if __name__ == "__main__":
    main()
