"""Files that no other account of the machine reads: what our processes write, the data folder, Ray's folder."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator, Mapping
from pathlib import Path

from deployments.errors import Unavailable

_OURS = ("files", "postgres.log", "postgres.log.1", "postgres.users", "postgres.starting", "postgres.supervisor")
"""Names in the data folder that earlier versions left open to others. PostgreSQL keeps its own folder private."""
_OPEN = 0o077


def hide_new_files() -> None:
    """Make what this process and its children write from here on private: folders 0700, files 0600."""
    os.umask(_OPEN)


def hide_data_folder(folder: Path) -> None:
    """Take the data folder and what Darkroom keeps in it from other accounts; what else lies there is left alone.

    Under root the folder may stay open as a path for PostgreSQL's account (`store.embedded.files`). Raises
    `Unavailable` when a mode cannot be changed.
    """
    try:
        found = folder.stat()
        is_shared = found.st_uid != os.geteuid() or found.st_mode & stat.S_ISVTX or folder.resolve() == Path.home()
        if not is_shared and found.st_mode & (_OPEN & ~stat.S_IXGRP):
            folder.chmod(0o700)
        for name in _OURS:
            for path in _open_ones(folder / name):
                path.chmod(0o700 if path.is_dir() else 0o600)
    except OSError as error:
        raise Unavailable(f"{error.filename} cannot be closed to other accounts ({error.strerror}).") from None


def ray_folder(variables: Mapping[str, str]) -> Path:
    """Path of the folder for Ray's sessions: one of this account's own below the temporary folder.

    Ray opens its folders, logs included, to everybody; in this one nobody gets as far. `variables`: an environment.
    """
    return Path(variables.get("TMPDIR") or "/tmp") / f"darkroom-{os.geteuid()}"  # noqa: S108 - checked when made


def ensure_ray_folder(variables: Mapping[str, str]) -> None:
    """Create our folder for Ray's sessions where `RAY_TMPDIR` of `variables` names it.

    Raises `Unavailable` when another account was there first: it could replace what Ray keeps in it.
    """
    folder = ray_folder(variables)
    if variables.get("RAY_TMPDIR") != str(folder):
        return
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        found = folder.lstat()
        if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.geteuid():
            raise Unavailable(f"{folder} belongs to another account: name a folder for Ray's files in RAY_TMPDIR.")
        if found.st_mode & _OPEN:
            folder.chmod(0o700)
    except OSError as error:
        raise Unavailable(f"Ray's files cannot be kept in {folder} ({error.strerror}): set RAY_TMPDIR.") from None


def _open_ones(path: Path) -> Iterator[Path]:
    """Yield the path and all below it, if others may use it: below a private folder nothing is within their reach."""
    if path.is_symlink() or not path.exists() or not path.stat().st_mode & _OPEN:
        return
    yield path
    for parent, folders, files in os.walk(path):
        yield from (Path(parent, name) for name in (*folders, *files) if not Path(parent, name).is_symlink())
