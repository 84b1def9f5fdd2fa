"""Folders in which model files are found: those of Darkroom's own layout, and those of an installation of A1111."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import chain, count, islice
from pathlib import Path
from typing import Literal

ModelKind = Literal["checkpoints", "loras", "controlnets", "vaes", "embeddings", "upscalers", "restorers"]
KINDS: tuple[ModelKind, ...] = (
    "checkpoints",
    "loras",
    "controlnets",
    "vaes",
    "embeddings",
    "upscalers",
    "restorers",
)

_UPSCALERS = ("ESRGAN", "RealESRGAN", "DAT", "SwinIR", "ScuNET", "HAT")
_RESTORERS = ("GFPGAN", "Codeformer", "CodeFormer")
RESTORERS = ("GFPGAN", "CodeFormer")
"""Kinds of face restorers, by the original's names. As there, a file is one whose name holds that of its kind: beside
them lie networks that find faces."""

_FOLDERS: dict[ModelKind, tuple[str, ...]] = {
    "checkpoints": ("checkpoints", "Stable-diffusion", "models/Stable-diffusion"),
    "loras": ("loras", "Lora", "LyCORIS", "models/Lora", "models/LyCORIS"),
    "controlnets": ("controlnets", "ControlNet", "models/ControlNet", "extensions/sd-webui-controlnet/models"),
    "vaes": ("vaes", "VAE", "models/VAE"),
    "embeddings": ("embeddings", "../embeddings"),
    "upscalers": ("upscalers", *_UPSCALERS, *(f"models/{name}" for name in _UPSCALERS)),
    "restorers": ("restorers", *_RESTORERS, *(f"models/{name}" for name in _RESTORERS)),
}
"""Folders of each kind below the models folder, which may be A1111's `models` or its whole installation. There the
textual inversions lie beside `models`; that folder is looked into only where `Stable-diffusion` shows the layout."""
_ANNOTATORS = (
    "annotators",
    "ControlNetPreprocessor",
    "models/ControlNetPreprocessor",
    "extensions/sd-webui-controlnet/annotator/downloads",
    "../extensions/sd-webui-controlnet/annotator/downloads",
)
"""Folders of preprocessors' weights: ours, Forge's, and those of A1111's extension."""
SUFFIXES = (".safetensors", ".ckpt", ".pt", ".pth", ".bin")
"""Endings of model files. Only the first is a format that cannot run code; see `pickles` for the others."""
_DEEPEST = 6
_MOST_FILES = 20_000


@dataclass(frozen=True, slots=True)
class FoundFile:
    """A model file, or a folder as diffusers saves it (its size is 0)."""

    path: Path
    relative: str
    """Path below the folder of its kind, with `/`."""
    size: int
    mtime_ns: int
    is_folder: bool = False


def annotator_folders(folder: Path) -> list[Path]:
    """List the folders of preprocessors' weights, each of which may have a sub-folder for each network."""
    is_a1111 = (folder / "Stable-diffusion").is_dir()
    names = (name for name in _ANNOTATORS if is_a1111 or not name.startswith(".."))
    return [folder / name for name in names]


def find_files(folder: Path, kind: ModelKind) -> list[FoundFile]:
    """Find the model files of a kind in all its folders and their sub-folders, in a stable order.

    VAEs that lie beside checkpoints (`name.vae.pt`) are VAEs. A file that goes while it is looked at is left out.
    """
    found = _find_in(folder, kind)
    if kind == "checkpoints":
        found = [one for one in found if not _is_vae(one)]
    if kind == "restorers":
        found = [one for one in found if restorer_of(one.relative) and not one.is_folder]
    if kind == "vaes":
        found += [one for one in _find_in(folder, "checkpoints") if _is_vae(one)]
    found.sort(key=lambda one: (one.relative.count("/"), not one.relative.endswith(SUFFIXES[0]), one.relative.lower()))
    return found[:_MOST_FILES]


def names_of(files: Sequence[FoundFile]) -> list[str]:
    """Choose the name of each file: its stem where that is free, else with its ending, else with its sub-folder too,
    else numbered."""
    taken: set[str] = set()
    names = []
    for one in files:
        file = one.relative.rpartition("/")[2]
        forms = (_stem(file, one), file, _stem(one.relative, one), one.relative)
        numbered = (f"{one.relative} ({number})" for number in count(2))  # of the same name but for case or place
        name = next(form for form in chain(forms, numbered) if form.lower() not in taken)
        taken.add(name.lower())
        names.append(name)
    return names


def restorer_of(name: str) -> str:
    """Tell the kind of a face restorer by the name of its file; "" where it is none."""
    file = name.rpartition("/")[2].lower()
    return next((kind for kind in RESTORERS if kind.lower() in file), "")


def is_model_folder(path: Path) -> bool:
    """Say whether a folder holds a model as diffusers saves it."""
    return any((path / name).is_file() for name in ("model_index.json", "config.json"))


def _stem(text: str, file: FoundFile) -> str:
    return text if file.is_folder else text.rpartition(".")[0]


def _is_vae(file: FoundFile) -> bool:
    return not file.is_folder and file.relative.lower().rpartition(".")[0].endswith(".vae")


def _places(folder: Path, kind: ModelKind) -> list[Path]:
    places: dict[tuple[int, int], Path] = {}
    for name in _FOLDERS[kind]:
        if name.startswith("..") and not (folder / "Stable-diffusion").is_dir():
            continue
        try:
            found = (folder / name).stat()
        except OSError:
            continue
        places.setdefault((found.st_dev, found.st_ino), folder / name)  # names may be one where case is folded
    return list(places.values())


def _find_in(folder: Path, kind: ModelKind) -> list[FoundFile]:
    return list(islice(chain.from_iterable(_walk(place, "", ()) for place in _places(folder, kind)), _MOST_FILES))


def _walk(folder: Path, prefix: str, above: tuple[tuple[int, int], ...]) -> Iterator[FoundFile]:
    """Find the files of a folder; `above`: the folders that it lies in, which a link below may lead back to."""
    try:
        found = folder.stat()
        with os.scandir(folder) as entries:
            listed = list(entries)
    except OSError:
        return
    here = (found.st_dev, found.st_ino)
    if here in above:
        return
    for entry in listed:
        if entry.name.startswith("."):
            continue
        name = prefix + _printable(entry.name)
        try:
            if entry.is_dir():
                path = Path(entry.path)
                if is_model_folder(path):
                    yield FoundFile(path, name, 0, entry.stat().st_mtime_ns, is_folder=True)
                elif len(above) < _DEEPEST:
                    yield from _walk(path, f"{name}/", (*above, here))
            elif entry.name.endswith(SUFFIXES) and entry.is_file():
                stat = entry.stat()
                yield FoundFile(Path(entry.path), name, stat.st_size, stat.st_mtime_ns)
        except OSError:  # a link that leads nowhere, or a file that is gone: the others are there
            continue


def _printable(name: str) -> str:
    """Name of a file as text: bytes of another encoding, which no answer could hold, show as question marks."""
    return os.fsencode(name).decode(errors="replace")
