"""Groups of duplicates and their levels, over random links."""

from __future__ import annotations

import itertools

from hypothesis import given, settings
from hypothesis import strategies as st

from deployments.algorithms.duplicates.groups import DuplicateLink
from deployments.algorithms.duplicates.richness import Richness, is_rich
from deployments.contracts.albums import DuplicateLevel
from serve_app.services.albums.duplicate_report import duplicates_result, exact_links, group_items
from serve_app.services.albums.items import Item
from serve_app.services.albums.results import DuplicatesResult

LEVELS: tuple[DuplicateLevel, ...] = ("exact", "copy", "similar")
_RANK = {level: rank for rank, level in enumerate(LEVELS)}


def an_item(sha: str, pixels: int = 100, ref: str = "") -> Item:
    return Item(ref or f"ref-{sha}", f"img_{sha}", sha, pixels, 1, 1000, "image/png")


class Album:
    """Random contents, of which some show the same, with random links."""

    def __init__(self, draw: st.DrawFn) -> None:
        shas = [f"sha{number:02d}" for number in range(draw(st.integers(2, 9)))]
        self.digest = {sha: f"pixels{draw(st.integers(0, 5))}" for sha in shas}
        kinds = {
            digest: Richness(
                draw(st.sampled_from([1, 1, 1, 5, 9])),
                draw(st.booleans()),
                draw(st.sampled_from([8, 8, 16])),
                draw(st.sampled_from([100, 400])),
            )
            for digest in sorted(set(self.digest.values()))
        }
        self.richness = {sha: kinds[digest] for sha, digest in self.digest.items()}
        self.links = exact_links(self.digest) + [
            DuplicateLink(a, b, draw(st.sampled_from(["copy", "similar"])), draw(st.floats(0.5, 1)))
            for a, b in itertools.combinations(shas, 2)
            if draw(st.booleans())
        ]
        self.items = [an_item(sha, self.richness[sha].pixels) for sha in shas]
        self.items += [
            an_item(sha, self.richness[sha].pixels, f"again-{sha}") for sha in draw(st.sets(st.sampled_from(shas)))
        ]

    def result(self, level: DuplicateLevel) -> DuplicatesResult:
        groups = group_items(self.items, self.links, level, self.richness)
        return duplicates_result(self.items, groups, self.links, {}, [], self.richness)

    def sha_of(self, ref: str) -> str:
        return ref.split("-")[1]


albums = st.composite(Album)()


@settings(max_examples=200)
@given(album=albums, level=st.sampled_from(LEVELS))
def test_no_member_is_looser_than_the_level_that_was_asked_for(album: Album, level: DuplicateLevel) -> None:
    for group in album.result(level).groups or []:
        assert _RANK[group.level] <= _RANK[level]
        assert all(_RANK[member.level] <= _RANK[group.level] for member in group.members)


@settings(max_examples=200)
@given(album=albums, level=st.sampled_from(LEVELS))
def test_files_that_show_the_same_are_in_one_group_at_one_level(album: Album, level: DuplicateLevel) -> None:
    seen: dict[str, set[tuple[str, str]]] = {}
    for group in album.result(level).groups or []:
        for member in group.members:
            seen.setdefault(album.digest[album.sha_of(member.image)], set()).add((group.group, member.level))
    assert all(len(places) == 1 for places in seen.values())


@settings(max_examples=200)
@given(album=albums, level=st.sampled_from(LEVELS))
def test_exact_are_those_that_show_the_same_as_the_kept_one(album: Album, level: DuplicateLevel) -> None:
    for group in album.result(level).groups or []:
        kept = album.digest[album.sha_of(group.keep)]
        for member in group.members:
            assert (member.level == "exact") == (album.digest[album.sha_of(member.image)] == kept)


@settings(max_examples=300)
@given(album=albums, level=st.sampled_from(["exact", "copy"]))
def test_the_kept_copy_shows_all_that_the_others_show(album: Album, level: DuplicateLevel) -> None:
    for group in album.result(level).groups or []:
        shown = [album.richness[album.sha_of(member.image)] for member in group.members]
        if any(map(is_rich, shown)):
            assert all(album.richness[album.sha_of(group.keep)].covers(other) for other in shown)


@settings(max_examples=300)
@given(album=albums)
def test_a_kept_animation_is_linked_to_every_other_one_of_its_copies(album: Album) -> None:
    linked = {
        frozenset((album.digest[link.left], album.digest[link.right])) for link in album.links if link.level == "copy"
    }
    for group in album.result("copy").groups or []:
        rich = {
            album.digest[sha] for member in group.members if is_rich(album.richness[sha := album.sha_of(member.image)])
        }
        if rich:
            assert any(all(one == other or frozenset((one, other)) in linked for other in rich) for one in rich)


def test_of_two_animations_with_one_still_only_one_takes_it() -> None:
    items = [an_item("clip1"), an_item("clip2"), an_item("still")]
    richness = {"clip1": Richness(3, pixels=100), "clip2": Richness(3, pixels=100), "still": Richness(pixels=100)}
    links = [DuplicateLink("clip1", "still", "copy", 0.9), DuplicateLink("clip2", "still", "copy", 0.9)]
    [group] = group_items(items, links, "copy", richness)
    assert set(group.members) == {"clip1 ref-clip1", "still ref-still"}


@settings(max_examples=200)
@given(album=albums, level=st.sampled_from(LEVELS), draw=st.data())
def test_contents_that_are_no_duplicates_are_in_no_group_with_any_of_their_copies(
    album: Album, level: DuplicateLevel, draw: st.DataObject
) -> None:
    one_of = st.sampled_from(sorted(album.digest))
    apart = draw.draw(st.lists(st.tuples(one_of, one_of), max_size=6))
    for group in group_items(album.items, album.links, level, album.richness, apart):
        shas = [key.split(" ")[0] for key in group.members]
        assert not any(shas.count(a) > (a == b) and b in shas for a, b in apart)


@given(album=albums, level=st.sampled_from(LEVELS))
def test_copies_of_a_file_are_in_one_group(album: Album, level: DuplicateLevel) -> None:
    copied = {album.sha_of(item.ref) for item in album.items if item.ref.startswith("again")}
    groups = [[key.split(" ")[0] for key in group.members] for group in group_items(album.items, album.links, level)]
    assert all([shas.count(sha) for shas in groups if sha in shas] == [2] for sha in copied)


def test_many_copies_of_files_that_are_no_duplicates_are_told_apart_by_content() -> None:
    items = [an_item(sha, ref=f"{sha}-{number}") for sha in ("a", "b", "c") for number in range(20_000)]
    links = [DuplicateLink("a", "b", "exact", 1.0), DuplicateLink("b", "c", "copy", 0.9)]
    groups = group_items(items, links, "copy", apart=[("a", "b"), ("c", "c")])
    assert [{key[0] for key in group.members} for group in groups] == [{"b", "c"}, {"a"}]
    assert [len(group.members) for group in groups] == [20_001, 20_000]


def test_what_is_kept_apart_for_the_loss_alone_is_similar() -> None:
    items = [an_item("clip", 100), an_item("photo", 10_000)]
    richness = {"clip": Richness(3, pixels=100), "photo": Richness(pixels=10_000)}
    links = [DuplicateLink("clip", "photo", "copy", 0.9)]
    assert group_items(items, links, "copy", richness) == []
    [group] = group_items(items, links, "similar", richness)
    assert group.level == "similar"
