"""What the commands work with: options, before the environment, before the config file."""

from __future__ import annotations

import os
import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, ValidationError

from darkroom_client import Darkroom
from darkroom_client.cli.failures import CommandError

USER_KEY, ADMIN_KEY = "DARKROOM_API_KEY", "DARKROOM_ADMIN_KEY"
Format = Literal["table", "json"]


class ConfigFile(BaseModel):
    """The config file, TOML: every entry is optional."""

    model_config = ConfigDict(extra="forbid")

    server: str | None = None
    api_key: str | None = None
    admin_key: str | None = None
    output: Format | None = None


@dataclass(slots=True)
class State:
    """What one command works with."""

    server: str
    keys: dict[str, str | None]
    output: Format

    def client(self, *, for_admin: bool = False) -> Darkroom:
        """Open a client with the user's key, or the administrator's."""
        return Darkroom(self.server, self.keys[ADMIN_KEY if for_admin else USER_KEY] or "")

    def wants_json(self, as_json: bool, output: str | None = None) -> bool:
        """Whether the command is to print JSON. `output`: its own option."""
        return as_json or (output or self.output) == "json"


def config_path() -> Path:
    """Path of the config file: DARKROOM_CONFIG, or `darkroom/config.toml` in the user's folder of configurations."""
    named = os.environ.get("DARKROOM_CONFIG")
    folder = os.environ.get("XDG_CONFIG_HOME") or "~/.config"
    return Path(named or Path(folder) / "darkroom" / "config.toml").expanduser()


def read_config() -> ConfigFile:
    """Read the config file; without one, an empty one. Raises `CommandError` that names file and entry."""
    path = config_path()
    try:
        told = tomllib.loads(path.read_text(encoding="utf-8"))
        return ConfigFile.model_validate(told)
    except FileNotFoundError:
        if "DARKROOM_CONFIG" in os.environ:
            raise CommandError(f"There is no config file {path}, which DARKROOM_CONFIG names.") from None
        return ConfigFile()
    except OSError as error:
        raise CommandError(f"{path} cannot be read: {error.strerror}.") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise CommandError(f"{path} is no TOML: {error}.") from None
    except ValidationError as error:
        entry = error.errors()[0]
        known = ", ".join(ConfigFile.model_fields)
        raise CommandError(f"{path}: {entry['loc'][0]}: {entry['msg']}. There are: {known}.") from None


def state_of(server: str | None, output: Format | None) -> State:
    """Put together options, environment and config file. Keys are no options: those are visible to every user."""
    told = read_config()
    port = os.environ.get("DARKROOM_HTTP_PORT", "8000")
    at = server or os.environ.get("DARKROOM_SERVER") or told.server or f"http://127.0.0.1:{port}"
    keys = {
        USER_KEY: os.environ.get(USER_KEY) or told.api_key,
        ADMIN_KEY: os.environ.get(ADMIN_KEY) or told.admin_key,
    }
    return State(at, keys, output or told.output or "table")
