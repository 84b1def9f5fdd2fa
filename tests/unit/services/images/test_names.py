"""Names of image files as they are kept."""

from __future__ import annotations

import pytest

from serve_app.services.images.names import MAX_NAME, name_in_url, storable_name


@pytest.mark.parametrize("name", ["a.jpg", "<img src=x>.png", "‮gpj.exe", "👩‍🚀 Mäuse 写真.heic", "no ending"])
def test_a_name_is_kept_as_it_was_sent(name: str) -> None:
    assert storable_name(name) == name


def test_a_name_of_a_megabyte_keeps_its_ending() -> None:
    kept = storable_name("x" * 2**20 + ".jpeg")
    assert kept is not None
    assert (len(kept), kept[-6:]) == (MAX_NAME, "x.jpeg")


def test_control_characters_and_half_surrogates_are_replaced() -> None:
    assert storable_name("a\0b\nc\ud800.jpg") == "a�b�c�.jpg"


@pytest.mark.parametrize("name", [None, ""])
def test_no_name_stays_none(name: str | None) -> None:
    assert storable_name(name) is None


@pytest.mark.parametrize(
    ("url", "name"),
    [
        ("https://example.org/holiday/M%C3%A4use%201.jpg?size=big#top", "Mäuse 1.jpg"),
        ("s3://bucket/folder/a.heic", "a.heic"),
        ("https://example.org/", None),
        ("https://example.org", None),
        ("https://[broken", None),
    ],
)
def test_a_fetched_file_is_named_by_its_url(url: str, name: str | None) -> None:
    assert name_in_url(url) == name
