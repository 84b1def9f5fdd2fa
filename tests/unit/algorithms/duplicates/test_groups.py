"""Duplicate groups, links between candidates, and the choice of the image to keep."""

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deployments.algorithms.duplicates.groups import (
    DuplicateLink,
    Member,
    choose_keeper,
    classify_pair,
    group_duplicates,
)
from deployments.contracts.albums import PairVerdict

KEYS = [f"k{number:02}" for number in range(14)]
LEVELS = ("exact", "copy", "similar")

edges_among_keys = st.lists(
    st.builds(
        DuplicateLink,
        left=st.sampled_from(KEYS),
        right=st.sampled_from(KEYS),
        level=st.sampled_from(LEVELS),
        score=st.floats(0, 1, width=32),
    ),
    max_size=40,
)


def copies(*pairs, score=0.9):
    return [DuplicateLink(left, right, "copy", score) for left, right in pairs]


def members(groups):
    return [group.members for group in groups]


@given(edges_among_keys, st.sampled_from(LEVELS))
def test_an_image_is_in_at_most_one_duplicate_group_and_groups_have_two_or_more(edges, level):
    groups = group_duplicates(KEYS, edges, level)
    placed = [key for group in groups for key in group.members]
    assert len(placed) == len(set(placed))
    assert all(len(group.members) >= 2 and group.centre in group.members for group in groups)


@given(edges_among_keys, st.sampled_from(LEVELS), st.randoms(use_true_random=False))
def test_groups_do_not_depend_on_the_order_of_keys_and_edges(edges, level, shuffle):
    keys, mixed = list(KEYS), [random_side(edge, shuffle) for edge in edges]
    shuffle.shuffle(keys)
    shuffle.shuffle(mixed)
    assert group_duplicates(keys, mixed, level) == group_duplicates(KEYS, edges, level)


def random_side(edge: DuplicateLink, shuffle: random.Random) -> DuplicateLink:
    return edge if shuffle.random() < 0.5 else DuplicateLink(edge.right, edge.left, edge.level, edge.score)


@given(edges_among_keys)
def test_groups_of_a_stricter_level_stay_together_in_a_looser_one(edges):
    for strict, loose in (("exact", "copy"), ("copy", "similar")):
        loose_groups = [set(group.members) for group in group_duplicates(KEYS, edges, loose)]
        for group in group_duplicates(KEYS, edges, strict):
            assert any(set(group.members) <= other for other in loose_groups)


@given(st.lists(st.tuples(st.sampled_from(KEYS), st.sampled_from(KEYS)), max_size=40))
def test_every_member_is_linked_to_the_centre_itself(pairs):
    linked = {frozenset(pair) for pair in pairs}
    for group in group_duplicates(KEYS, copies(*pairs)):
        for member in set(group.members) - {group.centre}:
            assert frozenset((member, group.centre)) in linked


def test_crops_of_opposite_corners_meet_only_at_their_original():
    process_original = group_duplicates(["crop1", "crop2", "whole"], copies(("crop1", "whole"), ("whole", "crop2")))
    assert members(process_original) == [("crop1", "crop2", "whole")]
    assert process_original[0].centre == "whole"


def test_a_chain_of_links_is_not_one_group():
    groups = group_duplicates("abcd", copies(("a", "b"), ("b", "c"), ("c", "d")))
    assert sorted(len(group.members) for group in groups) in ([3], [2, 2])


def test_identical_files_are_one_image_to_the_looser_levels():
    edges = [
        DuplicateLink("a", "b", "exact", 1),
        DuplicateLink("b", "c", "copy", 0.9),
        DuplicateLink("a", "d", "similar", 0.9),
    ]
    assert members(group_duplicates("abcd", edges, "exact")) == [("a", "b")]
    assert members(group_duplicates("abcd", edges, "copy")) == [("a", "b", "c")]
    assert members(group_duplicates("abcd", edges, "similar")) == [("a", "b", "c", "d")]


def test_the_level_of_a_group_is_the_loosest_link_in_it():
    edges = [
        DuplicateLink("a", "b", "exact", 1),
        DuplicateLink("c", "d", "exact", 1),
        DuplicateLink("d", "e", "copy", 0.8),
    ]
    assert {group.members: group.level for group in group_duplicates("abcde", edges)} == {
        ("a", "b"): "exact",
        ("c", "d", "e"): "copy",
    }


