"""What two files show beyond one opaque picture of 8 bits."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deployments.algorithms.duplicates.groups import Member, choose_keeper
from deployments.algorithms.duplicates.richness import Richness, is_rich

shown = st.builds(Richness, st.integers(1, 3), st.booleans(), st.sampled_from([8, 10, 16]), st.integers(1, 4))


@given(one=shown)
def test_every_file_covers_itself(one: Richness) -> None:
    assert one.covers(one)


@given(one=shown, other=shown, third=shown)
def test_covering_is_handed_on(one: Richness, other: Richness, third: Richness) -> None:
    if one.covers(other) and other.covers(third):
        assert one.covers(third)


def test_a_plain_picture_is_not_rich() -> None:
    assert not is_rich(Richness(pixels=10**7))
    assert is_rich(Richness(frames=2))
    assert is_rich(Richness(has_alpha=True))
    assert is_rich(Richness(bits=10))


def a_member(key: str, **facts: object) -> Member:
    return Member(**{"key": key, "width": 100, "height": 100, "bytes": 5000, "content_type": "image/png", **facts})  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("richer", "reason"),
    [
        ({"frames": 2}, "most frames"),
        ({"has_alpha": True}, "keeps transparency"),
        ({"bits": 16}, "most bits a sample"),
    ],
)
def test_what_shows_more_is_kept_though_another_is_compressed_less(richer: dict[str, object], reason: str) -> None:
    plain = a_member("plain", bytes=9_000_000, content_type="image/tiff", agreement=1.0)
    assert choose_keeper([plain, a_member("rich", agreement=0.5, **richer)]) == ("rich", reason)


def test_of_equally_rich_files_the_usual_rules_choose() -> None:
    small, large = a_member("small", frames=3), a_member("large", frames=3, width=200, height=200)
    assert choose_keeper([small, large, a_member("still")]) == ("large", "most frames")


def test_a_small_animation_is_not_kept_before_a_larger_photograph() -> None:
    photo = a_member("photo", width=4000, height=3000)
    assert choose_keeper([a_member("clip", frames=9), photo]) == ("photo", "highest resolution")
