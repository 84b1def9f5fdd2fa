"""The model cache: which models stay loaded, and which are evicted."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deployments.engines.diffusion.model_cache import Lease, ModelCache
from deployments.errors import Overloaded


def get(lease: Lease, *key: str, size: int = 4, closed: list[str] | None = None) -> object:
    name = "/".join(key)
    closing = None if closed is None else (lambda: closed.append(name))
    return lease.get(key, lambda: name, lambda _: size, expected_bytes=lambda: size, close=closing)


def test_a_model_is_loaded_once_while_it_stays() -> None:
    cache, made = ModelCache(10), []
    for _ in range(3):
        with cache.lease() as lease:
            lease.get(("a",), lambda: made.append(1), lambda _: 4)
    assert made == [1]


def test_the_size_of_a_model_that_stays_is_not_reckoned_again() -> None:
    cache, reckoned = ModelCache(10), []
    for _ in range(3):
        with cache.lease() as lease:
            lease.get(("a",), lambda: "a", lambda _: 4, expected_bytes=lambda: reckoned.append(1) or 4)
    assert reckoned == [1]


def test_the_least_recently_used_model_leaves_first() -> None:
    freed: list[int] = []
    cache = ModelCache(10, lambda: freed.append(1))
    for name in ("a", "b", "a", "c"):
        with cache.lease() as lease:
            get(lease, name)
    assert cache.keys() == [("a",), ("c",)]
    assert freed == [1]


def test_a_model_in_use_stays_and_one_that_does_not_fit_beside_it_is_refused() -> None:
    cache = ModelCache(10)
    with cache.lease() as lease:
        get(lease, "a", size=8)
        with pytest.raises(Overloaded):
            get(lease, "b", size=8)
        assert cache.keys() == [("a",)]
    with cache.lease() as lease:
        assert get(lease, "b", size=8) == "b"
    assert cache.keys() == [("b",)]


def test_an_entry_that_belongs_to_a_model_leaves_with_it_without_being_closed() -> None:
    cache, closed = ModelCache(20), []
    with cache.lease() as lease:
        get(lease, "a", closed=closed)
        get(lease, "a", "lora", closed=closed)
    cache.drop(("a",))
    assert (cache.keys(), closed) == ([], ["a"])


def test_an_entry_that_belongs_to_a_model_can_leave_alone() -> None:
    cache, closed = ModelCache(10), []
    with cache.lease() as lease:
        get(lease, "a")
        get(lease, "a", "lora", closed=closed)
    with cache.lease() as lease:
        get(lease, "a")
        get(lease, "a", "other")
    assert cache.keys() == [("a",), ("a", "other")]
    assert closed == ["a/lora"]


def test_a_model_in_use_is_not_dropped() -> None:
    cache = ModelCache(10)
    with cache.lease() as lease:
        get(lease, "a")
        cache.drop(("a",))
        assert cache.keys() == [("a",)]
    cache.drop(("a",))
    assert cache.keys() == []


def test_a_model_that_cannot_be_loaded_takes_no_place() -> None:
    def broken() -> object:
        raise FileNotFoundError

    cache = ModelCache(10)
    with cache.lease() as lease, pytest.raises(FileNotFoundError):
        lease.get(("a",), broken, lambda _: 4)
    assert cache.keys() == []


@given(st.lists(st.tuples(st.sampled_from("abcdef"), st.integers(1, 10)), max_size=40))
def test_the_budget_holds_whatever_is_loaded(wanted: list[tuple[str, int]]) -> None:
    cache = ModelCache(12)
    sizes = dict(wanted)
    for name, _ in wanted:
        with cache.lease() as lease:
            get(lease, name, size=sizes[name])
        assert cache.used_bytes <= 12
        assert cache.keys()[-1] == (name,)


def borrow_patiently(cache: ModelCache, loading: threading.Event) -> object:
    """What is lent of size 8; `loading` is set when it is asked to load."""
    with cache.lease(timeout_s=60) as lease:
        return lease.get(("b",), lambda: loading.set() or "b", lambda _: 8)


def test_a_lease_with_a_timeout_waits_for_the_end_of_others() -> None:
    cache, loading = ModelCache(10), threading.Event()
    with ThreadPoolExecutor(1) as other:
        with cache.lease() as lease:
            get(lease, "a", size=8)
            waiting = other.submit(borrow_patiently, cache, loading)
            assert loading.wait(60)
        assert waiting.result(60) == "b"
    assert cache.keys() == [("b",)]


def test_a_lease_does_not_wait_for_a_model_that_never_fits() -> None:
    cache = ModelCache(10)
    with cache.lease(timeout_s=600) as lease:
        get(lease, "a", size=8)
        with pytest.raises(Overloaded):
            get(lease, "b", size=8)


def test_a_lease_without_a_timeout_takes_nothing_from_one_that_waits() -> None:
    cache, loading = ModelCache(10), threading.Event()
    with ThreadPoolExecutor(1) as other:
        with cache.lease() as lease:
            get(lease, "a", size=8)
            waiting = other.submit(borrow_patiently, cache, loading)
            assert loading.wait(60)
            with pytest.raises(Overloaded):
                get(lease, "b", size=8)  # it has the lock only once the other waits
        assert waiting.result(60) == "b"


def test_an_entry_that_grows_pushes_others_out_and_is_refused_where_it_does_not_fit() -> None:
    cache = ModelCache(10)
    with cache.lease() as lease:
        get(lease, "a")
    with cache.lease() as lease:
        get(lease, "b")
        lease.resize(("b",), 8)
        assert cache.keys() == [("b",)]
        assert cache.used_bytes == 8
        with pytest.raises(Overloaded):
            lease.resize(("b",), 11)
