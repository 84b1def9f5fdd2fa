"""Supervisor of the embedded PostgreSQL: runs it while processes use it, and for the grace period after.

Every process that uses the server holds a shared lock on `<data_dir>/postgres.users`. The kernel drops that lock even
when the process is killed, so once the exclusive lock can be had, no user is left. PostgreSQL is a child of this
process: its death is noticed, its zombie reaped, and it is started again while it has users.

It runs as a file of its own (`python -I -S supervisor.py ...`) on nothing but the standard library, so that it costs a
bare interpreter. `server.py` starts it.
"""

from __future__ import annotations

import argparse
import fcntl
import os
import select
import signal
import subprocess
import sys
import time
from types import FrameType

TICK_S = 0.5
STOP_S = 30.0
"""Seconds for a fast shutdown; one that takes longer becomes an immediate one; the next start then replays the log."""
STEADY_S = 5.0
"""Seconds after which a server counts as well started."""
MAX_QUICK_EXITS = 8
RETRY_S = 0.25
ALREADY_RUNNING = 3
"""Exit status: another supervisor runs for this folder."""


def try_lock(file: int, operation: int) -> bool:
    """Take a lock of `flock` without waiting."""
    try:
        fcntl.flock(file, operation | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


class Supervisor:
    """Runs the server, restarts it when it dies, and stops it when it is unused."""

    def __init__(self, users_file: int, command: list[str], user: str | None, grace_s: float) -> None:
        self._users_file = users_file
        self._command = command
        self._user = user
        self._grace_s = grace_s
        self._asked_to_stop = False
        self._wake_reader, self._wake_writer = os.pipe()

    def run(self) -> int:
        """Run until the server has no user left (0) or cannot be kept up (1)."""
        self._listen_for_signals()
        postgres = self._start()
        started_at = time.monotonic()
        quick_exits = 0
        unused_since: float | None = None
        while True:
            self._sleep()
            if self._is_unused():  # from here on the exclusive lock is ours: newcomers wait
                now = time.monotonic()
                unused_since = now if unused_since is None else unused_since
                if self._asked_to_stop or now - unused_since >= self._grace_s:
                    self._stop(postgres)
                    return 0
                fcntl.flock(self._users_file, fcntl.LOCK_UN)
            else:
                unused_since = None
                self._asked_to_stop = False
            if postgres.poll() is not None:
                quick_exits = 0 if time.monotonic() - started_at > STEADY_S else quick_exits + 1
                if quick_exits >= MAX_QUICK_EXITS:
                    return 1
                # Orphaned backends of a killed server hold its shared memory for a moment.
                time.sleep(RETRY_S)
                postgres, started_at = self._start(), time.monotonic()

    def _start(self) -> subprocess.Popen[bytes]:
        if self._user is None:
            return subprocess.Popen(self._command, stdin=subprocess.DEVNULL)  # noqa: S603 (our own server)
        return subprocess.Popen(  # noqa: S603
            self._command, stdin=subprocess.DEVNULL, user=self._user, group=self._user, extra_groups=[]
        )

    def _stop(self, postgres: subprocess.Popen[bytes]) -> None:
        postgres.send_signal(signal.SIGINT)  # fast shutdown: ends sessions, writes a checkpoint
        try:
            postgres.wait(STOP_S)
        except subprocess.TimeoutExpired:
            postgres.send_signal(signal.SIGQUIT)
            postgres.wait()

    def _is_unused(self) -> bool:
        return try_lock(self._users_file, fcntl.LOCK_EX)

    def _listen_for_signals(self) -> None:
        os.set_blocking(self._wake_reader, False)
        os.set_blocking(self._wake_writer, False)
        signal.set_wakeup_fd(self._wake_writer, warn_on_full_buffer=False)
        signal.signal(signal.SIGTERM, self._note_request)
        signal.signal(signal.SIGCHLD, lambda _number, _frame: None)  # only to wake `_sleep`
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        signal.signal(signal.SIGHUP, signal.SIG_IGN)

    def _note_request(self, _number: int, _frame: FrameType | None) -> None:
        self._asked_to_stop = True

    def _sleep(self) -> None:
        """Sleep until a signal comes or a tick has passed."""
        select.select([self._wake_reader], [], [], TICK_S)
        try:
            os.read(self._wake_reader, 512)
        except BlockingIOError:
            pass


def main(arguments: list[str]) -> int:
    """Detach and run the supervisor. -> exit status"""
    parser = argparse.ArgumentParser(description="Run PostgreSQL while somebody uses it")
    parser.add_argument("data_dir")
    parser.add_argument("--grace", type=float, required=True, help="seconds without a user before the server stops")
    parser.add_argument("--user", help="system user to run the server as")
    parser.add_argument("command", nargs="+", help="the server's command line")
    options = parser.parse_args(arguments)

    lock = os.open(os.path.join(options.data_dir, "postgres.supervisor"), os.O_RDWR | os.O_CREAT, 0o600)
    if not try_lock(lock, fcntl.LOCK_EX):
        return ALREADY_RUNNING
    os.ftruncate(lock, 0)
    users_file = os.open(os.path.join(options.data_dir, "postgres.users"), os.O_RDWR | os.O_CREAT, 0o600)
    log = os.open(os.path.join(options.data_dir, "postgres.log"), os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    # The lock belongs to the open file and so to the child. The parent's exit tells the starter that it is held, and
    # leaves the child an orphan: no signal meant for the starter's group or session reaches it.
    if os.fork():
        return 0
    os.write(lock, str(os.getpid()).encode())
    null = os.open(os.devnull, os.O_RDONLY)
    os.dup2(null, 0)
    os.dup2(log, 1)
    os.dup2(log, 2)
    return Supervisor(users_file, options.command, options.user, options.grace).run()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
