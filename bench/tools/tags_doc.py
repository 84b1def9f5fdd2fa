"""Writer of docs/tags.md, the local vocabulary with the classes behind it: `python -m bench.tools.tags_doc`."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path

from bench.report import no_arguments
from deployments.algorithms.tags.translations import EMOJI, LANGUAGES, load_translations
from deployments.algorithms.tags.vocabulary import DATA, Tag, load_class_names, load_tags

PAGE = Path(__file__).parents[2] / "docs" / "tags.md"
_MOST_NAMES = 12
_HEAD = """# Tags of the local profile

Made by `python -m bench.tools.tags_doc` from `deployments/assets/vocabulary/tags.toml`; edit that file, not this one.

A picture's tags are sums of the probabilities of ImageNet classes (EfficientNet-Lite0), given at 0.5 and above; where
none reaches that, the likeliest one alone from 0.3 on (0.2 for a client's own labels), unless the request has a
`threshold`. A tag that does not hold the picture's likeliest class counts half where that class alone is likelier than
half of the tag: half a truck and nearly half a jeep is a jeep. In a picture that is like nothing the network learnt
(the moon, bricks, a page), what is under one half counts half.
`person`, `people` (two or more), `group` (three or more) and `portrait` come from its faces; `receipt`, `screenshot`
and the `document` of a page from [what is written on it](texts.md#tags-and-duplicates). Tags marked
*asked* are too general or too unsure to be given unasked: they answer searches and a client's own labels.
Labels and searches also know the words in the column "also", the {groups} groups at the end of this page and the names
of {words} kinds of things, from WordNet, that classes belong to ("spaniel", "footwear"); a label that is in no list and
has no close synonym there is left out of the answer rather than guessed.

## Search

`q` is words, in any order and of any language below: an image must show all of them. They are known in the singular
and the plural, with common particles, and with small mistakes of typing in Latin letters ("elephnat"); a word that is
right and means something else ("cake") is not taken for a mistake. Emoji count as words. `-word` and `-"two words"`
exclude; a query that only excludes finds the rest. Words for people are answered by faces ("people on a beach"). What
no list knows is refused (422), also where it is to be excluded. On a command line, `darkroom search ALBUM -- dog -cat`.

{table}

The words come from the Unicode CLDR's annotations of emoji (licence Unicode-3.0) and from lists written by hand, which
no native speaker has read yet, each row with its source (`deployments/assets/vocabulary/translations.tsv`). Where a
spelling has a meaning in English too, that one counts ("Boot" is no boat, "Boote" are; "four" among other words is a
number, alone an oven).

**Not in the vocabulary**, because no class shows it: sky, clouds, sunset, night, rain, tree, forest, grass,
garden, river, waterfall, desert, road, city, skyscraper, swimming pool, party, birthday, sunflower, rose and
most other flowers, giraffe, deer, donkey, dolphin, rhinoceros, cake, salad, cheese, rice, kite, skateboard, and
what people do, feel or wear beyond the words below.
"""


def page(
    sections: Mapping[str, Sequence[Tag]],
    names: Sequence[str],
    words: int,
    groups: Mapping[str, Mapping[str, list[str]]],
) -> str:
    lines = [_HEAD.format(words=words, groups=len(groups), table=_languages(sections))]
    for section, tags in sections.items():
        lines += [f"\n## {section.capitalize()}\n", "| tag | also | ImageNet classes |", "|---|---|---|"]
        for tag in tags:
            shown = [names[number] for number in tag.classes[:_MOST_NAMES]]
            more = len(tag.classes) - len(shown)
            classes = ", ".join(shown) + (f" and {more} more" if more else "")
            asked = "" if tag.listed else " *asked*"
            lines.append(f"| {tag.name}{asked} | {', '.join(tag.words)} | {classes} |")
    lines += ["\n## Groups\n", "All *asked*.\n", "| group | also | holds |", "|---|---|---|"]
    for name, group in groups.items():
        lines.append(f"| {name} | {', '.join(group.get('words', ()))} | {', '.join(group['of'])} |")
    return "\n".join(lines) + "\n"


def _languages(sections: Mapping[str, Sequence[Tag]]) -> str:
    """Tabulate how many words of each language there are, and for how many tags."""
    tags = {tag.name for of in sections.values() for tag in of}
    lines = ["| language | words | tags with one | words from CLDR |", "|---|---|---|---|"]
    for language in (*LANGUAGES, EMOJI):
        rows = [row for row in load_translations() if row.language == language]
        from_cldr = sum(row.source == "cldr" for row in rows)
        with_one = len({row.tag for row in rows} & tags)
        lines.append(f"| {language} | {len(rows)} | {with_one} of {len(tags)} | {from_cldr} |")
    return "\n".join(lines)


def main() -> None:
    no_arguments(__doc__)
    by_name = {tag.name: tag for tag in load_tags()}
    parsed = tomllib.loads((DATA / "tags.toml").read_text())
    sections = {section: [by_name[name] for name in entries] for section, entries in parsed.items()}
    words = len((DATA / "words.tsv").read_text().splitlines()) - 1
    PAGE.parent.mkdir(exist_ok=True)
    groups = tomllib.loads((DATA / "groups.toml").read_text())
    PAGE.write_text(page(sections, load_class_names(), words, groups))


if __name__ == "__main__":
    main()
