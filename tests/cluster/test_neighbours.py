"""One user at its worst, small: another is answered all the same. How long it waits is `bench.speed.neighbour`'s."""

from __future__ import annotations

from collections.abc import Iterator

import httpx
import pytest

from bench.server import Server
from bench.speed.album import photographs
from bench.speed.neighbour import a_user, round_of
from bench.speed.nuisances import distinct, worst_of

pytestmark = [pytest.mark.cluster, pytest.mark.weights]

WORST = worst_of(size=24, connections=150)


@pytest.fixture(scope="module")
def bee(keyed: tuple[Server, str]) -> Iterator[httpx.Client]:
    with a_user(*keyed, "bee") as client:
        yield client


@pytest.mark.parametrize("worst", range(len(WORST)), ids=["full-queue", "half-bodies", "crowds", "huge-albums"])
def test_a_user_is_answered_beside_one_that_does_its_worst(
    keyed: tuple[Server, str], bee: httpx.Client, worst: int
) -> None:
    [file] = photographs(1, seed=2)
    with a_user(*keyed, "ay") as ay, WORST[worst](ay).going_on():
        for _ in range(3):
            assert set(round_of(bee, distinct(file))) == {"look", "upload", "tags", "all three"}  # none was refused


def test_a_server_whose_queue_is_full_is_ready(keyed: tuple[Server, str]) -> None:
    server, _ = keyed
    with a_user(*keyed, "ay") as ay, WORST[0](ay).going_on():
        for _ in range(3):
            assert server.is_ready()
