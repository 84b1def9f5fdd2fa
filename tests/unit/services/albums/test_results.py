"""Results of analyses from groupings: pure functions, so the hard cases need no server."""

from __future__ import annotations

import random

import pytest

from deployments.algorithms.duplicates.groups import DuplicateLink, group_duplicates
from serve_app.services.albums.album_faces import AlbumFace
from serve_app.services.albums.duplicate_report import duplicates_result, group_items, pairs_between_groups
from serve_app.services.albums.items import Item
from serve_app.services.albums.people import people_result
from serve_app.services.albums.results import DuplicateGroup, DuplicatesResult
from serve_app.services.albums.tags import tags_result


def an_item(ref: str, sha: str, width: int = 100, height: int = 80, size: int = 5000) -> Item:
    return Item(ref, f"img_{ref}", sha, width, height, size, "image/jpeg")


def duplicates(
    items: list[Item], links: list[DuplicateLink], borders: dict[str, int] | None = None
) -> DuplicatesResult:
    groups = group_items(items, links, "copy")
    return duplicates_result(items, groups, links, borders or {}, [])


def groups_of(answer: DuplicatesResult) -> list[DuplicateGroup]:
    assert answer.groups is not None
    return answer.groups


def test_two_uploads_of_the_same_bytes_are_exact_duplicates_without_any_link() -> None:
    answer = duplicates([an_item("b", "1"), an_item("a", "1"), an_item("c", "2")], [])
    assert answer.duplicates == {"duplicate_group_1": ["a", "b"]}
    assert {member.level for member in groups_of(answer)[0].members} == {"exact"}


def test_an_image_alone_is_no_group() -> None:
    assert duplicates([an_item("a", "1")], []).duplicates == {}


def test_the_larger_image_is_kept_and_the_answer_says_why() -> None:
    items = [an_item("small", "1", 50, 40), an_item("large", "2", 500, 400)]
    [group] = groups_of(duplicates(items, [DuplicateLink("1", "2", "copy", 0.9)]))
    assert group.keep == "large"
    assert group.keep_reason == "highest resolution"
    assert [(m.image, m.score, m.level) for m in group.members] == [
        ("large", 1.0, "exact"),
        ("small", 0.9, "copy"),
    ]


def test_of_two_copies_the_noisy_one_is_not_kept_for_its_larger_file() -> None:
    items = [an_item("clean", "1", size=5000), an_item("noisy", "2", size=20_000)]
    links = [DuplicateLink("1", "2", "copy", 0.9)]
    answer = duplicates_result(items, group_items(items, links, "copy"), links, {}, [], quality={"1": 0.9, "2": 0.7})
    [group] = groups_of(answer)
    assert (group.keep, group.keep_reason) == ("clean", "best quality")


def test_a_screenshot_with_many_pixels_is_not_kept_for_its_border() -> None:
    items = [an_item("photo", "1", 400, 300), an_item("screenshot", "2", 1000, 2000)]
    [group] = groups_of(duplicates(items, [DuplicateLink("1", "2", "copy", 0.9)], {"2": 350 * 260}))
    assert group.keep == "photo"


def test_unlike_images_are_not_chained_through_a_third() -> None:
    items = [an_item(name, name) for name in "abcd"]
    links = [
        DuplicateLink("a", "b", "copy", 0.9),
        DuplicateLink("b", "c", "copy", 0.9),
        DuplicateLink("c", "d", "copy", 0.9),
    ]
    for group in duplicates(items, links).duplicates.values():
        linked = {frozenset((link.left, link.right)) for link in links}
        assert any(all(frozenset((centre, other)) in linked for other in group if other != centre) for centre in group)


def test_more_copies_than_there_are_candidate_pairs_come_together_over_their_centres() -> None:
    copies, known = set(), {(a, b) for a in range(40) for b in range(a + 1, min(a + 5, 40))}
    copies |= known  # each knows four neighbours; all forty are copies of one picture
    for _ in range(3):
        copies |= pairs_between_groups(copies)
    groups = group_duplicates(
        [str(n) for n in range(40)], [DuplicateLink(str(a), str(b), "copy", 1.0) for a, b in copies]
    )
    assert len(groups[0].members) > 3 * 9
    assert len(copies) < 40 * 39 / 2


def test_groups_without_a_link_suggest_nothing() -> None:
    assert pairs_between_groups({(0, 1), (2, 3)}) == set()


