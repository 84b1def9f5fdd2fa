"""Writer of `deployments/assets/vocabulary/translations.tsv`: words of six languages and emoji for tags and groups.

    python -m bench.tools.translations --cldr node_modules/cldr-annotations-full

Two sources, named in every row: `cldr`, the Unicode CLDR's annotations of emoji (npm package `cldr-annotations-full`,
licence Unicode-3.0), and `hand`, the lists beside this file. An emoji whose English name is that of a tag
gives the tag its names in other languages; a word of the lists that is among its annotations is `cldr` too. Chinese
words of the lists are also written in traditional characters (package `opencc-python-reimplemented`, needed by this
tool only).
"""

from __future__ import annotations

import argparse
import json
from collections import defaultdict
from importlib import import_module
from pathlib import Path

from deployments.algorithms.tags.translations import EMOJI, LANGUAGES, Translation, plain
from deployments.algorithms.tags.vocabulary import DATA, load_tags
from deployments.algorithms.tags.words import singular

HERE = Path(__file__).parent
Annotations = dict[str, dict[str, list[str]]]
_NOT_THE_TAG = {"👓", "💒", "🫍", "🎦", "📢"}
"""Emoji whose English name is the word of a tag for something else."""
_OTHER_NAMES = {
    ("de", "Kuchen"), ("es", "pastel"), ("fr", "criquet"), ("ja", "そり競技"), ("zh", "美洲鸵"),
}  # fmt: skip
"""Names in other languages that are of something else: a cake, a locust, a race, a rhea."""


def read_annotations(folder: Path, language: str) -> Annotations:
    """Read the annotations of each emoji: `default` keywords and `tts`, its name."""
    path = folder / "annotations" / language / "annotations.json"
    annotations: Annotations = json.loads(path.read_text(encoding="utf-8"))["annotations"]["annotations"]
    return {plain(emoji): entry for emoji, entry in annotations.items() if "tts" in entry}


def emoji_of_tags(english: Annotations) -> dict[str, str]:
    """Map emoji to the tag whose word is their English name, that of a face aside."""
    words = {singular(phrase): tag.name for tag in load_tags() for phrase in (*tag.words, tag.name)}
    found = {}
    for emoji, entry in english.items():
        name = singular(entry["tts"][0])
        if emoji not in _NOT_THE_TAG and (tag := words.get(name) or words.get(name.removesuffix(" face"))):
            found[emoji] = tag
    return found


def read_lists() -> dict[tuple[str, str], list[str]]:
    """Read the words written by hand: (tag, language) -> words, traditional Chinese ones included."""
    converters = [import_module("opencc").OpenCC(name).convert for name in ("s2twp", "s2t")]
    lists: dict[tuple[str, str], list[str]] = {}
    for line in _lines(HERE / "translations_by_hand.tsv"):
        tag, *columns = line.split("\t")
        for language, words in zip(LANGUAGES, columns, strict=True):
            own = words.split("|")
            if language == "zh":
                own += [convert(word) for word in own for convert in converters]
            lists[tag, language] = list(dict.fromkeys(own))
    return lists


def _lines(path: Path) -> list[str]:
    return [line for line in path.read_text(encoding="utf-8").splitlines() if line and not line.startswith("#")]


def make_table(folder: Path) -> list[Translation]:
    """Join both sources."""
    english = read_annotations(folder, "en")
    emoji = emoji_of_tags(english)
    rows = [Translation(EMOJI, picture, tag, "cldr") for picture, tag in emoji.items()]
    for line in _lines(HERE / "emoji_by_hand.tsv"):
        tag, pictures = line.split("\t")
        rows += [Translation(EMOJI, plain(picture), tag, "hand") for picture in pictures.split()]
    lists = read_lists()
    for language in LANGUAGES:
        annotations = read_annotations(folder, language)
        names: dict[str, list[str]] = defaultdict(list)
        keywords: dict[str, set[str]] = defaultdict(set)
        for picture, tag in emoji.items():
            entry = annotations.get(picture, {})
            has_tags_name = singular(english[picture]["tts"][0]) == singular(tag)
            names[tag] += entry.get("tts", []) if has_tags_name else []
            keywords[tag] |= {plain(word) for word in (*entry.get("default", ()), *entry.get("tts", ()))}
        taken = {plain(word) for (_, of), words in lists.items() if of == language for word in words}
        for tag in dict.fromkeys(tag for tag, _ in lists):
            words = lists[tag, language]
            more = [name for name in names[tag] if plain(name) not in taken and (language, name) not in _OTHER_NAMES]
            rows += [
                Translation(language, word, tag, "cldr" if plain(word) in keywords[tag] else "hand") for word in words
            ]
            rows += [Translation(language, word, tag, "cldr") for word in dict.fromkeys(more)]
    return list({(row.language, plain(row.word), row.tag): row for row in reversed(rows)}.values())[::-1]


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--cldr", type=Path, required=True, help="folder of the package cldr-annotations-full")
    folder: Path = parser.parse_args().cldr
    rows = make_table(folder)
    head = [
        "# Made by `python -m bench.tools.translations`: language, word, tag or group, source.",
        "# cldr: Unicode CLDR annotations, © Unicode, Inc., licence Unicode-3.0 (https://www.unicode.org/license.txt).",
        "# hand: bench/tools/translations_by_hand.tsv and bench/tools/emoji_by_hand.tsv, licence of this repository.",
    ]
    lines = ["\t".join((row.language, row.word, row.tag, row.source)) for row in rows]
    (DATA / "translations.tsv").write_text("\n".join([*head, *lines]) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
