"""The OpenAPI document, without a server: `python -m bench.tools.openapi FILE` writes it, `--against FILE` compares.

To compare with an earlier commit, write its document from a checkout of it first.
"""

from __future__ import annotations

import argparse
import difflib
import json
import sys
from pathlib import Path
from typing import Any, cast

from configs.settings import Settings
from serve_app.api.app import build_app
from serve_app.services.container import Services
from serve_app.telemetry import Metrics


def document(*, of_webui: bool = False) -> dict[str, Any]:
    """What `/openapi.json`, or `/openapi/sdapi.json`, answers with the settings of the environment."""
    no_services = cast(Services, None)  # routes ask for them, the document does not
    app = build_app(no_services, Settings(), Metrics("openapi"))
    found: dict[str, Any] = app.state.webui_openapi() if of_webui else app.openapi()
    return found


def differences(old: dict[str, Any], new: dict[str, Any]) -> list[str]:
    """Lines of a unified diff of the two, keys sorted; none where they are equal."""
    return list(difflib.unified_diff(_lines(old), _lines(new), "before", "after", lineterm=""))


def without_prose(found: Any) -> Any:
    """The document without its descriptions and summaries, which may change from one version to the next."""
    if isinstance(found, list):
        return [without_prose(one) for one in found]
    if not isinstance(found, dict):
        return found
    prose = ("description", "summary")
    return {key: without_prose(value) for key, value in found.items() if not (key in prose and isinstance(value, str))}


def _lines(found: dict[str, Any]) -> list[str]:
    return json.dumps(found, indent=1, sort_keys=True).splitlines()


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m bench.tools.openapi", description=(__doc__ or "").split("\n")[0])
    parser.add_argument("file", type=Path, nargs="?", help="where to write the document (default: standard output)")
    parser.add_argument("--against", type=Path, help="an earlier document: print what differs, exit with 1 if anything")
    parser.add_argument("--ignore-prose", action="store_true", help="compare without descriptions and summaries")
    parser.add_argument("--sdapi", action="store_true", help="the document of the Stable Diffusion web API")
    options = parser.parse_args()
    found = document(of_webui=options.sdapi)
    if options.against:
        old = json.loads(options.against.read_text())
        pair = (without_prose(old), without_prose(found)) if options.ignore_prose else (old, found)
        changed = differences(*pair)
        sys.stdout.writelines(f"{line}\n" for line in changed)
        return int(bool(changed))
    text = json.dumps(found, indent=1, sort_keys=True) + "\n"
    if options.file:
        options.file.write_text(text)
    else:
        sys.stdout.write(text)
    return 0


if __name__ == "__main__":
    sys.exit(main())
