"""What the load cannot measure is told in a line: before it starts a server, where that can be known."""

from __future__ import annotations

import argparse
from typing import NoReturn

import pytest

from bench.faults import load
from bench.report import NotMeasured


def run_in_vain(*arguments: str, reason: Exception) -> str | int | None:
    """Run the command where measuring raises. -> what it exits with"""

    def measure(_: argparse.Namespace) -> NoReturn:
        raise reason

    with pytest.raises(SystemExit) as ended:
        load.main(["--no-page", *arguments], measure)
    return ended.value.code


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--minutes", "0.1"), "--minutes: at least 1,"),
        (("--minutes", "nan"), "--minutes: at least 1,"),
        (("--minutes", "1", "--overload", "3"), "--overload: at least 10 seconds"),
    ],
)
def test_a_run_too_short_to_tell_anything_is_refused_before_a_server_starts(
    capsys: pytest.CaptureFixture[str], arguments: tuple[str, ...], words: str
) -> None:
    assert run_in_vain(*arguments, reason=AssertionError("it began")) == 2
    assert words in capsys.readouterr().err


def test_a_server_that_is_not_well_even_at_the_first_rate_is_told_in_a_line() -> None:
    told = run_in_vain(reason=NotMeasured("2 calls a second are not clean"))
    assert told == "Nothing was measured: 2 calls a second are not clean"
