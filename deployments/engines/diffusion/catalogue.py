"""Catalogue of the models folder and the lookup of model names.

A name in a request is only ever compared with the names of this list. No path is made from it, so none can be opened by
asking for it.
"""

from __future__ import annotations

import hashlib
import json
import re
import threading
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Literal

from deployments.contracts.diffusion import ModelFile
from deployments.errors import WeightsMissing

ModelKind = Literal["checkpoints", "loras", "controlnets", "vaes"]
KINDS: tuple[ModelKind, ...] = ("checkpoints", "loras", "controlnets", "vaes")
"""Kinds of models, each a folder of the models folder."""

MODELS_DIR = "DARKROOM_DIFFUSION__MODELS_DIR"
CHECKPOINT = "DARKROOM_DIFFUSION__CHECKPOINT"

_SUFFIXES = (".safetensors", ".ckpt", ".pt", ".pth", ".bin")
"""Endings of model files. Only the first is a format that cannot run code; torch reads the others with
`weights_only`."""
_MAIN_WEIGHTS = {"checkpoints": "unet/diffusion_pytorch_model*.safetensors", "": "*.safetensors"}
"""Files whose hash stands for a folder of diffusers: the weights that make it the model that it is."""
_HASH_IN_NAME = re.compile(r"\s*\[[0-9a-fA-F]+\]$")
_CONTROLNET_HASH_AT, _CONTROLNET_HASH_BYTES = 2**20, 2**16
"""Offset and length of the bytes that sd-webui-controlnet hashes for a model's short hash."""
_MAX_SHOWN = 80


@dataclass(frozen=True)
class Model:
    """A model on disk, or one that a hub knows by `name` (then `path` is None)."""

    kind: ModelKind
    name: str
    path: Path | None

    @cached_property
    def weights(self) -> Path | None:
        """The file whose bytes identify the model; None for a hub's."""
        if self.path is None or self.path.is_file():
            return self.path
        pattern = _MAIN_WEIGHTS.get(self.kind, _MAIN_WEIGHTS[""])
        return min(self.path.glob(pattern), default=None)

    @cached_property
    def alias(self) -> str:
        """Second name of the model: for LoRAs the one that their training wrote into them, for ControlNets the name
        with A1111's short hash."""
        if self.weights is None:
            return self.name
        if self.kind == "loras":
            return _metadata(self.weights).get("ss_output_name") or self.name
        if self.kind == "controlnets":
            with self.weights.open("rb") as stream:
                stream.seek(_CONTROLNET_HASH_AT)
                short = hashlib.sha256(stream.read(_CONTROLNET_HASH_BYTES)).hexdigest()[:8]
            return f"{self.name} [{short}]"
        return self.name

    @property
    def file(self) -> str:
        """File name without folders; a hub's name where there is no file."""
        return self.path.name if self.path else self.name


class Hashes:
    """Cache of files' SHA-256, each file read once while its size and time stay; kept in the models folder if that is
    writable.

    Thread-safe, one file at a time.
    """

    def __init__(self, store: Path) -> None:
        self._store = store
        self._lock = threading.Lock()
        try:
            self._known: dict[str, str] = dict(json.loads(store.read_text()))
        except (OSError, ValueError):
            self._known = {}

    def of(self, path: Path) -> str:
        """Compute the SHA-256 of a file, or return the known one."""
        found = path.stat()
        key = f"{path}:{found.st_size}:{found.st_mtime_ns}"
        with self._lock:
            if key not in self._known:
                with path.open("rb") as stream:
                    self._known[key] = hashlib.file_digest(stream, "sha256").hexdigest()
                self._keep()
            return self._known[key]

    def _keep(self) -> None:
        partial = self._store.with_suffix(".partial")
        try:
            partial.write_text(json.dumps(self._known))
            partial.replace(self._store)
        except OSError:
            return  # a read-only folder: hashed again after the next start


