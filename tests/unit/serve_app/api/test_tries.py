"""The limit of wrong keys: its window, its addresses and its bound."""

from __future__ import annotations

import pytest

from deployments.errors import Overloaded
from serve_app.api import tries
from serve_app.api.tries import Tries, address_of


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def test_after_too_many_wrong_keys_an_address_waits_until_the_first_is_old() -> None:
    clock = Clock()
    limit = Tries(3, 60.0, clock)
    for second in (0, 10, 20):
        clock.now = second
        limit.check("a")
        limit.count("a")
    with pytest.raises(Overloaded) as refused:
        limit.check("a")
    assert refused.value.retry_after_s == 41
    limit.check("b")
    clock.now = 60.5
    limit.check("a")
    limit.count("a")
    with pytest.raises(Overloaded):
        limit.check("a")


def test_addresses_that_are_remembered_have_a_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tries, "_MAX_ADDRESSES", 2)
    limit = Tries(1, 60.0, Clock())
    for address in ("a", "b", "c"):
        limit.count(address)
    limit.check("a")
    for address in ("b", "c"):
        with pytest.raises(Overloaded):
            limit.check(address)


@pytest.mark.parametrize(
    ("one", "other", "is_same"),
    [
        ("192.0.2.1", "192.0.2.1", True),
        ("192.0.2.1", "192.0.2.2", False),
        ("192.0.2.1", "::ffff:192.0.2.1", True),
        ("2001:db8:1:2::1", "2001:db8:1:2:ffff::9", True),
        ("2001:db8:1:2::1", "2001:db8:1:3::1", False),
        ("testclient", "testclient", True),
    ],
)
def test_callers_are_told_apart_by_address_and_by_network_of_ipv6(one: str, other: str, is_same: bool) -> None:
    told = [address_of({"client": (host, 1)}) for host in (one, other)]
    assert (told[0] == told[1]) is is_same
