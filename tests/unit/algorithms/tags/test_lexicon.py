"""Meanings of labels and queries, and the tagger over them; the sentence model is a stand-in with known neighbours."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from deployments.algorithms.tags.imagenet import ImageNetTagger, TaggerRules
from deployments.algorithms.tags.lexicon import Lexicon, Meaning, relevance
from deployments.algorithms.tags.vocabulary import Tag, load_class_names, load_tags
from deployments.algorithms.tags.words import load_groups, load_words, singular
from deployments.contracts.arrays import VIEWS
from deployments.errors import NotSupported

DOG, BEACH, TOASTER, POODLE = (1, 2), (3,), (4,), (2,)
TAGS = (
    Tag("dog", DOG, ("puppy",)),
    Tag("beach", BEACH, ("seaside",)),
    Tag("toaster", TOASTER),
    Tag("hot dog", (5,)),
    Tag("water", (3, 6), listed=False),
)
NEAR = {"hound": "dog", "toast": "toaster"}
"""Text -> what the sentence model finds most alike; anything else is like nothing."""


def encode(texts: Sequence[str]) -> np.ndarray:
    axes = sorted({word for tag in TAGS for word in (tag.name, *tag.words)})
    vectors = np.zeros((len(texts), len(axes) + 1), np.float32)
    for row, text in enumerate(texts):
        word = NEAR.get(text, text)
        vectors[row, axes.index(word) if word in axes else -1] = 1
    return vectors


@pytest.fixture
def lexicon() -> Lexicon:
    return Lexicon(TAGS, {"poodle": POODLE, "shore": BEACH}, encode, min_cosine=0.85)


@pytest.mark.parametrize(
    "text", ["dog", "Dogs", " DOG ", "puppies", "a photo of a dog", "pictures of dogs", "two dogs"]
)
def test_a_tag_is_known_in_every_spelling(lexicon: Lexicon, text: str) -> None:
    assert lexicon.label(text) == Meaning((DOG,), 1.0)


def test_wordnet_names_over_the_classes_are_known(lexicon: Lexicon) -> None:
    assert lexicon.label("poodles") == Meaning((POODLE,), 1.0)


def test_the_longest_known_phrase_of_a_query_counts(lexicon: Lexicon) -> None:
    assert lexicon.label("hot dogs") == Meaning(((5,),), 1.0)


def test_a_close_synonym_is_found_by_the_sentence_model(lexicon: Lexicon) -> None:
    assert lexicon.label("hound") == Meaning((DOG,), 1.0)


def test_a_piece_of_a_tags_name_is_another_thing(lexicon: Lexicon) -> None:
    assert lexicon.label("toast") is None


@pytest.mark.parametrize("text", ["invoice", "", "   ", "the", "🙂", "a photo of", "!!!"])
def test_a_text_that_means_nothing_here_has_no_meaning(lexicon: Lexicon, text: str) -> None:
    assert lexicon.label(text) is None
    assert lexicon.query(text) is None


def test_several_things_in_one_query_are_all_asked_for(lexicon: Lexicon) -> None:
    assert lexicon.query("dog on a beach") == Meaning((DOG, BEACH), 1.0)


def test_a_query_is_understood_in_part_and_a_label_is_not(lexicon: Lexicon) -> None:
    assert lexicon.query("purple dog") == Meaning((DOG,), 0.5)
    assert lexicon.label("purple dog") is None


@given(st.text(max_size=30))
def test_any_text_has_a_meaning_or_none(text: str) -> None:
    meaning = Lexicon(TAGS, {}, encode, min_cosine=0.85).query(text)
    assert meaning is None or (meaning.parts and 0 < meaning.understood <= 1)


@pytest.mark.parametrize(
    ("plural", "word"),
    [
        ("dogs", "dog"), ("buses", "bus"), ("churches", "church"), ("boxes", "box"), ("puppies", "puppy"),
        ("mice", "mouse"), ("wolves", "wolf"), ("glasses", "glass"), ("glass", "glass"), ("tennis", "tennis"),
        ("bus", "bus"), ("potatoes", "potato"), ("shoes", "shoe"), ("canoes", "canoe"), ("pies", "pie"), ("gas", "gas"),
        ("dog's", "dog"), ("ice-cream_cones", "ice cream cone"),
    ],
)  # fmt: skip
def test_every_word_of_a_phrase_is_put_in_the_singular(plural: str, word: str) -> None:
    assert singular(plural) == word


def test_every_word_of_the_vocabulary_means_its_own_tag() -> None:
    def never(_: Sequence[str]) -> np.ndarray:
        raise AssertionError("a listed word needs no sentence model")

    lexicon = Lexicon(load_tags(), load_words(), never, 0.85)
    for tag in load_tags():
        for phrase in (tag.name, *tag.words):
            assert lexicon.label(phrase) == Meaning((tag.classes,), 1.0), phrase


@pytest.mark.parametrize(
    ("word", "size"), [("spaniel", 7), ("golden retriever", 1), ("footwear", 3), ("terrier", 26), ("rodent", 6)]
)
def test_wordnet_names_over_the_classes_are_in_the_list(word: str, size: int) -> None:
    assert len(load_words()[word]) == size


@pytest.mark.parametrize("word", ["kite", "light", "object", "entity", "device", "opossum", "boxer", "spot"])
def test_words_with_another_first_meaning_are_not_in_the_list(word: str) -> None:
    assert word not in load_words()


@pytest.mark.parametrize(
    ("group", "members"),
    [
        ("kitchen appliance", ["dishwasher", "refrigerator", "stove", "microwave"]),
        ("coffee machine", ["espresso maker"]),
        ("coffee maker", ["espresso maker"]),
        ("tableware", ["plate", "cup", "soup bowl"]),
        ("headwear", ["sombrero", "crash helmet"]),
        ("sea animal", ["lionfish", "killer whale", "jellyfish"]),
        ("public transport", ["school bus", "streetcar"]),
    ],
)
def test_a_group_holds_what_people_mean_by_it(group: str, members: list[str]) -> None:
    names = load_class_names()
    assert {names.index(member) for member in members} <= set(load_groups(load_tags(), load_words())[group])


def test_no_group_has_the_name_of_a_tag_or_of_another_group() -> None:
    groups = load_groups(load_tags(), load_words())
    tags = {singular(phrase) for tag in load_tags() for phrase in (tag.name, *tag.words)}
    assert not tags & {singular(name) for name in groups}
    assert len({singular(name) for name in groups}) == len(groups)


def test_a_group_with_an_unknown_member_is_refused_by_name(tmp_path: Path) -> None:
    path = tmp_path / "groups.toml"
    path.write_text('gear = { of = ["dog", "zyzzyva"] }')
    with pytest.raises(ValueError, match=r"groups\.toml: gear holds zyzzyva"):
        load_groups(TAGS, {}, path)


def test_an_image_must_show_every_part_of_a_query() -> None:
    meaning = Meaning((DOG, BEACH), 1.0)
    both, one = relevance(meaning, np.array([[0.5, 0.4], [0.99, 0.0]], np.float32))
    assert both == pytest.approx(np.sqrt(0.2), rel=1e-4)
    assert one < 0.01


def probabilities_as_logits(*pictures: dict[int, float]) -> np.ndarray:
    """View "vectors" that stand for their own logits: an image is class -> probability, of 1000."""
    rest = np.full((len(pictures), len(VIEWS), 1000), 1e-9, np.float32)
    for row, picture in enumerate(pictures):
        for number, probability in picture.items():
            rest[row, :, number] = probability
    return np.log(rest)


@pytest.fixture
def tagger(lexicon: Lexicon) -> ImageNetTagger:
    return ImageNetTagger(lambda logits: logits, TAGS, lexicon, TaggerRules(temperature=1.0, min_familiarity=-1.0))


def test_a_tag_has_the_probability_of_its_classes(tagger: ImageNetTagger) -> None:
    (scores,) = tagger.tag(probabilities_as_logits({1: 0.5, 2: 0.3, 3: 0.2}))
    assert scores == pytest.approx({"dog": 0.8, "beach": 0.2 * TaggerRules().rival_factor}, abs=1e-4)


def test_a_tag_beside_a_likelier_class_is_doubted(tagger: ImageNetTagger) -> None:
    (scores,) = tagger.tag(probabilities_as_logits({1: 0.3, 2: 0.24, 9: 0.4, 4: 0.06}))
    assert scores["dog"] == pytest.approx(0.27, abs=1e-4)


def test_a_tag_that_holds_the_likeliest_class_is_not_doubted(tagger: ImageNetTagger) -> None:
    (scores,) = tagger.tag(probabilities_as_logits({1: 0.42, 2: 0.1, 9: 0.41, 4: 0.07}))
    assert scores["dog"] == pytest.approx(0.52, abs=1e-4)


def test_a_dog_of_many_breeds_is_not_doubted_for_a_ball_beside_it(tagger: ImageNetTagger) -> None:
    (scores,) = tagger.tag(probabilities_as_logits({1: 0.31, 2: 0.3, 9: 0.3, 4: 0.09}))
    assert scores["dog"] == pytest.approx(0.61, abs=1e-4)
    (scores,) = tagger.tag(probabilities_as_logits({1: 0.3, 2: 0.3, 9: 0.301 - 1e-3, 4: 0.1}))
    assert scores["dog"] == pytest.approx(0.6, abs=1e-4)


def tag_at(lexicon: Lexicon, picture: dict[int, float], off: float) -> dict[str, float]:
    """Tag an image whose vector points `off` from the nearest class, in lengths of what points at it."""
    (logits,) = probabilities_as_logits(picture)[:, 0]
    tagger = ImageNetTagger(lambda vectors: logits + vectors[..., :1], TAGS, lexicon, TaggerRules(temperature=1.0))
    (scores,) = tagger.tag(np.full((1, len(VIEWS), 2), (10.0, 10.0 * off), np.float32))
    return scores


def test_tags_under_one_half_are_doubted_in_an_image_like_nothing_that_was_learnt(lexicon: Lexicon) -> None:
    picture = {1: 0.4, 2: 0.05, 9: 0.3, 4: 0.25}
    assert tag_at(lexicon, picture, off=0.5)["dog"] == pytest.approx(0.45, abs=1e-4)
    assert tag_at(lexicon, picture, off=3.0)["dog"] == pytest.approx(0.45 * TaggerRules().unfamiliar_factor, abs=1e-4)


def test_a_tag_over_one_half_stays_in_an_image_like_nothing_that_was_learnt(lexicon: Lexicon) -> None:
    assert tag_at(lexicon, {1: 0.5, 2: 0.2, 9: 0.3}, off=3.0)["dog"] == pytest.approx(0.7, abs=1e-4)


def test_a_label_beside_a_likelier_class_is_doubted(tagger: ImageNetTagger) -> None:
    pictures = probabilities_as_logits({1: 0.3, 2: 0.24, 9: 0.4, 4: 0.06})
    assert tagger.judge(pictures, ["dog"])[0]["dog"] == pytest.approx(0.27, abs=1e-4)


def test_a_search_finds_what_stands_beside_a_likelier_thing(tagger: ImageNetTagger) -> None:
    assert tagger.search("beach", probabilities_as_logits({3: 0.3, 9: 0.7}))[0] == pytest.approx(0.3, abs=1e-4)


def test_a_tag_that_is_not_listed_is_given_only_when_asked_for(tagger: ImageNetTagger) -> None:
    pictures = probabilities_as_logits({3: 0.9, 7: 0.1})
    assert "water" not in tagger.tag(pictures)[0]
    assert tagger.judge(pictures, ["water"])[0]["water"] == pytest.approx(0.9, abs=1e-4)


def test_labels_are_answered_in_the_clients_spelling_and_unknown_ones_are_absent(tagger: ImageNetTagger) -> None:
    (scores,) = tagger.judge(probabilities_as_logits({1: 0.9, 9: 0.1}), ["Puppies", "invoice", "seaside"])
    assert scores == pytest.approx({"Puppies": 0.9, "seaside": 0.0}, abs=1e-4)


def test_no_label_that_is_known_leaves_every_dict_empty(tagger: ImageNetTagger) -> None:
    assert tagger.judge(probabilities_as_logits({1: 1.0}, {2: 1.0}), ["invoice"]) == [{}, {}]


def test_search_finds_the_image_that_shows_the_query_and_no_other(tagger: ImageNetTagger) -> None:
    found = tagger.search("dogs", probabilities_as_logits({1: 0.9, 7: 0.1}, {3: 0.95, 1: 0.05}))
    assert found[0] == pytest.approx(0.9, abs=1e-4)
    assert found[1] == 0


def test_search_for_two_things_prefers_the_image_with_both(tagger: ImageNetTagger) -> None:
    both, dog_only = tagger.search("dog on a beach", probabilities_as_logits({1: 0.5, 3: 0.5}, {1: 1.0}))
    assert both > 0.4
    assert dog_only == 0


def test_search_for_an_unknown_word_is_refused(tagger: ImageNetTagger) -> None:
    with pytest.raises(NotSupported, match="search for a tag"):
        tagger.search("invoice", probabilities_as_logits({1: 1.0}))


def test_no_images_have_no_tags(tagger: ImageNetTagger) -> None:
    none = np.empty((0, len(VIEWS), 1000), np.float32)
    assert tagger.tag(none) == []
    assert tagger.judge(none, ["dog"]) == []
    assert tagger.search("dog", none).shape == (0,)
