"""Copies of a labelled album without a server: `python -m bench.quality.copy_album FOLDER`, as `make eval` scores them.

FOLDER is a set such as `neardup` with its `labels.csv`. Prints precision, recall by difficulty and scenes merged.
"""

from __future__ import annotations

import argparse
import csv
from pathlib import Path
from typing import Any, cast

import cv2

from bench.quality.copy_kinds import Results, Search
from bench.quality.served import Rows, Set, duplicates
from configs.settings import Settings
from deployments.algorithms.duplicates.features import describe
from deployments.algorithms.duplicates.groups import DuplicateLink, group_duplicates
from deployments.algorithms.duplicates.verdict import verify_pair
from deployments.algorithms.images.decoding import decode


class Album:
    """Labelled images that answer for duplicates as a server would, by the product's algorithms."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        with (folder / "labels.csv").open(newline="", encoding="utf-8") as file:
            self.rows: Rows = list(csv.DictReader(file))
        self.path_of = {row["path"]: row["path"] for row in self.rows}

    def ask(self, route: str, level: str) -> dict[str, Any]:
        """Group the copies."""
        del route, level
        names = [row["path"] for row in self.rows]
        images = [decode(self.folder / name, Settings().limits.preview_px) for name in names]
        search = Search(Results())
        features = [describe(image) for image in images]
        links = []
        for left, right in sorted(search.candidates(search.embed(images))):
            verdict = verify_pair(features[left], features[right])
            if verdict.is_copy:
                links.append(DuplicateLink(names[left], names[right], "copy", verdict.score))
        groups = group_duplicates(names, links)
        return {"duplicates": {str(number): list(group.members) for number, group in enumerate(groups)}}


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.quality.copy_album", description=__doc__)
    parser.add_argument("folder", type=Path)
    cv2.setNumThreads(1)
    figures, mistakes = duplicates(cast(Set, Album(parser.parse_args().folder)))
    for name, value in figures.items():
        print(f"{name}: {value.value:.4f}")
    for mistake in mistakes:
        print(mistake.view())


if __name__ == "__main__":
    main()
