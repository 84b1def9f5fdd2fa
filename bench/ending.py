"""Ending by SIGTERM: what a measurement has started in sessions of its own would outlive it."""

from __future__ import annotations

import signal
import threading
from types import FrameType


def end_by_sigterm_too() -> None:
    """Let SIGTERM end this process as Ctrl-C does, so that its `finally` blocks run. Whoever handles it already, goes
    on to do so; threads other than the main one can change nothing."""
    is_main = threading.current_thread() is threading.main_thread()
    if is_main and signal.getsignal(signal.SIGTERM) is signal.SIG_DFL:
        signal.signal(signal.SIGTERM, _interrupt)


def _interrupt(_number: int, frame: FrameType | None) -> None:
    # `timeout` sends it twice, to the process and to its group: the second one may not interrupt the cleanup.
    signal.signal(signal.SIGTERM, lambda _number, _frame: None)
    on_ctrl_c = signal.getsignal(signal.SIGINT)
    if callable(on_ctrl_c):
        on_ctrl_c(signal.SIGINT, frame)  # in a loop asyncio's own, which cancels what runs
    else:  # ignored, as in what a shell starts in the background
        raise KeyboardInterrupt
