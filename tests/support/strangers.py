"""A stranger: another account of this machine, who knows the names of all files and tries each of them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

NOBODY = 65534
_TRY = """
import json, os, socket, sys
os.setgroups([]); os.setgid(int(sys.argv[1])); os.setuid(int(sys.argv[1]))  # the interpreter may lie where only we are
def opened(path):
    try:
        if os.path.isdir(path):
            os.listdir(path)
            return True
    except OSError:
        return False
    for flags in (os.O_RDONLY, os.O_WRONLY):
        try:
            os.close(os.open(path, flags | os.O_NONBLOCK))
            return True
        except OSError:
            pass
    try:
        with socket.socket(socket.AF_UNIX) as client:
            client.connect(path)
        return True
    except OSError:
        return False
json.dump([path for path in json.load(sys.stdin) if opened(path)], sys.stdout)
"""
needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can act for another account")


def within_reach(folder: Path) -> list[str]:
    """Find what nobody's account can list, read, write or connect to in a folder, the folder included."""
    known = [str(folder), *(str(path) for path in _all_below(folder))]
    found = subprocess.run(
        [sys.executable, "-I", "-S", "-c", _TRY, str(NOBODY)],
        input=json.dumps(known),
        capture_output=True,
        text=True,
        check=True,
        cwd="/",
    )
    return list(json.loads(found.stdout))


def loose_modes(folder: Path) -> list[tuple[str, str]]:
    """Find folders that are not 0700 and files that are not 0600 at most. -> path, mode"""
    found = [(path, path.lstat()) for path in _all_below(folder) if not path.is_symlink()]
    return [(str(path), f"{status.st_mode:o}") for path, status in found if status.st_mode & 0o077]


@contextmanager
def a_folder_on_the_way() -> Iterator[Path]:
    """A folder that others may enter, below the temporary folder itself: nothing above it keeps a stranger out."""
    with TemporaryDirectory(prefix="near-", dir="/tmp", ignore_cleanup_errors=True) as folder:
        Path(folder).chmod(0o755)
        yield Path(folder)


def _all_below(folder: Path) -> Iterator[Path]:
    for parent, folders, files in os.walk(folder):
        yield from (Path(parent, name) for name in (*folders, *files))
