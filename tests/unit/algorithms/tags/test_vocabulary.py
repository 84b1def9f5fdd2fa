"""Tags from class probabilities and from faces, and the reviewed vocabulary."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from deployments.algorithms.tags.queries import people_tag
from deployments.algorithms.tags.vocabulary import (
    IMAGENET_CLASSES,
    TAG_VIEWS,
    TagRules,
    class_probabilities,
    class_ranges,
    concept_probabilities,
    expand_ranges,
    load_class_names,
    load_tags,
    merge_scores,
    people_tags,
    select_tags,
)
from deployments.contracts.arrays import VIEWS

FACE = (40.0, 40.0, 60.0, 60.0)
"""4 % of an image of 100 x 100."""
DOMINANT = (20.0, 20.0, 70.0, 80.0)

scores = st.dictionaries(st.text(min_size=1, max_size=5), st.floats(0, 1), max_size=20)


@given(arrays(np.float32, (3, 2, 8), elements=st.floats(-30, 30, width=32)), st.floats(0.2, 3))
def test_class_probabilities_add_up_to_one(logits: np.ndarray, temperature: float) -> None:
    probabilities = class_probabilities(logits, temperature)
    assert probabilities.shape == (3, 8)
    np.testing.assert_allclose(probabilities.sum(axis=1), 1, rtol=1e-4)
    assert (probabilities >= 0).all()


def test_huge_logits_do_not_overflow() -> None:
    probabilities = class_probabilities(np.array([[[1e4, -1e4, 0]]], np.float32), 0.8)
    np.testing.assert_allclose(probabilities, [[1, 0, 0]], atol=1e-6)


def test_a_lower_temperature_makes_class_probabilities_surer() -> None:
    logits = np.array([[[2.0, 1.0, 0.0]]], np.float32)
    assert class_probabilities(logits, 0.5)[0, 0] > class_probabilities(logits, 1.0)[0, 0]


def test_views_count_alike_in_class_probabilities() -> None:
    logits = np.array([[[50.0, 0.0], [0.0, 50.0]]], np.float32)
    np.testing.assert_allclose(class_probabilities(logits, 1.0), [[0.5, 0.5]], atol=1e-6)


def test_a_concept_of_few_classes_has_the_sum_of_their_probabilities() -> None:
    probabilities = np.full((1, 100), 0.002, np.float32)
    probabilities[0, :3] = (0.5, 0.2, 0.1)
    np.testing.assert_allclose(concept_probabilities(probabilities, [(0, 1), (2,)], 0.18), [[0.7, 0.1]], rtol=1e-5)


def test_an_image_that_says_nothing_is_no_animal_though_four_classes_in_ten_are() -> None:
    nothing = np.full((1, IMAGENET_CLASSES), 1 / IMAGENET_CLASSES, np.float32)
    (animal,) = [tag for tag in load_tags() if tag.name == "animal"]
    assert concept_probabilities(nothing, [animal.classes], 0.18)[0, 0] == pytest.approx(0.18, abs=0.005)


@given(arrays(np.float32, 50, elements=st.floats(0, 1, width=32)), st.sets(st.integers(0, 49), min_size=1))
def test_concept_probabilities_stay_between_0_and_1_and_are_never_raised(
    weights: np.ndarray, classes: set[int]
) -> None:
    probabilities = (weights + np.float32(1e-3)) / (weights + np.float32(1e-3)).sum()
    summed = probabilities[sorted(classes)].sum()
    (score,) = concept_probabilities(probabilities[None], [sorted(classes)], 0.18)[0]
    assert 0 <= score <= summed + 1e-5


@given(scores, st.floats(0, 1), st.integers(1, 12))
def test_selected_tags_are_the_best_ones_over_the_threshold(found: dict[str, float], least: float, most: int) -> None:
    chosen = select_tags(found, TagRules(threshold=least, top_k=most, fallback=1.1))
    assert len(chosen) == min(most, sum(score >= least for score in found.values()))
    assert list(chosen.values()) == sorted(chosen.values(), reverse=True)
    left_out = [score for tag, score in found.items() if tag not in chosen and score >= least]
    assert not left_out or max(left_out) <= min(chosen.values())


@given(scores)
def test_selection_does_not_depend_on_the_order_of_the_scores(found: dict[str, float]) -> None:
    turned = dict(reversed(found.items()))
    assert list(select_tags(found, TagRules(0, 5))) == list(select_tags(turned, TagRules(0, 5)))


def test_the_clients_limits_replace_the_rules_of_selection() -> None:
    found = {"dog": 0.9, "pet": 0.4, "sofa": 0.3}
    rules = TagRules(threshold=0.5, top_k=10)
    assert list(select_tags(found, rules)) == ["dog"]
    assert list(select_tags(found, rules, threshold=0.35)) == ["dog", "pet"]
    assert list(select_tags(found, rules, threshold=0.0, top_k=1)) == ["dog"]
    assert list(select_tags(found, rules, top_k=0)) == []


def test_the_likeliest_tag_alone_is_given_where_none_reaches_the_threshold() -> None:
    found = {"dog": 0.45, "pet": 0.4, "sofa": 0.2}
    assert select_tags(found, TagRules(0.5, 10, fallback=0.3)) == {"dog": 0.45}


def test_no_tag_is_given_below_the_fallback() -> None:
    assert select_tags({"dog": 0.29}, TagRules(0.5, 10, fallback=0.3)) == {}


def test_a_tag_over_the_threshold_needs_no_fallback_beside_it() -> None:
    assert select_tags({"dog": 0.5, "sofa": 0.49}, TagRules(0.5, 10, fallback=0.3)) == {"dog": 0.5}


def test_the_clients_threshold_has_no_fallback() -> None:
    assert select_tags({"dog": 0.45}, TagRules(0.5, 10, fallback=0.3), threshold=0.5) == {}


def test_no_tags_asked_for_are_none_with_a_fallback_too() -> None:
    assert select_tags({"dog": 0.45}, TagRules(0.5, 10, fallback=0.3), top_k=0) == {}


@pytest.mark.parametrize(
    ("thing", "place"),
    [("studio couch", "living room"), ("studio couch", "room"), ("snorkel", "underwater"), ("bookshop", "book"),
     ("monastery", "church")],
)  # fmt: skip
def test_a_thing_that_is_seen_elsewhere_too_does_not_stand_for_its_place(thing: str, place: str) -> None:
    classes = {tag.name: set(tag.classes) for tag in load_tags()}
    assert load_class_names().index(thing) not in classes[place]


@pytest.mark.parametrize("animal", ["dingo", "hare", "fox squirrel", "Arabian camel", "black-footed ferret"])
def test_every_undomesticated_mammal_is_a_wild_animal(animal: str) -> None:
    (wild,) = [tag for tag in load_tags() if tag.name == "wild animal"]
    assert load_class_names().index(animal) in wild.classes


def test_merged_scores_are_those_of_the_surer_source() -> None:
    assert merge_scores({"person": 0.2, "dog": 0.9}, {"person": 0.8}) == {"person": 0.8, "dog": 0.9}


def test_no_face_makes_no_image_of_people() -> None:
    assert people_tags([], [], 100, 100) == {}


def test_a_face_in_the_far_background_makes_no_image_of_people() -> None:
    assert people_tags([(0, 0, 6, 6)], [0.99], 100, 100) == {}


def test_one_dominant_face_is_a_portrait_of_a_person() -> None:
    assert people_tags([DOMINANT], [0.9], 100, 100) == {"person": 0.9, "portrait": 0.9}


def test_a_portrait_keeps_a_small_bystander() -> None:
    assert "portrait" in people_tags([DOMINANT, (0, 0, 10, 10)], [0.9, 0.8], 100, 100)


def test_two_faces_of_one_size_are_people_and_no_portrait() -> None:
    assert people_tags([(0, 0, 40, 50), (50, 0, 90, 50)], [0.9, 0.7], 100, 100) == {"person": 0.9, "people": 0.7}


def test_three_faces_are_a_group_as_sure_as_the_third() -> None:
    faces = [(x, 0.0, x + 20, 20.0) for x in (0.0, 30.0, 60.0)]
    assert people_tags(faces, [0.6, 0.9, 0.8], 100, 100) == {"person": 0.9, "people": 0.8, "group": 0.6}


def test_a_face_box_turned_inside_out_makes_no_people_tags() -> None:
    assert people_tags([(60, 60, 40, 40)], [0.9], 100, 100) == {}


@given(st.permutations([(FACE, 0.9), (DOMINANT, 0.7), ((0.0, 0.0, 30.0, 30.0), 0.8)]))
def test_people_tags_do_not_depend_on_the_order_of_the_faces(faces: list[tuple[tuple[float, ...], float]]) -> None:
    boxes = [(box[0], box[1], box[2], box[3]) for box, _ in faces]
    assert people_tags(boxes, [score for _, score in faces], 100, 100) == {"person": 0.9, "people": 0.8, "group": 0.7}


@pytest.mark.parametrize(
    ("asked", "tag"),
    [("People", "person"), ("faces", "person"), ("portraits", "portrait"), ("Group photo", "group"), ("dog", None)],
)
def test_a_query_for_people_is_answered_by_faces(asked: str, tag: str | None) -> None:
    assert people_tag(asked) == tag


@given(st.sets(st.integers(0, 999)))
def test_class_ranges_round_trip(classes: set[int]) -> None:
    assert expand_ranges(class_ranges(classes)) == tuple(sorted(classes))


def test_the_tag_views_are_upright_ones() -> None:
    assert {VIEWS[index] for index in TAG_VIEWS} == {"whole", "crop"}


def test_every_tag_stands_for_known_classes_each_once() -> None:
    for tag in load_tags():
        assert tag.classes, tag.name
        assert len(set(tag.classes)) == len(tag.classes), tag.name
        assert 0 <= min(tag.classes) <= max(tag.classes) < IMAGENET_CLASSES, tag.name


def test_no_two_tags_share_a_word() -> None:
    words = [word for tag in load_tags() for word in (tag.name, *tag.words)]
    assert sorted(words) == sorted(set(words))


def test_there_is_a_name_for_each_class() -> None:
    names = load_class_names()
    assert len(names) == IMAGENET_CLASSES
    assert (names[0], names[207], names[999]) == ("tench", "golden retriever", "toilet tissue")


@pytest.mark.parametrize(
    ("narrow", "wide"),
    [
        ("dog", "animal"), ("cat", "pet"), ("lion", "wild animal"), ("butterfly", "insect"), ("snake", "reptile"),
        ("owl", "bird"), ("shark", "fish"), ("apple", "fruit"), ("pizza", "food"), ("taxi", "car"),
        ("truck", "vehicle"),
        ("piano", "musical instrument"), ("sailboat", "boat"), ("lighthouse", "building"), ("laptop", "computer"),
        ("bed", "furniture"), ("volcano", "mountain"), ("beach", "coast"), ("mosque", "building"),
    ],
)  # fmt: skip
def test_a_narrower_tag_never_comes_without_the_wider_one(narrow: str, wide: str) -> None:
    classes = {tag.name: set(tag.classes) for tag in load_tags()}
    assert classes[narrow] <= classes[wide]
