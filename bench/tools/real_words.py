"""Writer of `deployments/assets/vocabulary/real_words.txt`: words that are right and near a word with a meaning here.

    python -m bench.tools.real_words node_modules

A search must not take "cake" for a misspelt "lake". The words come from the npm packages of `PACKAGES`, all under the
MIT licence; kept are those that the correction would change.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from deployments.algorithms.tags.spelling import Spelling
from deployments.algorithms.tags.translations import Translations, load_translations, plain, without_accents
from deployments.algorithms.tags.vocabulary import DATA, load_tags, normalise
from deployments.algorithms.tags.words import load_groups, load_words

PACKAGES = {
    "an-array-of-english-words": "index.json",
    "an-array-of-french-words": "index.json",
    "an-array-of-spanish-words": "index.json",
    "all-the-german-words": "woerter.json",
}
"""Packages of word lists, and the file of each."""
_LONGEST = 14
"""Letters of the longest word kept: longer ones are near nothing but their own inflections."""


def open_spelling() -> Spelling:
    """Open the correction as searches have it, without real words."""
    tags, words = load_tags(), load_words()
    phrases = [*load_groups(tags, words), *(phrase for tag in tags for phrase in (tag.name, *tag.words))]
    english = {word for phrase in phrases for word in normalise(phrase).split() if len(word) > 2}
    return Spelling(english, Translations(load_translations()).latin_words)


def near_words(folder: Path) -> set[str]:
    """Find the real words that would be corrected, without accents."""
    spelling = open_spelling()
    found = set()
    for package, file in PACKAGES.items():
        listed = json.loads((folder / package / file).read_text(encoding="utf-8"))
        words = {without_accents(plain(word)) for word in listed}
        found |= {word for word in words if len(word) <= _LONGEST and word not in spelling and spelling.nearest(word)}
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("folder", type=Path, help="node_modules with the packages")
    folder: Path = parser.parse_args().folder
    head = f"# Made by `python -m bench.tools.real_words` from {', '.join(PACKAGES)} (MIT)."
    (DATA / "real_words.txt").write_text("\n".join([head, *sorted(near_words(folder))]) + "\n")


if __name__ == "__main__":
    main()
