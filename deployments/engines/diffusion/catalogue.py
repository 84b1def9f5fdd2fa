"""Catalogue of the models folder and the lookup of model names.

A name in a request is only ever compared with the names of this list. No path is made from it, so none can be opened by
asking for it.
"""

from __future__ import annotations

import hashlib
import re
import threading
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

from deployments.contracts.diffusion import ModelFile
from deployments.engines.diffusion.families import UNKNOWN, FileKind, vectors_of
from deployments.engines.diffusion.hashes import Hashes
from deployments.engines.diffusion.headers import identify_model, read_header, read_metadata
from deployments.engines.diffusion.model_folders import KINDS, FoundFile, ModelKind, find_files, names_of, restorer_of
from deployments.errors import DarkroomError, WeightsMissing

__all__ = ["CHECKPOINT", "KINDS", "MODELS_DIR", "Catalogue", "Model", "ModelKind"]

MODELS_DIR = "DARKROOM_DIFFUSION__MODELS_DIR"
CHECKPOINT = "DARKROOM_DIFFUSION__CHECKPOINT"

_MAIN_WEIGHTS = {"checkpoints": "unet/diffusion_pytorch_model*.safetensors", "": "*.safetensors"}
"""Files whose hash stands for a folder of diffusers: the weights that make it the model that it is."""
UPSCALER_TITLES = {
    "RealESRGAN_x4plus": "R-ESRGAN 4x+",
    "RealESRGAN_x4plus_anime_6B": "R-ESRGAN 4x+ Anime6B",
    "RealESRGAN_x2plus": "R-ESRGAN 2x+",
    "realesr-general-x4v3": "R-ESRGAN General 4xV3",
    "realesr-general-wdn-x4v3": "R-ESRGAN General WDN 4xV3",
    "realesr-animevideov3": "R-ESRGAN AnimeVideo",
}
"""Names that A1111 gives to the files of Real-ESRGAN's authors."""
_HASH_IN_NAME = re.compile(r"\s*\[[0-9a-fA-F]+\]$")
_CONTROLNET_HASH_AT, _CONTROLNET_HASH_BYTES = 2**20, 2**16
"""Offset and length of the bytes that sd-webui-controlnet hashes for a model's short hash."""
_MAX_SHOWN = 80
_PATIENCE_S = 0.25
"""Seconds that a list waits for hashes of new files: enough for small ones, and no list is late for large ones."""


@dataclass(frozen=True)
class Model:
    """A model on disk, or one that a hub knows by `name` (then `path` is None)."""

    kind: ModelKind
    name: str
    path: Path | None
    relative: str = ""
    """Path below the folder of its kind."""
    size: int = -1
    """Bytes of its file, -1 for folders and a hub's; `mtime_ns`: when it was written."""
    mtime_ns: int = -1

    @cached_property
    def weights(self) -> Path | None:
        """The file whose bytes identify the model; None for a hub's."""
        if self.path is None or self.path.is_file():
            return self.path
        pattern = _MAIN_WEIGHTS.get(self.kind, _MAIN_WEIGHTS[""])
        return min(self.path.glob(pattern), default=None)

    @cached_property
    def file_kind(self) -> FileKind:
        """What the file is and which family it belongs to; unknown where it cannot be read."""
        try:
            return self.inspect()
        except DarkroomError:
            return UNKNOWN

    def inspect(self) -> FileKind:
        """Identify the file. Raises `NotSupported` and `WeightsMissing` for one that cannot be read."""
        return identify_model(self.path) if self.path else FileKind("checkpoint", "")

    @cached_property
    def vectors(self) -> tuple[int, int]:
        """Number and width of a textual inversion's vectors; (0, 0) for other models."""
        if self.kind != "embeddings" or self.path is None or self.file_kind.role != "embedding":
            return 0, 0
        return vectors_of(read_header(self.path).shapes)

    @cached_property
    def metadata(self) -> dict[str, str]:
        """Free-form texts of a safetensors file."""
        return read_metadata(self.weights) if self.weights else {}

    @cached_property
    def alias(self) -> str:
        """Second name of the model: for LoRAs the one that their training wrote into them, for ControlNets the name
        with A1111's short hash, for face restorers their kind."""
        if self.weights is None:
            return self.name
        if self.kind == "upscalers":
            return UPSCALER_TITLES.get(self.name, self.name)
        if self.kind == "restorers":
            return restorer_of(self.file) or self.name
        if self.kind == "loras":
            return self.metadata.get("ss_output_name") or self.name
        if self.kind == "controlnets":
            try:
                with self.weights.open("rb") as stream:
                    stream.seek(_CONTROLNET_HASH_AT)
                    short = hashlib.sha256(stream.read(_CONTROLNET_HASH_BYTES)).hexdigest()[:8]
            except OSError:
                return self.name
            return f"{self.name} [{short}]"
        return self.name

    def stamped(self) -> Model:
        """Return the model with size and time of its weights, by which one that was replaced is told from this one."""
        try:
            found = self.weights.stat() if self.weights else None
        except OSError:
            found = None
        return replace(self, size=found.st_size, mtime_ns=found.st_mtime_ns) if found else self

    @property
    def file(self) -> str:
        """File name below the folder of its kind; a hub's name where there is no file."""
        return self.relative or (self.path.name if self.path else self.name)