class Catalogue:
    """Catalogue of the models folder. Read anew for each question: a file that was just copied in is there."""

    def __init__(self, folder: Path, default_checkpoint: str) -> None:
        """Open the folder; `default_checkpoint`, from the settings, is a hub name, or a file or folder of
        `checkpoints/`."""
        self.folder = folder
        self._default = default_checkpoint
        self._hashes = Hashes(folder / "hashes.json")

    def models(self, kind: ModelKind) -> list[Model]:
        """List the models of a kind by name. The configured checkpoint is one of them even when only a hub has it."""
        folder = self.folder / kind
        paths = [path for path in folder.iterdir() if _is_model(path)] if folder.is_dir() else []
        found = [Model(kind, path.name if path.is_dir() else path.stem, path) for path in paths]
        if kind == "checkpoints" and "/" in self._default:
            found.append(Model(kind, self._default, None))
        return sorted(found, key=lambda model: model.name.lower())

    def find(self, kind: ModelKind, name: str) -> Model:
        """Find the model that A1111 would take for `name`. Raises `WeightsMissing`."""
        if found := self.look_up(kind, name):
            return found
        shown = name[:_MAX_SHOWN]
        raise WeightsMissing(
            f"There is no model '{shown}' in {kind}/ of the folder that {MODELS_DIR} names.",
            extra={"model": shown, "setting": MODELS_DIR},
        )

    def look_up(self, kind: ModelKind, name: str) -> Model | None:
        """Look up `name` as a name, a file name, an alias, a title with a hash, or a hash of its own; None if there is
        none."""
        models = self.models(kind)
        wanted = name.strip()
        for form in dict.fromkeys((wanted, _HASH_IN_NAME.sub("", wanted))):
            if found := _first(models, form):
                return found
        if kind == "checkpoints" and re.fullmatch(r"[0-9a-f]{10,64}", wanted):
            return next((model for model in models if self.sha256(model).startswith(wanted)), None)
        if kind == "controlnets" and wanted:
            bare = _HASH_IN_NAME.sub("", wanted).lower()
            partly = [model for model in models if bare in model.name.lower()]
            return min(partly, key=lambda model: len(model.name), default=None)
        return None

    @property
    def default_name(self) -> str:
        """Name of the configured checkpoint in the list; the setting's own text where it is not there."""
        found = self.look_up("checkpoints", self._default)
        return found.name if found else self._default

    def default_checkpoint(self) -> Model:
        """Find the configured checkpoint. Raises `WeightsMissing` when it is a file or folder that is not there."""
        if found := self.look_up("checkpoints", self._default):
            return found
        raise WeightsMissing(
            f"The checkpoint '{self._default}' is not in checkpoints/ of the folder that {MODELS_DIR} names; "
            f"another one is chosen by {CHECKPOINT}.",
            extra={"model": self._default, "setting": CHECKPOINT},
        )

    def sha256(self, model: Model) -> str:
        """Compute the SHA-256 of a model's weights; empty for a model that only a hub has."""
        return self._hashes.of(model.weights) if model.weights else ""

    def describe(self, kind: ModelKind) -> tuple[ModelFile, ...]:
        """Describe the models of a kind; reads and hashes every new file: minutes for a large folder's first time."""
        return tuple(ModelFile(model.name, model.alias, self.sha256(model), model.file) for model in self.models(kind))


def _is_model(path: Path) -> bool:
    if path.name.startswith("."):
        return False
    if path.is_dir():
        return any((path / name).is_file() for name in ("model_index.json", "config.json"))
    return path.suffix in _SUFFIXES


def _first(models: Sequence[Model], name: str) -> Model | None:
    """Find a model by name: an exact match before one that differs in case, names before files before aliases."""
    for fold in (str, str.lower):
        for names in (_name, _file, _alias):
            for model in models:
                if fold(names(model)) == fold(name):
                    return model
    return None


def _name(model: Model) -> str:
    return model.name


def _file(model: Model) -> str:
    return model.file


def _alias(model: Model) -> str:
    return model.alias


def _metadata(path: Path) -> dict[str, str]:
    """Read the free-form texts in the header of a safetensors file."""
    if path.suffix != ".safetensors":
        return {}
    with path.open("rb") as stream:
        length = int.from_bytes(stream.read(8), "little")
        if not 0 < length <= path.stat().st_size:
            return {}
        try:
            header = json.loads(stream.read(length))
        except ValueError:
            return {}
    return dict(header.get("__metadata__", {})) if isinstance(header, dict) else {}


def tensor_names(path: Path) -> Iterable[str]:
    """List the names of the tensors in a safetensors file, without reading one; none for other formats."""
    if path.suffix != ".safetensors":
        return ()
    from safetensors import safe_open

    with safe_open(str(path), framework="numpy") as opened:
        return tuple(opened.keys())
