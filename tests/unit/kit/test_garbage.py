"""Pauses of the collector of cycles."""

from __future__ import annotations

import gc
from collections.abc import Iterator

import pytest

from deployments.kit.garbage import collector_paused


@pytest.fixture(autouse=True)
def _collecting() -> Iterator[None]:
    was_enabled = gc.isenabled()
    gc.enable()
    yield
    (gc.enable if was_enabled else gc.disable)()


def test_the_collector_goes_on_after_the_last_of_overlapping_pauses() -> None:
    first, second = collector_paused(), collector_paused()
    first.__enter__()
    second.__enter__()
    first.__exit__(None, None, None)
    assert not gc.isenabled()
    second.__exit__(None, None, None)
    assert gc.isenabled()


def test_the_collector_goes_on_after_work_that_failed() -> None:
    with pytest.raises(KeyError), collector_paused():
        raise KeyError
    assert gc.isenabled()


def test_a_collector_that_was_switched_off_stays_off() -> None:
    gc.disable()
    with collector_paused():
        pass
    assert not gc.isenabled()
