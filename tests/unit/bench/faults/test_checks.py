"""What counts as acknowledged, and what as wrong."""

from __future__ import annotations

from bench.faults.checks import acknowledged, differences
from bench.faults.journal import AlbumPost, Deletion


def test_an_album_with_a_post_that_nobody_acknowledged_may_be_either() -> None:
    known = acknowledged([AlbumPost(0, "0-0", [0], "job_1"), AlbumPost(0, "0-0", [1], None)])
    assert known.albums() == {}


def test_the_posts_of_an_album_are_held_in_their_order() -> None:
    posts = [AlbumPost(0, "0-0", [0], "job_1"), AlbumPost(1, "1-0", [0], "job_2"), AlbumPost(0, "0-0", [1], "job_3")]
    assert acknowledged(posts).albums() == {(0, "0-0"): [posts[0], posts[2]], (1, "1-0"): [posts[1]]}


def test_a_deleted_album_is_not_looked_for() -> None:
    known = acknowledged([AlbumPost(0, "0-0", [0], "job_1"), Deletion(0, "0-0", True)])
    assert (known.albums(), known.deleted) == ({}, {(0, "0-0")})


def test_an_answer_that_differs_from_the_undisturbed_one_is_wrong() -> None:
    found = {"tags of album 0-0": {"cat": [1]}, "people of album 0-0": [[1, 2]]}
    assert differences(found, {**found, "tags of album 0-0": {"cat": [2]}}) == [
        "tags of album 0-0: {'cat': [1]}, undisturbed {'cat': [2]}"
    ]
    assert differences(found, found) == []


def test_an_answer_that_only_the_disturbed_server_gave_is_wrong() -> None:
    assert len(differences({"style of picture 1": "hash"}, {})) == 1
