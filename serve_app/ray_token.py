"""Token of Ray's ports: without it, anybody who reaches a port may run commands as the server's user.

Ray calls this `RAY_AUTH_MODE=token`. Its own default file is readable by every account of the machine; ours is not.
"""

from __future__ import annotations

import os
import secrets
import stat
from collections.abc import Mapping
from pathlib import Path

from configs.settings import Settings
from deployments.errors import Unavailable

_TOKEN_BYTES = 32


def token_path(settings: Settings) -> Path:
    """Path of the token file of `make run`; the token stays the same from start to start."""
    return settings.data_dir / "ray_token"


def ensure_token(path: Path) -> None:
    """Create the token file unless it exists, readable by its owner alone (mode 0600).

    Raises `Unavailable` when the path is another user's file, or no file.
    """
    draft = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    try:
        with open(os.open(draft, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600), "w") as file:
            file.write(secrets.token_hex(_TOKEN_BYTES))
        try:
            os.link(draft, path)  # all or nothing, and never over a token that another server uses
        except FileExistsError:
            keep_private(path)
        finally:
            draft.unlink()
    except OSError as error:
        raise Unavailable(f"The token of Ray's ports cannot be kept in {path} ({error.strerror}).") from None


def ensure_named(settings: Settings, variables: Mapping[str, str]) -> None:
    """Create our token where `variables` (an environment) name its file. Raises `Unavailable` as `ensure_token`."""
    path = token_path(settings).absolute()
    if "RAY_AUTH_TOKEN" not in variables and variables.get("RAY_AUTH_TOKEN_PATH") == str(path):
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        ensure_token(path)


def keep_private(path: Path) -> None:
    """Make the file readable by its owner alone. Raises `Unavailable` when it is not a file of this process's user."""
    found = path.lstat()
    if not stat.S_ISREG(found.st_mode) or found.st_uid != os.getuid():
        raise Unavailable(f"{path} is not a file of this user's: Ray's token would be known to others. Remove it.")
    if found.st_mode & 0o077:
        path.chmod(0o600)


def environment(settings: Settings) -> dict[str, str]:
    """Environment variables that make a Ray of this machine's own listen on loopback and ask for our token.

    They must be set before Ray is imported. A token that the operator has named is left alone.
    """
    named = os.environ.keys() & {"RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH"}
    return {
        "RAY_AUTH_MODE": "token",
        # Ray's switch for "no cluster of several machines", the default on macOS and Windows: the node's address
        # becomes 127.0.0.1, where `_node_ip_address` is resolved back to the outer one (2.60).
        "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0",
    } | ({} if named else {"RAY_AUTH_TOKEN_PATH": str(token_path(settings).absolute())})


def require_token(settings: Settings, variables: Mapping[str, str]) -> None:
    """Check that Ray's ports ask for a token or the operator allows open ones. Raises `Unavailable`.

    `variables`: the environment, in which a missing mode means that Ray has not been asked for a token.
    """
    if variables.get("RAY_AUTH_MODE", "").lower() == "token" or settings.auth.allow_open_ray:
        return
    raise Unavailable(
        "Ray runs without RAY_AUTH_MODE=token, so whoever reaches one of its ports may run commands as this user: "
        "set it (`darkroom ray-env` prints how), or, where a firewall of your own keeps every port, "
        "DARKROOM_AUTH__ALLOW_OPEN_RAY=true."
    )


def keep_default_file_private(variables: Mapping[str, str]) -> None:
    """Make `~/.ray/auth_token`, which Ray writes readable by all where no other token is named, private."""
    path = Path.home() / ".ray" / "auth_token"
    if not variables.keys() & {"RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH"} and path.exists():
        keep_private(path)
