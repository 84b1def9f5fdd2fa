"""The last step of `make web`: `python -m bench.tools.web_bundle [FOLDER]` finishes what Vite has built.

The page names its files relative to itself, for a proxy may serve it below a path, and the bundle says of which sources
it is, so that a test without Node can tell whether it is of those beside it.
"""

from __future__ import annotations

import argparse
import hashlib
from pathlib import Path

ROOT = Path(__file__).parent.parent.parent
SOURCES, BUNDLE = ROOT / "web", ROOT / "serve_app" / "web"
STAMP = "sources.sha256"
_MADE = ("node_modules", ".svelte-kit", "openapi.json", "src/lib/schema.d.ts")
"""What lies among the sources and is made of them."""


def sources_hash(folder: Path = SOURCES) -> str:
    """Hash the names and contents of all sources of the app."""
    names = sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())
    whole = hashlib.sha256()
    for name in names:
        if not any(name == made or name.startswith(f"{made}/") for made in _MADE):
            whole.update(f"{name}\0{hashlib.sha256((folder / name).read_bytes()).hexdigest()}\n".encode())
    return whole.hexdigest()


def finish(bundle: Path) -> None:
    """Make the page's paths relative, and stamp the bundle."""
    page = bundle / "index.html"
    page.write_text(page.read_text(encoding="utf-8").replace('"/app/', '"./app/'), encoding="utf-8")
    (bundle / STAMP).write_text(f"{sources_hash()}\n", encoding="utf-8")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="python -m bench.tools.web_bundle", description=__doc__)
    parser.add_argument("folder", type=Path, nargs="?", default=BUNDLE, help="what was built; default: %(default)s")
    finish(parser.parse_args().folder)
