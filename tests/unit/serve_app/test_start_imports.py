"""What processes of the server load when they start."""

from __future__ import annotations

import subprocess
import sys


def test_a_replica_that_starts_loads_neither_scipy_nor_scikit_learn() -> None:
    code = "import sys, serve_app.graph; print({'scipy', 'sklearn'} & set(sys.modules))"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "set()", "half a second of a core and 20 MB for each of them"
