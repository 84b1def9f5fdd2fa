"""The commands `darkroom dashboard` and `darkroom ray-env`: access to Ray, whose ports ask for a token."""

from __future__ import annotations

import os
import shlex
import sys
from pathlib import Path

import typer
from pydantic import ValidationError

from configs.settings import Settings
from darkroom_client.cli.failures import CommandError
from darkroom_client.cli.options import Json, Output, err, print_json, state
from deployments.errors import Unavailable
from serve_app import control_headers, private_files, ray_token

app = typer.Typer()


@app.command()
def dashboard(context: typer.Context, as_json: Json = False, output: Output = None) -> None:
    """Print the address of Ray's dashboard and the token it asks for."""
    settings = read_settings()
    url = f"http://127.0.0.1:{settings.dashboard_port}"
    path = Path(os.environ.get("RAY_AUTH_TOKEN_PATH", ray_token.token_path(settings)))
    try:
        token = os.environ.get("RAY_AUTH_TOKEN") or path.read_text().strip()
    except OSError as error:
        raise CommandError(
            f"{path}: {error.strerror}. `make run` makes the token; DARKROOM_DATA_DIR says where."
        ) from None
    if state(context).wants_json(as_json, output):
        print_json({"url": url, "token": token})
        return
    err().print(f"{url} asks for this token once:", highlight=False)
    sys.stdout.write(f"{token}\n")


@app.command("ray-env")
def ray_env(context: typer.Context, as_json: Json = False, output: Output = None) -> None:
    """Print the variables for Ray's own commands: eval "$(darkroom ray-env)", then `serve run`, `ray status`.

    Prints shell commands that set Ray's token, keep a Ray of this machine's own on its loopback interface, and let
    Serve ignore control headers of clients. The token is made where there is none yet.
    """
    settings = read_settings()
    variables = ray_token.environment(settings) | control_headers.SETTING
    variables["RAY_TMPDIR"] = os.environ.get("RAY_TMPDIR", str(private_files.ray_folder(os.environ)))
    try:
        ray_token.ensure_named(settings, os.environ | variables)
        private_files.ensure_ray_folder(os.environ | variables)
    except Unavailable as error:
        raise CommandError(error.message) from None
    if state(context).wants_json(as_json, output):
        print_json(variables)
        return
    sys.stdout.writelines(f"export {name}={shlex.quote(value)}\n" for name, value in variables.items())


def read_settings() -> Settings:
    """Read the settings. Raises `CommandError` that names a variable which makes no sense."""
    try:
        return Settings()
    except ValidationError as error:
        raise CommandError(f"DARKROOM_{error.errors()[0]['loc'][0]}: {error.errors()[0]['msg']}.") from None