class Catalogue:
    """Catalogue of the models folder. The folders are looked through for each question, so that a file that was just
    copied in is there; a file is opened once while its size and time stay."""

    def __init__(self, folder: Path, default_checkpoint: str) -> None:
        """Open the folder; `default_checkpoint`, from the settings, is a hub name, or a file or folder of
        `checkpoints/`."""
        self.folder = folder
        self.hashes = Hashes(folder / "hashes.json")
        self._default = default_checkpoint
        self._lock = threading.Lock()
        self._listed: dict[ModelKind, tuple[list[FoundFile], list[Model]]] = {}

    def models(self, kind: ModelKind) -> list[Model]:
        """List the models of a kind by name. The configured checkpoint is one of them even when only a hub has it."""
        found = find_files(self.folder, kind)
        with self._lock:
            before, models = self._listed.get(kind, ([], []))
            if found != before or not models:
                models = self._make(kind, found, dict(zip(before, models, strict=False)))
                self._listed[kind] = (found, models)
        listed = list(models)
        if kind == "checkpoints" and "/" in self._default and not any(one.name == self._default for one in listed):
            listed.append(Model(kind, self._default, None))
        return sorted(listed, key=lambda model: model.name.lower())

    def _make(self, kind: ModelKind, found: list[FoundFile], before: dict[FoundFile, Model]) -> list[Model]:
        """Make the models of the files; one whose file is as it was keeps what is known about it."""
        models = []
        for one, name in zip(found, names_of(found), strict=True):
            kept = before.get(one)
            models.append(kept if kept and kept.name == name else _model(kind, name, one))
        return models

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
            return next((model for model in models if self._hash_of(model).startswith(wanted)), None)
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
        return self.hashes.of(model.weights) if model.weights else ""

    def _hash_of(self, model: Model) -> str:
        try:
            return self.sha256(model)
        except OSError:  # gone, or not to be read: another file may be the one that is meant
            return ""

    def describe(self, kind: ModelKind) -> tuple[ModelFile, ...]:
        """Describe the models of a kind. Hashes of new files are computed in the background and empty until then."""
        models = self.models(kind)
        ways = ("", "addnet") if kind == "loras" else ("",)
        before = self.hashes.asked
        asked = [[self._known(model, way) for way in ways] for model in models]
        if self.hashes.asked > before and self.hashes.wait(_PATIENCE_S):
            asked = [[self._known(model, way) for way in ways] for model in models]
        return tuple(_describe(model, *hashes) for model, hashes in zip(models, asked, strict=True))

    def known_sha256(self, model: Model, wait_s: float = 0.0) -> str:
        """Return the SHA-256 of a model's weights; "" where it is not known within `wait_s`: it is computed next."""
        return self.hashes.known(model.weights, soon=True, wait_s=wait_s) if model.weights else ""

    def _known(self, model: Model, way: str) -> str:
        if model.weights is None:
            return ""
        return self.hashes.known(model.weights, way, size=model.size, mtime_ns=model.mtime_ns)


def _model(kind: ModelKind, name: str, file: FoundFile) -> Model:
    if file.is_folder:  # its weights have a size and time of their own
        return Model(kind, name, file.path, file.relative)
    return Model(kind, name, file.path, file.relative, file.size, file.mtime_ns)


def _describe(model: Model, sha256: str, addnet: str = "") -> ModelFile:
    kind = FileKind("lora", "") if model.kind == "loras" else model.file_kind  # told when it is loaded: they are many
    vectors, width = model.vectors
    trained = model.metadata.get("sshs_model_hash", "")  # the same hash, as training wrote it
    return ModelFile(
        model.name,
        model.alias,
        sha256,
        model.file,
        family=kind.family,
        role=kind.role,
        encoder=kind.encoder,
        types=kind.types,
        addnet_sha256=trained or addnet,
        vectors=vectors,
        width=width,
        is_here=model.path is not None or _is_fetched(model.name),
    )


def _is_fetched(hub_name: str) -> bool:
    """Whether a hub's model lies in the hub's cache on this machine. Asks no server."""
    from huggingface_hub import try_to_load_from_cache
    from huggingface_hub.errors import HFValidationError

    try:
        return isinstance(try_to_load_from_cache(hub_name, "model_index.json"), str)
    except HFValidationError:  # no name of a hub
        return False


def _first(models: Sequence[Model], name: str) -> Model | None:
    """Find a model by name: an exact match before one that differs in case, names before files before aliases."""
    for fold in (str, str.lower):
        wanted = fold(name)
        for names in (_name, _file, _base, _alias):
            for model in models:
                if fold(names(model)) == wanted:
                    return model
    return None


def _name(model: Model) -> str:
    return model.name


def _file(model: Model) -> str:
    return model.file


def _base(model: Model) -> str:
    return model.file.rpartition("/")[2]


def _alias(model: Model) -> str:
    return model.alias
