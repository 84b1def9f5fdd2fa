"""Ctrl-C while the server starts."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator

import pytest

from deployments.errors import Unavailable
from serve_app import __main__ as launcher


@pytest.fixture(autouse=True)
def _handlers(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Those of a server in the foreground, wherever the tests run: in the background Ctrl-C is ignored."""
    monkeypatch.setattr(launcher, "_SIGNALS", (signal.SIGTERM, signal.SIGINT, signal.SIGHUP))
    before = {number: signal.getsignal(number) for number in launcher._SIGNALS}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


def in_a_destructor() -> None:
    """Receive the signal where Python only reports an exception and goes on."""

    class Dying:
        def __del__(self) -> None:
            os.kill(os.getpid(), signal.SIGINT)

    Dying()


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize("failure", [Unavailable("Ray did not start."), RuntimeError("no GCS")], ids=["ours", "rays"])
def test_ctrl_c_that_a_destructor_swallowed_is_said_when_its_effects_fail_the_start(
    failure: Exception, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def run(*_: object, **__: object) -> None:
        in_a_destructor()
        raise failure

    assert status(run, monkeypatch) == 130
    assert "Stopped before it was ready." in capsys.readouterr().out


def test_a_start_that_fails_by_itself_says_why_and_is_no_interruption(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def run(*_: object, **__: object) -> None:
        raise Unavailable("Ray did not start.")

    assert status(run, monkeypatch) == 1
    assert "Ray did not start." in capsys.readouterr().err


def status(run: Callable[..., None], monkeypatch: pytest.MonkeyPatch) -> int:
    monkeypatch.setattr(launcher, "_run", run)
    monkeypatch.setattr("sys.argv", ["serve_app"])
    return launcher.main()
