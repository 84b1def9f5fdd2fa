"""Parts of a query: exclusion, words and emoji, words for people."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from deployments.algorithms.tags.lexicon import Lexicon
from deployments.algorithms.tags.queries import Query, parse_query, people_tag, split_people, split_words
from deployments.algorithms.tags.spelling import load_real_words
from deployments.algorithms.tags.translations import Translations, load_translations
from deployments.algorithms.tags.vocabulary import load_tags
from deployments.algorithms.tags.words import load_groups, load_words

TABLE = Translations(load_translations())


@pytest.mark.parametrize(
    ("text", "wanted", "excluded"),
    [
        ("dog -cat", "dog", ("cat",)), ("-cat", "", ("cat",)), ('food -"hot dog" -pizza', "food", ("hot dog", "pizza")),
        ("개 -고양이", "개", ("고양이",)), ("🐶 -🐱", "🐶", ("🐱",)), ("dog \u2212cat", "dog", ("cat",)),
        ("dog -cat -cat", "dog", ("cat",)), ("t-shirt", "t-shirt", ()), ("dog - cat", "dog - cat", ()), ("-", "-", ()),
        ("", "", ()),
    ],
)  # fmt: skip
def test_a_minus_before_a_word_excludes_it(text: str, wanted: str, excluded: tuple[str, ...]) -> None:
    assert parse_query(text) == Query(wanted, excluded)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("Dog on a beach!", ["dog", "on", "a", "beach"]), ("🐶🏖️", ["🐶", "🏖"]), ("my🐶dog", ["my", "🐶", "dog"]),
        ("犬と猫", ["犬", "猫"]), ("고양이와 강아지", ["고양이와", "강아지"]), ("👍", []), ("Ｄｏｇ", ["dog"]),
    ],
)  # fmt: skip
def test_a_text_is_split_into_words_and_emoji(text: str, words: list[str]) -> None:
    assert split_words(text, TABLE) == words


@pytest.mark.parametrize(
    ("text", "tags", "rest"),
    [
        ("people", ("person",), ""), ("a person on a horse", ("person",), "a on a horse"), ("사람", ("person",), ""),
        ("Leute am Strand", ("person",), "am strand"), ("group of people", ("group",), ""),
        ("group photo", ("group",), ""), ("retrato", ("portrait",), ""), ("face powder", (), "face powder"),
        ("dog", (), "dog"), ("", (), ""), ("👩 🐶", ("person",), "🐶"),
    ],
)  # fmt: skip
def test_words_for_people_are_taken_out_in_every_language(text: str, tags: tuple[str, ...], rest: str) -> None:
    asked = split_people(text)
    assert (asked.tags, asked.rest) == (tags, rest)


@pytest.mark.parametrize(
    ("label", "tag"), [("사람", "person"), ("Gruppenfoto", "group"), ("face powder", None), ("people on a beach", None)]
)
def test_a_label_is_answered_by_faces_only_where_it_is_of_people_alone(label: str, tag: str | None) -> None:
    assert people_tag(label) == tag


def never(_: Sequence[str]) -> np.ndarray:
    raise AssertionError("a listed word needs no sentence model")


def nothing_near(texts: Sequence[str]) -> np.ndarray:
    return np.zeros((len(texts), 4), np.float32)


@pytest.fixture(scope="module")
def lexicon() -> Lexicon:
    return open_lexicon(never)


def open_lexicon(encode: object) -> Lexicon:
    tags, words = load_tags(), load_words()
    return Lexicon(
        tags, words, encode, 0.85,  # type: ignore[arg-type]
        groups=load_groups(tags, words), translations=load_translations(), real_words=load_real_words(),
    )  # fmt: skip


@pytest.mark.parametrize(
    ("query", "tags"),
    [
        ("개", ["dog"]), ("犬", ["dog"]), ("狗", ["dog"]), ("Hund", ["dog"]), ("chien", ["dog"]), ("perro", ["dog"]),
        ("🐶", ["dog"]), ("dgo", ["dog"]), ("고양이와 강아지", ["cat", "dog"]), ("海边的狗", ["beach", "dog"]),
        ("犬と猫", ["dog", "cat"]), ("Strand mit Hund", ["beach", "dog"]), ("cheval et chien", ["horse", "dog"]),
        ("perro en la playa", ["dog", "beach"]), ("🐶🏖️", ["dog", "beach"]), ("hot dgo", ["hot dog"]),
        ("bird of prey and dog", ["bird of prey", "dog"]), ("dog 猫 🐴", ["dog", "cat", "horse"]),
        ("elephnat", ["elephant"]), ("restaurnat", ["restaurant"]), ("flowr", ["flower"]), ("coffe", ["coffee"]),
        ("four", ["stove"]), ("주방 가전", ["kitchen appliance"]), ("Kaffeemaschine", ["coffee machine"]),
    ],
)  # fmt: skip
def test_a_query_finds_tags_in_any_language_misspelt_and_mixed(lexicon: Lexicon, query: str, tags: list[str]) -> None:
    named = {tag.name: tag.classes for tag in load_tags()} | load_groups(load_tags(), load_words())
    meaning = lexicon.query(query)
    assert meaning is not None
    assert [set(part) for part in meaning.parts] == [set(named[tag]) for tag in tags]
    assert meaning.understood == 1


@pytest.mark.parametrize(
    "query", ["cake", "Kuchen", "gâteau", "girafe", "무지개", "日落", "牛肉", "馬鹿", "👍", "Sonnenuntergang"]
)
def test_a_word_for_something_else_has_no_meaning_in_any_language(query: str) -> None:
    assert open_lexicon(nothing_near).query(query) is None


def test_every_word_of_the_table_is_understood_as_a_query(lexicon: Lexicon) -> None:
    for row in load_translations():
        if row.tag in {"portrait", "group"}:
            continue
        meaning = lexicon.query(row.word)
        assert meaning is not None, row
        assert meaning.understood == 1, row


_ANY = st.text(max_size=40) | st.text("犬猫と的🐶-\"'고양이를 abdogäé\u200d\ufe0f", max_size=40)


@given(_ANY)
def test_no_query_crashes(text: str) -> None:
    asked = parse_query(text)
    lexicon = _SHARED or _SHARED.append(open_lexicon(nothing_near)) or _SHARED
    for part in (asked.wanted, *asked.excluded):
        people = split_people(part)
        for words in (part, people.rest):
            meaning = lexicon[0].query(words)
            assert meaning is None or (meaning.parts and 0 < meaning.understood <= 1)


_SHARED: list[Lexicon] = []


@given(_ANY)
def test_a_query_without_a_minus_excludes_nothing(text: str) -> None:
    calm = "".join(character for character in text if character not in "-\u2212\u2013\uff0d")
    assert parse_query(calm) == Query(calm.strip(), ())
