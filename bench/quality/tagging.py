"""Quality of tags and of a client's own labels, by halves of the pictures' sources.

`python -m bench.quality.tagging DATA`: DATA holds `labels.csv` (`path`, `label`, `also_true`, `source`) and its images.
The halves are pictures of the data set that the classifier was trained on, and all others: a threshold that was chosen
on one is judged by the other. Runs the engines in this process; `make eval` asks the same over HTTP.
"""

from __future__ import annotations

import argparse
import csv
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.table import Table

from bench.quality.metrics import normalised_tag
from configs.settings import Settings
from deployments.algorithms.images.decoding import decode
from deployments.algorithms.images.views import make_views
from deployments.algorithms.tags.queries import people_tag
from deployments.algorithms.tags.vocabulary import (
    PeopleRules,
    TagRules,
    load_tags,
    merge_scores,
    people_tags,
    select_tags,
)
from deployments.contracts.arrays import Vectors
from deployments.embedding import make_engine as make_embedder
from deployments.faces import make_engine as make_face_engine
from deployments.tagging import make_engine as make_tagger

_TRAINED_ON = "imagenet"
"""Part of the source's name of pictures that are like those which the classifier was trained on."""

_MOST = 0.7
"""Share of a tag's classes that a wider one holds: a vehicle is no car's mirror, wheel or grille."""


@dataclass(frozen=True, slots=True)
class Picture:
    """A labelled picture with what the engines made of it."""

    name: str
    half: str
    true: frozenset[str]
    """Normalised tags that are right."""
    vectors: Vectors
    """`float32[V, D]`."""
    people: dict[str, float]
    """Tags that its faces give."""


@dataclass(frozen=True, slots=True)
class Figures:
    """Shares, 0 to 1, over the pictures of a half."""

    pictures: int
    right: float
    """Pictures with a right tag in the answer, a wider one of a label included."""
    right_as_labelled: float
    """The same where only the labels themselves are right."""
    precision: float
    """Right ones of the given tags that are among the set's labels."""
    precision_all: float
    """Right ones of all given tags; what the labels do not list counts as wrong."""
    given: float
    """Tags a picture."""


def read_pictures(folder: Path, settings: Settings) -> list[Picture]:
    """Decode, embed and search for faces, one picture after another."""
    embedder, finder = make_embedder(settings), make_face_engine(settings)
    rules = PeopleRules(settings.tags.min_face_share, settings.tags.portrait_share)
    pictures = []
    with (folder / "labels.csv").open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    for row in rows:
        image = decode((folder / row["path"]).read_bytes(), settings.limits.preview_px)
        faces = finder.find(image)
        boxes = np.array([face.bbox for face in faces], np.float32).reshape(-1, 4)
        people = people_tags(boxes, [face.score for face in faces], image.shape[1], image.shape[0], rules)
        vectors = embedder.embed(make_views(image, settings.embedding.input_px))
        half = "trained on" if _TRAINED_ON in row["source"].lower() else "other"
        named = (row["label"], *row["also_true"].split(";"))
        true = frozenset(normalised_tag(tag) for tag in named if tag.strip())
        pictures.append(Picture(row["path"], half, true, vectors, people))
    return pictures


def with_wider_tags(true: frozenset[str]) -> frozenset[str]:
    """Add the tags that hold most classes of a right one: a car is a vehicle though the label does not say so."""
    tags = load_tags()
    right = [frozenset(tag.classes) for tag in tags if normalised_tag(tag.name) in true]
    return true | {
        normalised_tag(tag.name)
        for tag in tags
        if any(len(classes.intersection(tag.classes)) >= _MOST * len(classes) for classes in right)
    }


