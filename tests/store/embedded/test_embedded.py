"""The embedded PostgreSQL starts from any state, and lives exactly as long as its users."""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import psutil
import pytest

from serve_app.store.embedded import server as server_module
from serve_app.store.embedded import supervisor as supervisor_module
from serve_app.store.embedded.files import SYSTEM_USER, let_through, prepare_binaries
from serve_app.store.embedded.server import EmbeddedPostgres, PostgresNotStarted, ensure_running

UNSAFE_BUT_FAST = {"fsync": "off"}
GRACE_S = 0.2
USER = """
import sys
from pathlib import Path
from serve_app.store.embedded.server import ensure_running
server = ensure_running(Path(sys.argv[1]), grace_s=float(sys.argv[2]), options={"fsync": "off"})
print("ready", flush=True)
sys.stdin.read()
"""


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A stopped cluster with one row in it, made once: making one takes seconds."""
    folder = tmp_path_factory.mktemp("template")
    with start(folder) as server:
        sql(server, "CREATE TABLE notes (note text); INSERT INTO notes VALUES ('first')")
    return folder


@pytest.fixture
def folder(cluster: Path, tmp_path: Path) -> Iterator[Path]:
    """A copy of it. Whatever a test leaves running there is ended."""
    copy = tmp_path / "data"
    subprocess.run(["cp", "-a", cluster, copy], check=True)
    yield copy
    for process in processes_of(copy):
        process.kill()
    wait_until(lambda: not processes_of(copy))
    shutil.rmtree(copy)


@pytest.fixture
def user(folder: Path) -> Iterator[Callable[[], subprocess.Popen[str]]]:
    """Starts another process that uses the server of `folder`."""
    started: list[subprocess.Popen[str]] = []

    def start_user() -> subprocess.Popen[str]:
        arguments = [sys.executable, "-c", USER, str(folder), str(GRACE_S)]
        started.append(subprocess.Popen(arguments, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True))
        return started[-1]

    yield start_user
    for process in started:
        process.kill()
        process.communicate()


def start(folder: Path) -> EmbeddedPostgres:
    return ensure_running(folder, grace_s=GRACE_S, options=UNSAFE_BUT_FAST)


def sql(server: EmbeddedPostgres, statement: str) -> str:
    binaries, _ = prepare_binaries()
    socket_dir = server_module._socket_dir_in_use(server.data_dir / "postgres")
    command = [binaries / "psql", "-h", str(socket_dir), "-U", "postgres", "-tA", "-v", "ON_ERROR_STOP=1"]
    return subprocess.run([*command, "-c", statement], check=True, capture_output=True, text=True).stdout.strip()


def notes(server: EmbeddedPostgres) -> str:
    return sql(server, "SELECT string_agg(note, ',') FROM notes")


def is_ready(process: subprocess.Popen[str]) -> bool:
    assert process.stdout is not None
    return process.stdout.readline() == "ready\n"


def processes_of(folder: Path) -> list[psutil.Process]:
    """Supervisor and postmaster of this folder."""
    found = []
    for process in psutil.process_iter():
        with suppress(psutil.Error):
            arguments = process.cmdline()[1:]
            is_user = arguments[:1] == ["-c"]
            if not is_user and {str(folder), str(folder / "postgres")} & set(arguments):
                found.append(process)
    return found


def postmaster(folder: Path) -> psutil.Process:
    return psutil.Process(int((folder / "postgres" / "postmaster.pid").read_text().split()[0]))


def supervisor(folder: Path) -> psutil.Process:
    return psutil.Process(int((folder / "postgres.supervisor").read_text()))


def wait_until(condition: Callable[[], bool], timeout_s: float = supervisor_module.STOP_S + 10) -> None:
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.02)


def test_a_second_start_finds_the_data_of_the_first(folder: Path) -> None:
    with start(folder) as server:
        assert notes(server) == "first"


def test_nothing_is_left_running_after_the_last_release(folder: Path) -> None:
    server = start(folder)
    assert len(processes_of(folder)) == 2
    server.release()
    assert processes_of(folder) == []


def test_releasing_one_of_two_shares_keeps_the_server_up(folder: Path) -> None:
    with start(folder) as server:
        start(folder).release()
        assert notes(server) == "first"


def test_processes_that_start_at_once_share_one_server(folder: Path, user: Callable[[], subprocess.Popen[str]]) -> None:
    users = [user() for _ in range(3)]
    assert all(is_ready(process) for process in users)
    assert len(processes_of(folder)) == 2


def test_the_server_outlives_a_killed_user_and_ends_with_the_last(
    folder: Path, user: Callable[[], subprocess.Popen[str]]
) -> None:
    first, second = user(), user()
    assert is_ready(first)
    assert is_ready(second)
    first.kill()
    first.wait()
    with start(folder) as server:
        sql(server, "INSERT INTO notes VALUES ('second')")
    assert postmaster(folder).is_running()
    second.kill()
    wait_until(lambda: not processes_of(folder))
    with start(folder) as server:
        assert notes(server) == "first,second"


def test_the_data_survives_the_killing_of_every_process(
    folder: Path, user: Callable[[], subprocess.Popen[str]]
) -> None:
    using = user()
    assert is_ready(using)
    server = start(folder)
    sql(server, "INSERT INTO notes VALUES ('acknowledged')")
    for process in (*processes_of(folder), psutil.Process(using.pid)):
        process.kill()
    wait_until(lambda: not processes_of(folder))
    with start(folder) as again:
        assert notes(again) == "first,acknowledged"
    server.release()


def test_a_server_that_is_killed_while_in_use_comes_back(folder: Path) -> None:
    with start(folder) as server:
        killed = postmaster(folder)
        killed.kill()
        wait_until(lambda: not killed.is_running() and len(processes_of(folder)) == 2)
        with start(folder):  # waits until it answers
            assert notes(server) == "first"


def test_a_server_without_its_supervisor_is_taken_over(folder: Path) -> None:
    server = start(folder)
    minder = supervisor(folder)
    minder.kill()
    wait_until(lambda: not minder.is_running() or minder.status() == psutil.STATUS_ZOMBIE)
    with start(folder) as again:
        assert notes(again) == "first"
        assert supervisor(folder).pid != minder.pid
        server.release()
    wait_until(lambda: not processes_of(folder))


@pytest.mark.parametrize("name", ["postmaster.pid", ".s.PGSQL.5432.lock"])
def test_a_stale_file_that_names_a_living_process_does_not_hinder(folder: Path, name: str) -> None:
    # A process of the server's own user: one of another user PostgreSQL itself would not take for a server.
    living = subprocess.Popen(["sleep", "600"], user=prepare_binaries()[1])
    try:
        stale = folder / "postgres" / name
        stale.write_text(f"{living.pid}\n{folder / 'postgres'}\n1700000000\n5432\n{folder}\n\n  12 34\nready\n")
        stale.chmod(0o644)
        with start(folder) as server:
            assert notes(server) == "first"
    finally:
        living.kill()
        living.wait()


def test_a_creation_that_was_killed_half_way_is_begun_anew(folder: Path) -> None:
    shutil.rmtree(folder / "postgres")
    (folder / "postgres.new").mkdir()
    (folder / "postgres.new" / "PG_VERSION").write_text("18\n")
    with start(folder) as server:
        assert sql(server, "SELECT 1") == "1"


def test_a_folder_whose_path_is_too_long_for_a_socket_works(cluster: Path, tmp_path: Path) -> None:
    deep = tmp_path / ("long" * 20) / "with space, and more" / "data"
    deep.parent.mkdir(parents=True)
    subprocess.run(["cp", "-a", cluster, deep], check=True)
    with start(deep) as server:
        assert notes(server) == "first"
        assert len(server.dsn) < 160
        socket_dir = server_module._socket_dir_in_use(deep / "postgres")
    assert socket_dir is not None
    socket_dir.rmdir()  # the stopped server left nothing in it


def test_the_supervisor_is_a_small_process(folder: Path) -> None:
    with start(folder):
        assert supervisor(folder).memory_info().rss < 20 * 2**20


def test_the_socket_is_closed_to_other_users(folder: Path) -> None:
    with start(folder):
        assert (folder / "postgres" / ".s.PGSQL.5432").stat().st_mode & 0o077 == 0


@pytest.mark.parametrize(
    ("setting", "complaint"),
    [({"shared_buffers": "many"}, "invalid value for parameter"), ({"no_such_setting": "1"}, "unrecognized")],
)
def test_a_server_that_cannot_start_says_why_in_one_line(folder: Path, setting: dict[str, str], complaint: str) -> None:
    with pytest.raises(PostgresNotStarted, match=complaint) as raised:
        ensure_running(folder, options=setting)
    assert "\n" not in str(raised.value)
    with start(folder) as server:
        assert notes(server) == "first"


def test_a_data_folder_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(PostgresNotStarted, match=r"cannot be used.*file/data"):
        start(tmp_path / "file" / "data")


def test_a_cluster_of_another_version_is_refused(folder: Path) -> None:
    (folder / "postgres" / "PG_VERSION").write_text("16\n")
    with pytest.raises(PostgresNotStarted, match="written by PostgreSQL 16"):
        start(folder)


def test_signals_to_the_starters_group_do_not_reach_the_server(
    folder: Path, user: Callable[[], subprocess.Popen[str]]
) -> None:
    using = user()
    assert is_ready(using)
    groups = {os.getpgid(process.pid) for process in processes_of(folder)}
    assert os.getpgid(using.pid) not in groups
    using.send_signal(signal.SIGINT)
    assert using.wait(30) != 0
    wait_until(lambda: not processes_of(folder))


@pytest.mark.skipif(os.geteuid() != 0, reason="only root gives PostgreSQL another account")
def test_the_way_to_the_cluster_is_opened_for_its_account_alone(folder: Path, tmp_path: Path) -> None:
    for closed in (tmp_path, folder):
        closed.chmod(0o700)
    with start(folder):
        group = pwd.getpwnam(SYSTEM_USER).pw_gid
        for step in (tmp_path, folder):
            assert (step.stat().st_mode & 0o777, step.stat().st_gid) == (0o710, group)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root gives PostgreSQL another account")
def test_a_folder_on_the_way_that_a_group_may_use_stays_that_groups(tmp_path: Path) -> None:
    tmp_path.chmod(0o750)
    prepare_binaries()
    let_through(tmp_path, SYSTEM_USER)
    assert (tmp_path.stat().st_mode & 0o777, tmp_path.stat().st_gid) == (0o751, os.getegid())
