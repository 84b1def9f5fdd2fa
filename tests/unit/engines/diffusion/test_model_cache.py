"""What stays loaded and what leaves."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deployments.engines.diffusion.model_cache import Loan, Shelf
from deployments.errors import Overloaded


def get(loan: Loan, *key: str, size: int = 4, closed: list[str] | None = None) -> object:
    name = "/".join(key)
    closing = None if closed is None else (lambda: closed.append(name))
    return loan.get(key, lambda: name, lambda _: size, expected_bytes=size, close=closing)


def test_a_thing_is_loaded_once_while_it_stays() -> None:
    shelf, made = Shelf(10), []
    for _ in range(3):
        with shelf.borrowing() as loan:
            loan.get(("a",), lambda: made.append(1), lambda _: 4)
    assert made == [1]


def test_the_least_recently_used_leaves_first() -> None:
    freed: list[int] = []
    shelf = Shelf(10, lambda: freed.append(1))
    for name in ("a", "b", "a", "c"):
        with shelf.borrowing() as loan:
            get(loan, name)
    assert shelf.keys() == [("a",), ("c",)]
    assert freed == [1]


def test_what_is_in_use_stays_and_what_does_not_fit_beside_it_is_refused() -> None:
    shelf = Shelf(10)
    with shelf.borrowing() as loan:
        get(loan, "a", size=8)
        with pytest.raises(Overloaded):
            get(loan, "b", size=8)
        assert shelf.keys() == [("a",)]
    with shelf.borrowing() as loan:
        assert get(loan, "b", size=8) == "b"
    assert shelf.keys() == [("b",)]


def test_what_belongs_to_something_leaves_with_it_without_being_closed() -> None:
    shelf, closed = Shelf(20), []
    with shelf.borrowing() as loan:
        get(loan, "a", closed=closed)
        get(loan, "a", "lora", closed=closed)
    shelf.drop(("a",))
    assert (shelf.keys(), closed) == ([], ["a"])


def test_what_belongs_to_something_can_leave_alone() -> None:
    shelf, closed = Shelf(10), []
    with shelf.borrowing() as loan:
        get(loan, "a")
        get(loan, "a", "lora", closed=closed)
    with shelf.borrowing() as loan:
        get(loan, "a")
        get(loan, "a", "other")
    assert shelf.keys() == [("a",), ("a", "other")]
    assert closed == ["a/lora"]


def test_a_thing_in_use_is_not_dropped() -> None:
    shelf = Shelf(10)
    with shelf.borrowing() as loan:
        get(loan, "a")
        shelf.drop(("a",))
        assert shelf.keys() == [("a",)]
    shelf.drop(("a",))
    assert shelf.keys() == []


def test_what_cannot_be_loaded_takes_no_place() -> None:
    def broken() -> object:
        raise FileNotFoundError

    shelf = Shelf(10)
    with shelf.borrowing() as loan, pytest.raises(FileNotFoundError):
        loan.get(("a",), broken, lambda _: 4)
    assert shelf.keys() == []


@given(st.lists(st.tuples(st.sampled_from("abcdef"), st.integers(1, 10)), max_size=40))
def test_the_budget_holds_whatever_comes(wanted: list[tuple[str, int]]) -> None:
    shelf = Shelf(12)
    sizes = dict(wanted)
    for name, _ in wanted:
        with shelf.borrowing() as loan:
            get(loan, name, size=sizes[name])
        assert shelf.used_bytes <= 12
        assert shelf.keys()[-1] == (name,)


def borrow_patiently(shelf: Shelf, loading: threading.Event) -> object:
    """What is lent of size 8; `loading` is set when it is asked to load."""
    with shelf.borrowing(patience_s=60) as loan:
        return loan.get(("b",), lambda: loading.set() or "b", lambda _: 8)


def test_a_patient_loan_waits_for_what_others_give_back() -> None:
    shelf, loading = Shelf(10), threading.Event()
    with ThreadPoolExecutor(1) as other:
        with shelf.borrowing() as loan:
            get(loan, "a", size=8)
            waiting = other.submit(borrow_patiently, shelf, loading)
            assert loading.wait(60)
        assert waiting.result(60) == "b"
    assert shelf.keys() == [("b",)]


def test_patience_is_not_for_what_never_fits() -> None:
    shelf = Shelf(10)
    with shelf.borrowing(patience_s=600) as loan:
        get(loan, "a", size=8)
        with pytest.raises(Overloaded):
            get(loan, "b", size=8)


def test_an_impatient_loan_takes_nothing_from_one_that_waits() -> None:
    shelf, loading = Shelf(10), threading.Event()
    with ThreadPoolExecutor(1) as other:
        with shelf.borrowing() as loan:
            get(loan, "a", size=8)
            waiting = other.submit(borrow_patiently, shelf, loading)
            assert loading.wait(60)
            with pytest.raises(Overloaded):
                get(loan, "b", size=8)  # it has the lock only once the other waits
        assert waiting.result(60) == "b"
