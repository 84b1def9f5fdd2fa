"""The commands `darkroom dashboard` and `darkroom ray-env`: access to Ray, whose ports ask for a token."""

from __future__ import annotations

import argparse
import os
import shlex
import sys
from pathlib import Path
from typing import Any

from pydantic import ValidationError
from rich.console import Console

from configs.settings import Settings
from deployments.errors import Unavailable
from serve_app import control_headers, private_files, ray_token
from serve_app.cli.client import Client, CommandError


def add_commands(commands: Any) -> list[argparse.ArgumentParser]:
    """Add the commands' parsers. -> those that can print JSON"""
    dashboard = commands.add_parser("dashboard", help="print the address of Ray's dashboard and the token it asks for")
    dashboard.set_defaults(run=_dashboard)

    ray_env = commands.add_parser(
        "ray-env",
        help='print the variables for Ray\'s own commands: eval "$(darkroom ray-env)", then `serve run`, `ray status`',
        description="Prints shell commands that set Ray's token, keep a Ray of this machine's own on its loopback "
        "interface, and let Serve ignore control headers of clients. The token is made where there is none yet.",
    )
    ray_env.set_defaults(run=_ray_env)
    return [dashboard, ray_env]


def _dashboard(_client: Client, arguments: argparse.Namespace, err: Console) -> Any:
    settings = read_settings()
    url = f"http://127.0.0.1:{settings.dashboard_port}"
    path = Path(os.environ.get("RAY_AUTH_TOKEN_PATH", ray_token.token_path(settings)))
    try:
        token = os.environ.get("RAY_AUTH_TOKEN") or path.read_text().strip()
    except OSError as error:
        raise CommandError(
            f"{path}: {error.strerror}. `make run` makes the token; DARKROOM_DATA_DIR says where."
        ) from None
    if arguments.json:
        return {"url": url, "token": token}
    err.print(f"{url} asks for this token once:", highlight=False)
    sys.stdout.write(f"{token}\n")
    return None


def _ray_env(_client: Client, arguments: argparse.Namespace, _: Console) -> Any:
    settings = read_settings()
    variables = ray_token.environment(settings) | control_headers.SETTING
    variables["RAY_TMPDIR"] = os.environ.get("RAY_TMPDIR", str(private_files.ray_folder(os.environ)))
    try:
        ray_token.ensure_named(settings, os.environ | variables)
        private_files.ensure_ray_folder(os.environ | variables)
    except Unavailable as error:
        raise CommandError(error.message) from None
    if arguments.json:
        return variables
    sys.stdout.writelines(f"export {name}={shlex.quote(value)}\n" for name, value in variables.items())
    return None


def read_settings() -> Settings:
    """Read the settings. Raises `CommandError` that names a variable which makes no sense."""
    try:
        return Settings()
    except ValidationError as error:
        raise CommandError(f"DARKROOM_{error.errors()[0]['loc'][0]}: {error.errors()[0]['msg']}.") from None
