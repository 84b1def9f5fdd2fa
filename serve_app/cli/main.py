"""The command `darkroom` of a machine that can run a server: the client's commands, and those about this machine."""

from __future__ import annotations

import sys

from darkroom_client.cli.main import build, run
from serve_app.cli import database, ray


def main(argv: list[str] | None = None) -> int:
    """Run one command. -> exit status"""
    return run(build(ray.app, database.app), argv)


if __name__ == "__main__":
    sys.exit(main())
