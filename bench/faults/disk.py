"""A small disk in memory for a data folder, which a fault can fill."""

from __future__ import annotations

import os
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_SIZE = "1g"


@contextmanager
def small_disk() -> Iterator[tuple[Path, bool]]:
    """Make a folder on a disk of one gigabyte in memory. -> it, and whether it is one: only root may mount it"""
    with tempfile.TemporaryDirectory(prefix="darkroom-", ignore_cleanup_errors=True) as name:
        folder = Path(name)
        mounted = os.geteuid() == 0 and _ran("mount", "-t", "tmpfs", "-o", f"size={_SIZE},mode=0700", "tmpfs", name)
        try:
            yield folder, mounted
        finally:
            if mounted:
                _ran("umount", "--lazy", name)


def _ran(*command: str) -> bool:
    try:
        return subprocess.run(command, capture_output=True, check=False).returncode == 0
    except OSError:
        return False
