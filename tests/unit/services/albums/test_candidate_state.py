"""The kept state of an album's search: what it says after it was written, read, cut and spoilt."""

from __future__ import annotations

import hashlib

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from serve_app.services.albums.candidate_state import NOBODY, CandidateState, as_hashes


def a_state(names: list[str]) -> CandidateState:
    shas = [hashlib.sha256(name.encode()).hexdigest() for name in names]
    return CandidateState(
        hashes=as_hashes(shas),
        trained_for=7,
        index=np.arange(200, dtype=np.uint8),
        left=np.array([0], np.int32),
        right=np.array([1], np.int32),
        cosine=np.array([0.75], np.float32),
        settled=np.array([True]),
    )


def test_a_state_reads_back_as_it_was_written() -> None:
    written = a_state(["a", "b", "c"])
    read = CandidateState.from_bytes(written.to_bytes("rules"), "rules")
    assert read is not None
    for name in ("hashes", "trained_for", "index", "left", "right", "cosine", "settled"):
        np.testing.assert_array_equal(getattr(read, name), getattr(written, name))


def test_a_state_of_other_rules_is_none() -> None:
    assert CandidateState.from_bytes(a_state(["a"]).to_bytes("old rules"), "new rules") is None


@pytest.mark.parametrize("data", [b"", b"PK", b"no state at all" * 100])
def test_bytes_that_are_no_state_are_none(data: bytes) -> None:
    assert CandidateState.from_bytes(data, "rules") is None


@given(cut=st.integers(0, 10_000), spoilt=st.integers(0, 10_000))
def test_a_state_that_was_cut_or_whose_data_were_spoilt_is_none_or_as_it_was(cut: int, spoilt: int) -> None:
    data = a_state(["a", "b"]).to_bytes("rules")
    assert CandidateState.from_bytes(data[: cut % len(data)], "rules") is None
    at = spoilt % len(data)
    read = CandidateState.from_bytes(data[:at] + bytes([data[at] ^ 0xFF]) + data[at + 1 :], "rules")
    # A byte that no array depends on, such as a date in the archive, may change unnoticed.
    assert read is None or read.to_bytes("rules") == data


@given(known=st.sets(st.integers(0, 30)), present=st.sets(st.integers(0, 30), min_size=1))
def test_each_number_has_the_place_of_its_content_or_nobodys(known: set[int], present: set[int]) -> None:
    shas = [hashlib.sha256(bytes([number])).hexdigest() for number in range(31)]
    ordered = sorted(shas[number] for number in present)
    state = CandidateState.empty()
    if known:
        hashes = as_hashes([shas[number] for number in sorted(known)])
        state = CandidateState(hashes, 1, state.index, state.left, state.right, state.cosine, state.settled)
    places = state.places(as_hashes(ordered)).tolist()
    assert places == [ordered.index(shas[n]) if n in present else NOBODY for n in sorted(known)]