def test_duplicates_do_not_depend_on_the_order_of_items_and_links() -> None:
    items = [an_item(f"r{n}", str(n % 7), 50 + n % 3, 40) for n in range(12)]
    links = [
        DuplicateLink(str(a), str(b), "copy", 0.8 + a / 100) for a in range(6) for b in range(a + 1, 7) if (a + b) % 3
    ]
    expected = duplicates(items, links)
    for seed in range(5):
        shuffle = random.Random(seed).shuffle
        shuffle(items)
        shuffle(links)
        assert duplicates(items, links) == expected


def a_face(face_id: str, sha: str, quality: float = 0.5) -> AlbumFace:
    return AlbumFace(face_id, sha, (1, 2, 30, 40), 0.9, quality)


def test_people_are_ordered_by_their_images_and_named_in_that_order() -> None:
    items = [an_item("a", "1"), an_item("b", "2"), an_item("c", "2")]
    faces = [a_face("f1", "1"), a_face("f2", "2"), a_face("f3", "2", 0.9)]
    answer = people_result(items, faces, {"f1": "per_x", "f2": "per_x", "f3": "per_y"}, [], 1)
    assert answer.people_clusters == {"person1": ["a", "b", "c"], "person2": ["b", "c"]}
    assert [(person.id, person.name) for person in answer.people or ()] == [
        ("per_x", "person1"),
        ("per_y", "person2"),
    ]


def test_unassigned_faces_are_listed_apart() -> None:
    answer = people_result([an_item("a", "1")], [a_face("f1", "1", 0.05)], {}, [], 1)
    assert answer.people_clusters == {}
    assert [face.image for face in answer.unassigned_faces or ()] == ["a"]


def test_the_best_face_represents_a_person() -> None:
    items = [an_item("a", "1"), an_item("b", "2")]
    faces = [a_face("f1", "1", 0.4), a_face("f2", "2", 0.8)]
    [person] = people_result(items, faces, {"f1": "p", "f2": "p"}, [], 1).people or ()
    assert person.representative_face.image == "b"


@pytest.mark.parametrize(("least", "left"), [(1, 2), (2, 1), (3, 0)])
def test_people_in_too_few_images_are_left_out(least: int, left: int) -> None:
    items = [an_item("a", "1"), an_item("b", "2")]
    faces = [a_face("f1", "1"), a_face("f2", "2"), a_face("f3", "2")]
    answer = people_result(items, faces, {"f1": "p", "f2": "p", "f3": "q"}, [], least)
    assert len(answer.people_clusters) == len(answer.people or ()) == left


def with_a_stranger(*images: str) -> tuple[list[Item], list[AlbumFace], dict[str, str]]:
    """Images of one person, each with a stranger far behind, who is the same in all."""
    items = [an_item(name, name, 1000, 800) for name in images]
    near = [AlbumFace(f"near {name}", name, (100, 100, 300, 300), 0.9, 0.9) for name in images]
    far = [AlbumFace(f"far {name}", name, (700, 100, 760, 160), 0.9, 0.9) for name in images]
    return items, near + far, {face.id: "friend" for face in near} | {face.id: "stranger" for face in far}


def test_a_bystander_of_one_image_is_no_person_but_an_unassigned_face() -> None:
    answer = people_result(*with_a_stranger("a"), [], 1)
    assert [person.id for person in answer.people or ()] == ["friend"]
    assert [face.bbox for face in answer.unassigned_faces or ()] == [(700, 100, 760, 160)]


def test_bystanders_are_people_where_they_are_asked_for() -> None:
    answer = people_result(*with_a_stranger("a"), [], 1, bystanders=True)
    assert {person.id for person in answer.people or ()} == {"friend", "stranger"}
    assert answer.unassigned_faces == []


def test_a_stranger_who_comes_again_is_a_person() -> None:
    assert len(people_result(*with_a_stranger("a", "b"), [], 1).people_clusters) == 2


def test_the_same_file_uploaded_twice_makes_no_person_of_a_bystander() -> None:
    items, faces, person_of = with_a_stranger("a")
    answer = people_result([*items, an_item("again", "a", 1000, 800)], faces, person_of, [], 1)
    assert answer.people_clusters == {"person1": ["a", "again"]}


def test_tags_list_every_reference_of_a_content_the_most_frequent_tag_first() -> None:
    items = [an_item("b", "1"), an_item("a", "1"), an_item("c", "2")]
    answer = tags_result(items, {"1": {"dog": 0.9, "pet": 0.8}, "2": {"pet": 0.7}}, [])
    assert list(answer.tags.items()) == [("pet", ["a", "b", "c"]), ("dog", ["a", "b"])]
    assert answer.scores is not None
    assert answer.scores["c"] == {"pet": 0.7}
    assert set(answer.without_details().model_dump()) == {"tags", "failed"}
