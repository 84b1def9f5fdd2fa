"""Tests of the GPU benchmark: it runs with nothing but PyTorch's packages and the wheels that it collects."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

_ROOT = Path(__file__).parents[3]

_PROGRAM = """
import runpy, sys
blocked = set(sys.argv[1].split(","))

class Without:
    def __init__(self, finder):
        self.finder = finder

    def find_spec(self, name, path=None, target=None):
        return None if name.partition(".")[0] in blocked else self.finder.find_spec(name, path, target)

    def __getattr__(self, name):
        return getattr(self.finder, name)

sys.meta_path[:] = [Without(finder) for finder in sys.meta_path]
sys.argv = ["bench.gpu", "--tiny", *sys.argv[2:]]
runpy.run_module("bench.gpu", run_name="__main__")
"""
_IMPORTS = {
    "onnxruntime", "onnx", "faiss", "sklearn", "fastapi", "starlette", "sqlalchemy", "ray", "rich", "boto3",
    "rapidfuzz", "insightface", "open_clip", "controlnet_aux", "ai_edge_litert", "prometheus_client",
}  # fmt: skip
"""What the project imports and such a machine lacks."""


@pytest.fixture
def run(tmp_path: Path) -> Callable[..., str]:
    """Run sections of the benchmark in a folder of its own. -> what it printed"""

    def run_sections(*sections: str) -> str:
        command = [sys.executable, "-c", _PROGRAM, ",".join(sorted(_IMPORTS)), "--only", *sections]
        done = subprocess.run(
            command, cwd=tmp_path, env=_environment(), capture_output=True, text=True, timeout=300, check=False
        )
        assert done.returncode == 0, done.stderr[-2000:]
        assert (tmp_path / "out" / "gpu.md").read_text() == done.stdout
        return done.stdout

    return run_sections


def _environment() -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": str(_ROOT), "OMP_NUM_THREADS": "1"}


def test_sections_run_without_ray_server_and_vision_packages(run: Callable[..., str]) -> None:
    """Sections run without Ray, the server and the packages of vision."""
    page = run("sdxl", "refusals")
    assert "failed" not in page
    assert re.search(r"\| VAE over the range of half precision \| The VAE overflowed", page)
    assert re.search(r"\| UNet, 2 rows, 128 px \| [\d.]+ \| - \|", page)


def test_wheels_are_pinned_in_the_lock_file() -> None:
    """Each wheel that is collected has one pin in the lock file."""
    makefile = (_ROOT / "Makefile").read_text()
    names = re.search(r"GPU_WHEELS := ([\w\s\\-]+?)\ngpu-wheels:", makefile)
    assert names
    pins = (_ROOT / "requirements" / "all.txt").read_text()
    for name in names[1].replace("\\", " ").split():
        assert len(re.findall(rf"^{name}==", pins, re.MULTILINE)) == 1, name
