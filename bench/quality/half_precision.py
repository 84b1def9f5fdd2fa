"""What storing vectors in half precision changes: `python -m bench.quality.half_precision`.

Photographs that ship in packages (`--half installed`: only those that are here already), and edits of them, are one
album. Compares cosines, candidate pairs, pairs that are similar by their cosine, and tags, from vectors as the model
gives them (float32) and as the database keeps them (float16).
"""

from __future__ import annotations

import argparse
import asyncio

import numpy as np

from bench.quality.copies import sources
from bench.quality.copy_kinds import EDITS, Results, Search, random_for
from bench.report import Report
from configs.settings import Settings
from deployments.algorithms.duplicates.candidates import ALWAYS, find_candidates
from deployments.algorithms.duplicates.view_vectors import all_cosines
from deployments.contracts.arrays import StoredVectors
from deployments.tagging import TaggingDeployment

_KINDS = ("crop of 50 %", "quarter turn", "thumbnail of 56 px", "grey", "frame", "mirrored crop", "phone screenshot")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--half", choices=("tuned", "reported", "both", "installed"), default="both")
    options = parser.parse_args()
    halves = {"tuned": sources.TUNED, "reported": sources.REPORTED, "both": sources.TUNED | sources.REPORTED}
    halves["installed"] = {name: path for name, path in halves["both"].items() if sources.is_installed(path)}
    photos = sources.load(halves[options.half])
    pictures = [*photos.values()]
    for kind in _KINDS:
        pictures += [EDITS[kind](photo, random_for("half", kind, name)) for name, photo in photos.items()]
    single = Search(Results()).embed(pictures)
    half = single.astype(np.float16)
    report = Report("half_precision")
    report.add("pictures", len(pictures), "")
    cosines = [all_cosines(vectors) for vectors in (single, half)]
    report.add("greatest difference of two cosines", float(np.abs(cosines[0] - cosines[1]).max()), "")
    limits = Settings().duplicates
    found = [_candidates(vectors) for vectors in (single, half)]
    report.add("candidate pairs", len(found[0]), "")
    report.add("candidate pairs that differ", len(found[0] ^ found[1]), "", target=0, at_most=True)
    alike = [cosine >= limits.min_similar_cosine for cosine in cosines]
    report.add(
        "pairs over min_similar_cosine that differ", float((alike[0] ^ alike[1]).sum()) / 2, "", target=0, at_most=True
    )
    asyncio.run(_compare_tags(report, single, half.astype(np.float32)))
    report.finish()


def _candidates(vectors: StoredVectors) -> set[tuple[int, int]]:
    limits = Settings().duplicates
    found = find_candidates(vectors, limits.min_cosine, limits.max_neighbours, always=ALWAYS)
    return set(zip(found.left.tolist(), found.right.tolist(), strict=True))


async def _compare_tags(report: Report, single: StoredVectors, half: StoredVectors) -> None:
    settings = Settings()
    tagging = TaggingDeployment(settings)
    before, after = [await tagging.tag_images(vectors.astype(np.float32)) for vectors in (single, half)]
    apart = [abs(one[tag] - other.get(tag, 0.0)) for one, other in zip(before, after, strict=True) for tag in one]
    report.add("greatest difference of two tag probabilities", max(apart), "")
    shown = [
        [{tag for tag, value in one.items() if value >= settings.tags.threshold} for one in tags]
        for tags in (before, after)
    ]
    differ = sum(one != other for one, other in zip(*shown, strict=True))
    report.add("pictures whose tags over the threshold differ", differ, "", target=0, at_most=True)


if __name__ == "__main__":
    main()
