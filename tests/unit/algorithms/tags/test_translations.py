"""Words of other languages and emoji: the table, and how it is looked up."""

from __future__ import annotations

import re
from collections import defaultdict

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deployments.algorithms.tags.translations import (
    EMOJI,
    LANGUAGES,
    Translation,
    Translations,
    load_translations,
    plain,
    without_accents,
)
from deployments.algorithms.tags.vocabulary import load_tags
from deployments.algorithms.tags.words import load_groups, load_words

ROWS = load_translations()
TABLE = Translations(ROWS)


@pytest.mark.parametrize("language", LANGUAGES)
def test_every_tag_is_found_by_each_of_its_words_in_every_language(language: str) -> None:
    words = defaultdict(list)
    for row in ROWS:
        if row.language == language:
            words[row.tag].append(row.word)
    tags = [tag.name for tag in load_tags()]
    found = [tag for tag in tags if words[tag] and all(tag in TABLE.find(key(word)) for word in words[tag])]
    print(f"{language}: {len(found)} of {len(tags)} tags, {sum(map(len, words.values()))} words")
    assert found == tags


def key(word: str) -> str:
    return " ".join(plain(word).replace("-", " ").split())


def test_half_of_the_tags_have_an_emoji() -> None:
    tags = {tag.name for tag in load_tags()}
    with_emoji = {row.tag for row in ROWS if row.language == EMOJI} & tags
    print(f"emoji: {len(with_emoji)} of {len(tags)} tags")
    assert len(with_emoji) >= 0.5 * len(tags)


def test_every_word_of_the_table_stands_for_a_tag_a_group_or_people() -> None:
    known = {tag.name for tag in load_tags()} | set(load_groups(load_tags(), load_words())) | {"portrait", "group"}
    assert {row.tag for row in ROWS} <= known


def test_every_word_of_the_table_has_a_source() -> None:
    assert {row.source for row in ROWS} == {"cldr", "hand"}


def test_few_words_of_one_language_have_two_meanings() -> None:
    tags = defaultdict(set)
    for row in ROWS:
        if row.language != EMOJI:
            tags[row.language, plain(row.word)].add(row.tag)
    assert {word for (_, word), of in tags.items() if len(of) > 1} <= {"rad", "공"}


@pytest.mark.parametrize(
    ("asked", "tag"),
    [
        ("hunde", "dog"), ("hunden", "dog"), ("häuser", "house"), ("hauser", "house"), ("haeuser", "house"),
        ("katzen", "cat"), ("autos", "car"), ("löwen", "lion"), ("loewen", "lion"), ("bäume", None), ("kuchen", None),
        ("chiens", "dog"), ("chevaux", "horse"), ("oiseaux", "bird"), ("l'éléphant", "elephant"),
        ("chapeaux de cowboy", "cowboy hat"), ("perros", "dog"), ("leones", "lion"), ("peces", "fish"),
        ("perros calientes", "hot dog"), ("relojes de arena", "hourglass"), ("강아지들이", "dog"), ("고양이를", "cat"),
        ("바다에서", "sea"), ("무지개", None), ("조개", None), ("ﾈｺ", "cat"), ("イヌ", "dog"), ("いぬ", "dog"),
        ("貓", "cat"), ("腳踏車", "bicycle"),
    ],
)  # fmt: skip
def test_a_word_is_found_in_the_plural_with_particles_and_in_every_script(asked: str, tag: str | None) -> None:
    assert TABLE.find(plain(asked)) == (() if tag is None else (tag,))


@pytest.mark.parametrize(
    ("word", "pieces"),
    [
        ("海边的狗", ["海边", "狗"]), ("犬と猫", ["犬", "猫"]), ("ビーチの犬", ["びーち", "犬"]), ("热狗", ["热狗"]),
        ("牛肉", ["牛肉"]), ("海狗", ["海狗"]), ("馬鹿", ["馬鹿"]), ("大熊猫", ["大熊猫"]), ("hund", ["hund"]),
    ],
)  # fmt: skip
def test_japanese_and_chinese_are_split_into_known_words_and_never_into_pieces_of_others(
    word: str, pieces: list[str]
) -> None:
    assert TABLE.split(plain(word)) == pieces


@given(st.text("狗猫海边的犬とビーチ牛肉鹿馬大熊ab", min_size=1, max_size=12))
def test_splitting_loses_nothing_but_what_joins_words(word: str) -> None:
    joined = "".join(TABLE.split(plain(word)))
    assert joined == "".join(character for character in plain(word) if character in joined)


@given(st.text(max_size=30))
def test_any_text_is_looked_up(text: str) -> None:
    assert isinstance(TABLE.find(plain(text)), tuple)


@given(st.text(max_size=30))
def test_the_plain_form_of_a_plain_text_is_itself(text: str) -> None:
    once = without_accents(plain(text))
    assert without_accents(plain(once)) == once


def test_emoji_are_known_with_and_without_the_marks_of_how_they_are_drawn() -> None:
    assert TABLE.emoji is not None
    for emoji in ("🐶", "🐕", "❄️", "❄", "👩🏽", "🏖️"):
        assert re.fullmatch(TABLE.emoji, plain(emoji)), emoji


def test_an_empty_table_knows_nothing() -> None:
    empty = Translations([])
    assert empty.find("hund") == ()
    assert empty.split("犬と猫") == ["犬と猫"]


def test_a_word_with_two_meanings_has_both() -> None:
    table = Translations([Translation("de", "Rad", tag, "hand") for tag in ("bicycle", "wheel")])
    assert table.find("rad") == ("bicycle", "wheel")