def score(given: Sequence[dict[str, float]], pictures: Sequence[Picture], labels: set[str]) -> Figures:
    """Score the tags that each picture was given against what is right."""
    pairs = [
        (normalised_tag(tag), tag_is_right)
        for tags, picture in zip(given, pictures, strict=True)
        for tag in tags
        for tag_is_right in [normalised_tag(tag) in with_wider_tags(picture.true)]
    ]
    hits = [
        any(normalised_tag(tag) in with_wider_tags(picture.true) for tag in tags)
        for tags, picture in zip(given, pictures, strict=True)
    ]
    of_set = [right for tag, right in pairs if tag in labels]
    return Figures(
        len(pictures),
        float(np.mean(hits)),
        float(np.mean([bool({*map(normalised_tag, tags)} & p.true) for tags, p in zip(given, pictures, strict=True)])),
        float(np.mean(of_set)) if of_set else 1.0,
        float(np.mean([right for _, right in pairs])) if pairs else 1.0,
        len(pairs) / len(pictures),
    )


@dataclass(frozen=True, slots=True)
class Answers:
    """What was answered for labelled pictures, by the rule that chose the tags."""

    pictures: list[Picture]
    labels: list[str]
    """Labels of the set."""
    given: dict[str, list[dict[str, float]]]
    """Rule -> tags of each picture."""
    unknown: list[str]
    """Labels that the tagger does not know."""

    def of_half(self, rule: str, half: str) -> tuple[list[dict[str, float]], list[Picture]]:
        """Select the answers for a half, or for `all`."""
        chosen = [index for index, picture in enumerate(self.pictures) if half in {picture.half, "all"}]
        return [self.given[rule][index] for index in chosen], [self.pictures[index] for index in chosen]


def answer(folder: Path, settings: Settings) -> Answers:
    """Tag the pictures of a folder, with the product's vocabulary and with the labels of the set."""
    pictures = read_pictures(folder, settings)
    with (folder / "labels.csv").open(newline="", encoding="utf-8") as file:
        labels = sorted({row["label"] for row in csv.DictReader(file)})
    tagger, _ = make_tagger(settings)
    vectors = np.stack([picture.vectors for picture in pictures])
    tags = [merge_scores(found, picture.people) for found, picture in zip(tagger.tag(vectors), pictures, strict=True)]
    asked = {label: people_tag(label) for label in labels}
    judged = tagger.judge(vectors, [label for label, tag in asked.items() if tag is None])
    own = [
        merge_scores(found, {label: picture.people.get(tag, 0.0) for label, tag in asked.items() if tag is not None})
        for found, picture in zip(judged, pictures, strict=True)
    ]
    options = settings.tags
    rules = {
        "tags": (tags, TagRules(options.threshold, options.top_k, options.fallback)),
        "tags, no fallback": (tags, TagRules(options.threshold, options.top_k, 1.01)),
        "own labels": (own, TagRules(options.threshold, options.top_k, options.label_fallback)),
        "own labels, no fallback": (own, TagRules(options.threshold, options.top_k, 1.01)),
    }
    given = {name: [select_tags(of, rule) for of in scores] for name, (scores, rule) in rules.items()}
    return Answers(pictures, labels, given, [name for name in labels if asked[name] is None and name not in judged[0]])


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m bench.quality.tagging", description=__doc__)
    parser.add_argument("data", type=Path, help="folder with labels.csv and the images")
    answers = answer(parser.parse_args().data, Settings())
    table = Table(
        "answer",
        "half",
        "pictures",
        "with a right tag",
        "as labelled",
        "precision",
        "precision, all tags",
        "tags a picture",
    )
    names = {normalised_tag(label) for label in answers.labels}
    for rule in answers.given:
        for half in ("trained on", "other", "all"):
            figures = score(*answers.of_half(rule, half), names)
            table.add_row(
                rule, half, f"{figures.pictures}", f"{figures.right:.3f}", f"{figures.right_as_labelled:.3f}",
                f"{figures.precision:.3f}",
                f"{figures.precision_all:.3f}", f"{figures.given:.2f}",
            )  # fmt: skip
    Console().print(table)
    Console().print(f"Labels that the tagger does not know: {', '.join(answers.unknown) or 'none'}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
