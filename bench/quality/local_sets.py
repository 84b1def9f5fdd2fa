"""Sets measured in this process, by the product's algorithms and engines: copies by kind of edit, quality, faces by
group, tags and own labels by half. Each measurement returns its figures with intervals, and its mistakes."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path

from bench.quality import copy_kinds, picture_quality
from bench.quality.contact_sheet import Mistake
from bench.quality.copies import sources
from bench.quality.copies.drawing import to_long_side
from bench.quality.copy_kinds import Outcome, Results
from bench.quality.face_albums import Reader, options, people_of
from bench.quality.face_variants import VARIANTS
from bench.quality.figures import Figure, Figures, bcubed_f, rate
from bench.quality.metrics import normalised_tag
from bench.quality.served import people_mistakes
from bench.quality.tagging import Answers, answer, with_wider_tags
from configs.settings import Settings
from deployments.contracts.arrays import Image

Measured = tuple[Figures, list[Mistake]]
Photos = dict[str, Image]
_HALF = "reported"
_SHOWN_PX = 240


def copies(photos: Photos | None = None, wanted: Callable[[str], bool] = lambda _: True) -> Measured:
    """Measure copies of package photographs by kind of edit, and false merges by kind of trap."""
    photos = photos or sources.load(sources.REPORTED)
    results = copy_kinds.measure(_HALF, wanted, photos)
    figures = {
        "all kinds": results.all_kinds().figure,
        "precision": Figure.exact(results.precision),
        "unlike pairs merged": Figure.exact(results.unlike),
        **{f"found: {kind}": outcome.figure for kind, outcome in results.edits.items()},
        **{f"told apart: {trap}": outcome.figure for trap, outcome in results.traps.items()},
    }
    return figures, [*_missed(results, photos), *_merged(results, photos)]


def _missed(results: Results, photos: Photos) -> Iterable[Mistake]:
    for kind, outcome in results.edits.items():
        if any(outcome.lost.values()):
            edits = dict(zip(photos, copy_kinds.make_edits(kind, photos, _HALF), strict=True))
            for stage, names in outcome.lost.items():
                yield from (Mistake(f"{kind}: lost by {stage}", _small(photos[name], edits[name])) for name in names)


def _merged(results: Results, photos: Photos) -> Iterable[Mistake]:
    for trap, outcome in results.traps.items():
        if outcome.lost["verification"]:
            sets = copy_kinds.trap_sets(trap, photos, _HALF)
            for name in outcome.lost["verification"]:
                number, pair = map(int, name.split("/"))
                yield Mistake(f"{trap}: merged", _small(*copy_kinds.trap_pairs(sets[number])[pair]))


def _small(*images: Image) -> list[Image]:
    """Shrink what a contact sheet shows: there may be hundreds."""
    return [to_long_side(image, _SHOWN_PX) for image in images]


def quality(photos: Photos | None = None) -> Measured:
    """Measure the order of damaged package photographs by quality, and which copy is kept."""
    photos = photos or sources.load(sources.REPORTED)
    outcomes = picture_quality.measure(photos)
    mistakes = [
        Mistake(f"{row}: {name}", _small(*picture_quality.versions_of(name, photos)))
        for row, outcome in outcomes.items()
        for name in outcome.lost["verification"]
    ]
    kept = {row: outcome for row, outcome in outcomes.items() if row.startswith("kept")}
    ordered = {row: outcome for row, outcome in outcomes.items() if row not in kept}
    totals = {"all pairs": _total(ordered.values()), "all kept": _total(kept.values())}
    return totals | {row: outcome.figure for row, outcome in outcomes.items()}, mistakes


def _total(outcomes: Iterable[Outcome]) -> Figure:
    """Add up outcomes over the same photographs."""
    chosen = list(outcomes)
    right = [sum(of) for of in zip(*(outcome.right for outcome in chosen), strict=True)]
    asked = [sum(of) for of in zip(*(outcome.asked for outcome in chosen), strict=True)]
    return rate(right, asked)


def face_groups(folder: Path, variants: Iterable[str] = VARIANTS) -> Measured:
    """Measure people by group of faces: albums in which every second image of a person is a variant."""
    settings = Settings()
    network = settings.faces.network
    reader = Reader(folder, settings, [network])
    figures: Figures = {}
    mistakes = []
    for variant in variants:
        album = reader.albums(variant)[network]
        clusters = people_of(album, options(network))
        figures[f"bcubed_f, {variant}"] = bcubed_f(album.labels, clusters)
        for mistake in people_mistakes(album.labels, clusters, folder):
            mistakes.append(Mistake(f"{mistake.what}, every second image {variant}", mistake.pictures))
    return figures, mistakes


def labels(folder: Path, halves: Iterable[str] = ("trained on", "other", "all")) -> Measured:
    """Measure tags and own labels by half: with a right tag, and precision among the labels of the set."""
    answers = answer(folder, Settings())
    known = {normalised_tag(label) for label in answers.labels}
    figures: Figures = {}
    mistakes = []
    for rule in ("tags", "own labels"):
        for half in halves:
            figures |= _half_figures(answers, rule, half, known)
        for tags, picture in zip(*answers.of_half(rule, "all"), strict=True):
            if wrong := {normalised_tag(tag) for tag in tags} & known - with_wider_tags(picture.true):
                mistakes.append(Mistake(f"{rule}: not {', '.join(sorted(wrong))}", [folder / picture.name]))
            if not {normalised_tag(tag) for tag in tags} & with_wider_tags(picture.true):
                mistakes.append(Mistake(f"{rule}: no right one of {', '.join(sorted(picture.true))}",
                                        [folder / picture.name]))  # fmt: skip
    return figures, mistakes


def _half_figures(answers: Answers, rule: str, half: str, known: set[str]) -> Figures:
    given = [
        ({normalised_tag(tag) for tag in tags}, with_wider_tags(picture.true))
        for tags, picture in zip(*answers.of_half(rule, half), strict=True)
    ]
    if not given:
        return {}
    hits = [bool(tags & true) for tags, true in given]
    right = [len(tags & known & true) for tags, true in given]
    asked = [len(tags & known) for tags, _ in given]
    return {
        f"{rule}, {half}: with a right one": rate(hits, [1] * len(hits)),
        f"{rule}, {half}: precision": rate(right, asked),
    }
