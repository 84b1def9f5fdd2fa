"""Scenes without an ImageNet class, by a linear head on the stored vectors: can they be told?

`python -m bench.quality.scenes SHARE DATA`: trains a head for each scene on the photographs of Debian's packages
`lomiri-wallpapers-16.04`, `lomiri-wallpapers-20.04`, `mate-backgrounds`, `plasma-workspace-wallpapers` and
`ukui-wallpapers`, unpacked below SHARE (their `usr/share`) and labelled in `scenes.csv`, on text drawn as pages, and
judges it on the pictures of DATA (`labels.csv`), none of which it has seen. Prints how many there are of each scene, so
that nobody takes one picture for a measurement. Nothing in the product uses these heads.
"""

from __future__ import annotations

import argparse
import csv
import sys
from pathlib import Path

import cv2
import numpy as np
from rich.console import Console
from rich.table import Table
from sklearn.linear_model import LogisticRegression

from bench.quality.metrics import normalised_tag
from configs.settings import Settings
from deployments.algorithms.images.decoding import decode
from deployments.algorithms.images.views import make_views
from deployments.algorithms.tags.vocabulary import TAG_VIEWS
from deployments.contracts.arrays import Image, Vectors
from deployments.embedding import make_engine

SCENES = ("sky", "tree", "forest", "meadow", "flower", "night", "sunset", "road", "desert", "city", "document")
PAGES = 40
"""Pages drawn for "document"."""
_MAX_PX = 1280
_ENOUGH = 20
"""Right answers from which on a precision of .95 is a measurement: with none wrong, its 95 % bound is .86."""
Examples = list[tuple[Vectors, frozenset[str]]]


def draw_page(rng: np.random.Generator) -> Image:
    """Draw a page of text lines: dark words on light paper, margins and line heights of their own."""
    height, width = int(rng.integers(600, 1000)), int(rng.integers(450, 800))
    page = np.full((height, width, 3), rng.integers(215, 256, 3), np.uint8)
    scale, step = float(rng.uniform(0.4, 0.9)), int(rng.integers(18, 40))
    ink = tuple(int(value) for value in rng.integers(0, 80, 3))
    for y in range(40, height - 30, step):
        words = ["".join(chr(int(c)) for c in rng.integers(97, 123, rng.integers(2, 10))) for _ in range(9)]
        cv2.putText(page, " ".join(words), (30, y), cv2.FONT_HERSHEY_COMPLEX, scale, ink, 1, cv2.LINE_AA)
    return np.asarray(cv2.GaussianBlur(page, (3, 3), float(rng.uniform(0.1, 0.9))), np.uint8)


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m bench.quality.scenes", description=__doc__)
    parser.add_argument("share", type=Path, help="usr/share of the unpacked packages")
    parser.add_argument("data", type=Path, help="folder with labels.csv and the images")
    arguments = parser.parse_args()
    embedder = make_engine(Settings())

    def vector(image: Image) -> Vectors:
        views = embedder.embed(make_views(image, embedder.input_px)[list(TAG_VIEWS)]).mean(axis=0)
        return np.asarray(views / np.linalg.norm(views), np.float32)

    with (Path(__file__).parent / "scenes.csv").open(newline="") as file:
        learnt: Examples = [
            (vector(decode((arguments.share / row["path"]).read_bytes(), _MAX_PX)), frozenset(row["scenes"].split(";")))
            for row in csv.DictReader(file)
        ]
    rng = np.random.default_rng(0)
    learnt += [(vector(draw_page(rng)), frozenset({"document"})) for _ in range(PAGES)]
    with (arguments.data / "labels.csv").open(newline="", encoding="utf-8") as file:
        judged: Examples = [
            (
                vector(decode((arguments.data / row["path"]).read_bytes(), _MAX_PX)),
                frozenset(normalised_tag(tag) for tag in (row["label"], *row["also_true"].split(";"))),
            )
            for row in csv.DictReader(file)
        ]
    table = Table("scene", "learnt from", "to find", "given", "right", "precision", "recall", "")
    for scene in SCENES:
        table.add_row(scene, *_row(scene, learnt, judged))
    Console().print(table)
    return 0


def _row(scene: str, learnt: Examples, judged: Examples) -> list[str]:
    """Train the head of a scene and judge it."""
    x, y = np.stack([vector for vector, _ in learnt]), np.array([scene in scenes for _, scenes in learnt])
    true = np.array([scene in scenes for _, scenes in judged])
    counts = [f"{y.sum()}", f"{true.sum()}"]
    if not y.any():
        return [*counts, "", "", "", "", "nothing to learn from"]
    head = LogisticRegression(C=100.0, class_weight="balanced", max_iter=2000).fit(x, y)
    given = head.predict_proba(np.stack([vector for vector, _ in judged]))[:, 1] >= 0.5
    right = int((given & true).sum())
    precision = f"{right / given.sum():.2f}" if given.any() else "-"
    recall = f"{right / true.sum():.2f}" if true.any() else "-"
    verdict = "too few to measure" if right < _ENOUGH else "measured"
    return [*counts, f"{given.sum()}", f"{right}", precision, recall, verdict]


if __name__ == "__main__":
    sys.exit(main())