def test_scores_of_a_group_tell_how_each_member_is_linked():
    (group,) = group_duplicates("abc", [DuplicateLink("a", "b", "copy", 0.7), DuplicateLink("a", "c", "copy", 0.8)])
    assert group.scores == {"b": 0.7, "c": 0.8}


def test_an_image_is_no_duplicate_of_itself():
    assert group_duplicates("ab", copies(("a", "a"))) == []


def test_a_duplicate_link_to_an_unknown_image_is_refused():
    with pytest.raises(ValueError, match="unknown"):
        group_duplicates("ab", copies(("a", "z")))


def test_thousands_of_images_are_grouped_at_once():
    keys = [f"{number:05}" for number in range(20_000)]
    groups = group_duplicates(keys, copies(*zip(keys[::2], keys[1::2], strict=True)))
    assert len(groups) == 10_000


def test_candidates_are_linked_as_copies_by_the_verdict():
    assert classify_pair("a", "b", 0.6, PairVerdict(True, 0.9, 1.0), 0.85) == DuplicateLink("a", "b", "copy", 0.9)


def test_look_alikes_of_one_place_are_similar():
    one_place = PairVerdict(False, 0.3, 0.9)
    assert classify_pair("a", "b", 0.9, one_place, 0.85) == DuplicateLink("a", "b", "similar", 0.9)
    assert classify_pair("a", "b", 0.8, one_place, 0.85) is None


def test_look_alikes_of_unknown_place_are_similar_only_when_nearly_equal():
    unknown_place = PairVerdict(False, 0.0, 0.0)
    assert classify_pair("a", "b", 0.91, unknown_place, 0.85) is None
    assert classify_pair("a", "b", 0.97, unknown_place, 0.85) == DuplicateLink("a", "b", "similar", 0.97)


def member(key, **changes):
    return Member(
        **{"key": key, "width": 4000, "height": 3000, "bytes": 4_000_000, "content_type": "image/jpeg"} | changes
    )


@pytest.mark.parametrize(
    ("worse", "reason"),
    [
        ({"width": 2000, "height": 1500, "bytes": 3_900_000}, "highest resolution"),
        ({"width": 4400, "height": 3300, "has_border": True, "content_pixels": 12_000_000}, "no border"),
        ({"has_overlay": True, "bytes": 8_000_000}, "nothing drawn on it"),
        ({"agreement": 0.9}, "fewest changes"),
        ({"quality": 0.9, "bytes": 8_000_000}, "best quality"),
        ({"bytes": 900_000}, "least compressed"),
        ({"content_type": "image/webp"}, "original format"),
        ({"key": "z"}, "equal in quality"),
    ],
)
def test_the_better_image_is_kept_and_the_reason_named(worse, reason):
    best, other = member("best"), member(**{"key": "another"} | worse)
    assert choose_keeper([best, other]) == ("best", reason)
    assert choose_keeper([other, best]) == ("best", reason)


def test_a_large_lossless_copy_of_a_fine_photo_does_not_beat_it():
    png = member("png", content_type="image/png", bytes=25_000_000)
    fine = member("jpeg", bytes=13_000_000)
    assert choose_keeper([png, fine]) == ("jpeg", "original format")


def test_choosing_a_keeper_of_no_members_is_refused():
    with pytest.raises(ValueError, match="no members"):
        choose_keeper([])


pairs_apart = st.lists(st.tuples(st.sampled_from(KEYS), st.sampled_from(KEYS)).filter(lambda pair: pair[0] != pair[1]))


@given(edges_among_keys, st.sampled_from(LEVELS), pairs_apart)
def test_what_is_said_to_be_no_duplicates_is_in_no_group_together(edges, level, apart):
    for group in group_duplicates(KEYS, edges, level, apart=apart):
        assert not any({a, b} <= set(group.members) for a, b in apart)


@given(edges_among_keys, st.sampled_from(LEVELS), pairs_apart, st.randoms(use_true_random=False))
def test_groups_do_not_depend_on_the_order_of_what_is_apart(edges, level, apart, shuffle):
    mixed = [pair if shuffle.random() < 0.5 else pair[::-1] for pair in apart]
    shuffle.shuffle(mixed)
    assert group_duplicates(KEYS, edges, level, apart=mixed) == group_duplicates(KEYS, edges, level, apart=apart)


def test_of_two_that_are_apart_a_third_takes_the_one_that_it_is_closer_to():
    edges = [DuplicateLink("new", "a", "copy", 0.8), DuplicateLink("new", "b", "copy", 0.9)]
    assert members(group_duplicates(["a", "b", "new"], edges, apart=[("a", "b")])) == [("b", "new")]
