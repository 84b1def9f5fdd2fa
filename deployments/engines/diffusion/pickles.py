"""Pickled model files, read without running anything that they hold.

A pickle names the functions that build what it holds. Here only those that build tensors are real; every other name
stands for an inert object (callbacks of a training framework, its options), and names that have no place in a model
file end the reading. So a file as pytorch-lightning wrote it can be read, and none can run code.
"""

from __future__ import annotations

import io
import math
import pickle  # nosec - never its own loader, see `_Restricted`
import tarfile
import zipfile
from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import IO, Any

from deployments.errors import NotSupported, WeightsMissing

LEGACY_MAGIC = b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19."
"""First bytes of files that torch wrote before 1.6: its magic number, pickled."""
_LARGEST_PICKLE = 2**25
"""Bytes of the pickle in a file, tensors aside: real ones have a few megabytes, and each may become a hundred."""
_HARMFUL = frozenset(
    "os posix nt ntpath posixpath subprocess sys socket shutil importlib runpy pty ctypes code codeop commands "
    "webbrowser io _io pip marshal multiprocessing asyncio pdb bdb timeit platform signal urllib http requests".split()
)
"""Modules that no model file has a reason to name."""
_HARMFUL_BUILTINS = frozenset("eval exec compile open __import__ input breakpoint execfile globals locals vars".split())
_BUILTINS = ("builtins", "__builtin__")
_CONTAINERS: Mapping[str, Any] = {"set": set, "frozenset": frozenset, "list": list, "dict": dict, "tuple": tuple}
_DEEPEST = 8


class Inert:
    """Stand-in for an object of a class that is not loaded; keeps its plain state, does nothing."""

    def __new__(cls, *_: Any, **__: Any) -> Inert:
        return object.__new__(cls)

    def __init__(self, *_: Any, **__: Any) -> None:
        pass

    def __setstate__(self, state: Any) -> None:
        if isinstance(state, dict):
            self.__dict__.update({key: value for key, value in state.items() if isinstance(key, str)})

    def __call__(self, *_: Any, **__: Any) -> Inert:
        return Inert()

    def __setitem__(self, key: Any, value: Any) -> None:
        pass

    def append(self, value: Any) -> None:
        """Take an item of a list; it is dropped. `extend` and `add` likewise."""

    extend = add = append


class Harmful(Exception):
    """A pickle that names something which would run code."""


class _Shape:
    """Shape of a tensor in place of the tensor."""

    def __init__(self, shape: tuple[int, ...]) -> None:
        self.shape = shape


def _find(module: str, name: str, real: Callable[[str, str], Any | None]) -> Any:
    top = module.partition(".")[0]
    if top in _HARMFUL or (module in _BUILTINS and name in _HARMFUL_BUILTINS):
        raise Harmful(f"{module}.{name}"[:80])
    found = real(module, name)
    return Inert if found is None else found


def _plain(module: str, name: str) -> Any | None:
    if (module, name) == ("collections", "OrderedDict"):
        return OrderedDict
    return _CONTAINERS.get(name) if module in _BUILTINS else None


def _real_tensors(module: str, name: str) -> Any | None:
    import torch

    if module == "torch._utils" and name in {"_rebuild_tensor", "_rebuild_tensor_v2"}:
        return lambda storage, offset, size, stride, *_: _view(storage, storage.dtype, offset, size, stride)
    if module == "torch._utils" and name == "_rebuild_tensor_v3":
        return lambda storage, offset, size, stride, _grad, _hooks, dtype, *_: _view(
            storage, dtype, offset, size, stride
        )
    if module == "torch._utils" and name == "_rebuild_parameter":
        return lambda data, *_: data
    if (module, name) == ("torch", "Size"):
        return torch.Size
    if module == "torch" and isinstance(getattr(torch, name, None), torch.dtype):
        return getattr(torch, name)
    return _plain(module, name)


def _view(storage: Any, dtype: Any, offset: int, size: Sequence[int], stride: Sequence[int]) -> Any:
    """Make a tensor over a storage. torch's own function would enlarge a storage that is too small, with whatever the
    memory holds, and take a tensor that names one number a billion times."""
    import torch

    given = storage._untyped_storage
    last = offset + sum((side - 1) * step for side, step in zip(size, stride, strict=True))
    is_empty = 0 in size
    if min((offset, *size, *stride)) < 0 or not (is_empty or last < given.nbytes() // dtype.itemsize):
        raise ValueError("a tensor outside its storage")
    if math.prod(size) * dtype.itemsize > given.nbytes():
        raise ValueError("a tensor larger than its storage")
    return torch.empty((0,), dtype=dtype).set_(given, offset, size, stride)


def _shapes_of_tensors(module: str, name: str) -> Any | None:
    if module == "torch._utils" and name in {"_rebuild_tensor", "_rebuild_tensor_v2", "_rebuild_tensor_v3"}:
        return lambda _storage, _offset, size, *_: _Shape(tuple(int(side) for side in size))
    if module == "torch._utils" and name == "_rebuild_parameter":
        return lambda data, *_: data
    return tuple if (module, name) == ("torch", "Size") else _plain(module, name)


# Python's own unpickler and not the one in C, which makes room for as many objects as the number says under which one
# is noted: ten bytes would take 64 GB.
class _Restricted(pickle._Unpickler):
    def find_class(self, module: str, name: str, /) -> Any:
        return _find(module, name, _real_tensors)


class _ShapeReader(pickle._Unpickler):
    def find_class(self, module: str, name: str, /) -> Any:
        return _find(module, name, _shapes_of_tensors)

    def persistent_load(self, pid: Any, /) -> Any:
        return None


class SafePickle:
    """What `torch.load` takes for the module `pickle`."""

    Unpickler = _Restricted

    @staticmethod
    def load(stream: IO[bytes], **options: Any) -> Any:
        return _Restricted(stream, **options).load()


def is_pickle(path: Path) -> bool:
    """Say whether a file is one that torch pickled, whatever its name."""
    with path.open("rb") as stream:
        first = stream.read(len(LEGACY_MAGIC))
    if first.startswith(b"PK\x03\x04") or first == LEGACY_MAGIC:
        return True
    is_safetensors = first[8:9] == b"{"  # after the header's length, whose bytes may be anything
    return first[:1] == b"\x80" and not is_safetensors


def read_shapes(path: Path) -> dict[str, tuple[int, ...]]:
    """Read the shapes of the tensors of a pickled file by name; the tensors stay on disk.

    Raises `NotSupported` for a file that would run code, `WeightsMissing` for one that is cut short or none.
    """
    with _explained(path):
        return {name: value.shape for name, value in _tensors(_read(path), _Shape)}


def load_tensors(path: Path) -> dict[str, Any]:
    """Load the tensors of a pickled file by name, on the CPU; raises as `read_shapes` does."""
    import torch

    with _explained(path):
        is_archive = zipfile.is_zipfile(path)
        if is_archive:
            _pickle_of(path)
            _refuse_code(path)
        elif not _is_legacy(path) or tarfile.is_tarfile(path):  # torch unpacks one before it looks what it is
            raise ValueError("no file of torch")
        content = torch.load(
            path, map_location="cpu", weights_only=False, pickle_module=SafePickle, mmap=is_archive or None
        )
        return dict(_tensors(content, torch.Tensor))


def _read(path: Path) -> Any:
    if zipfile.is_zipfile(path):
        return _ShapeReader(io.BytesIO(_pickle_of(path))).load()
    with path.open("rb") as file:
        stream = io.BytesIO(file.read(_LARGEST_PICKLE))
    if not _is_legacy(path):
        _ShapeReader(stream).load()  # to say what a hostile one names
        raise ValueError("no file of torch")
    for _ in range(3):  # magic number, protocol, sizes of the machine's types
        _ShapeReader(stream).load()
    return _ShapeReader(stream).load()


def _pickle_of(path: Path) -> bytes:
    with zipfile.ZipFile(path) as archive:
        members = [one for one in archive.infolist() if one.filename.endswith("data.pkl")]
        others = {one.filename.rpartition("/")[2] for one in archive.infolist()}
        if len(members) != 1 or "constants.pkl" in others or members[0].file_size > _LARGEST_PICKLE:
            raise ValueError("no archive of tensors")
        if members[0].compress_type != zipfile.ZIP_STORED:  # as torch writes: a small file is no large pickle
            raise ValueError("a compressed archive")
        return archive.read(members[0])


def _refuse_code(path: Path) -> None:
    """Refuse an archive of TorchScript, which `torch.load` would run. Torch's own reader says what the archive holds:
    one may have two lists of its members, of which Python's reader takes the other."""
    import torch

    if "constants.pkl" in torch._C.PyTorchFileReader(str(path)).get_all_records():
        raise ValueError("no archive of tensors")


def _is_legacy(path: Path) -> bool:
    with path.open("rb") as stream:
        return stream.read(len(LEGACY_MAGIC)) == LEGACY_MAGIC


def _tensors(content: Any, kind: type[Any]) -> Iterator[tuple[str, Any]]:
    """List the tensors of a state dict, which training frameworks put under `state_dict`; nested ones with dots."""
    for _ in range(_DEEPEST):
        if not (isinstance(content, dict) and isinstance(content.get("state_dict"), dict)):
            break
        content = content["state_dict"]
    yield from _walk("", content, kind, 0, set())


def _walk(prefix: str, content: Any, kind: type[Any], depth: int, seen: set[int]) -> Iterator[tuple[str, Any]]:
    if isinstance(content, Inert):  # torch's ParameterDict, as the first textual inversions were saved
        content = content.__dict__.get("_parameters")
    if not isinstance(content, Mapping) or depth > _DEEPEST or id(content) in seen:
        return  # each is listed once: a few that hold each other many times would never end
    seen.add(id(content))
    for name, value in content.items():
        if isinstance(value, kind):
            yield f"{prefix}{name}", value
        elif isinstance(value, Mapping | Inert):
            yield from _walk(f"{prefix}{name}.", value, kind, depth + 1, seen)


class _explained:
    """Context that turns what reading raises into errors that name the file."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def __enter__(self) -> None:
        pass

    def __exit__(self, _kind: Any, error: BaseException | None, _trace: Any) -> None:
        if isinstance(error, Harmful):
            raise NotSupported(
                f"The file '{self._path.name}' would run code ({error}) if it were loaded: it is not.",
                extra={"model": self._path.name},
            ) from error
        if isinstance(error, Exception) and type(error).__name__ != "OutOfMemoryError":
            raise WeightsMissing(
                f"The file '{self._path.name}' is cut short, still being written, or no model "
                f"({type(error).__name__}).",
                extra={"model": self._path.name},
            ) from error
