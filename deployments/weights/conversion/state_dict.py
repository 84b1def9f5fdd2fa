"""Reader of PyTorch checkpoints without PyTorch.

Both on-disk forms are read: the zip archive of PyTorch 1.6 and later, and the older stream of pickles. The unpickler
resolves a handful of names that rebuild tensors and nothing else, so a hostile checkpoint cannot run code.
"""

from __future__ import annotations

import io
import pickle
import zipfile
from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

_LEGACY_MAGIC = 0x1950A86A20F9469CFC6C
_STORAGES: dict[str, type[np.generic]] = {
    "DoubleStorage": np.float64,
    "FloatStorage": np.float32,
    "HalfStorage": np.float16,
    "LongStorage": np.int64,
    "IntStorage": np.int32,
    "ShortStorage": np.int16,
    "ByteStorage": np.uint8,
    "BoolStorage": np.bool_,
}


@dataclass(frozen=True, slots=True)
class _Storage:
    key: str
    dtype: np.dtype[Any]


@dataclass(frozen=True, slots=True)
class _Tensor:
    storage: _Storage
    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]


def read_state_dict(data: bytes) -> dict[str, NDArray[Any]]:
    """Read a checkpoint that `torch.save(module.state_dict())` wrote; -> arrays by name.

    Raises `ValueError` when it holds anything but tensors or is no checkpoint.
    """
    try:
        if zipfile.is_zipfile(io.BytesIO(data)):
            tensors, buffers = _read_archive(data)
        else:
            tensors, buffers = _read_stream(data)
        return {name: _materialise(tensor, buffers) for name, tensor in tensors.items()}
    except (pickle.UnpicklingError, EOFError, KeyError, IndexError, zipfile.BadZipFile) as error:
        raise ValueError(f"not a PyTorch state dict: {error}") from error


def _read_archive(data: bytes) -> tuple[Mapping[str, _Tensor], Mapping[str, bytes]]:
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        index = next((name for name in archive.namelist() if name.endswith("/data.pkl")), None)
        if index is None:
            raise ValueError("not a PyTorch state dict: the archive has no data.pkl")
        root = index.removesuffix("data.pkl")
        tensors = _checked(_Unpickler(io.BytesIO(archive.read(index))).load())
        keys = {tensor.storage.key for tensor in tensors.values()}
        return tensors, {key: archive.read(f"{root}data/{key}") for key in keys}


def _read_stream(data: bytes) -> tuple[Mapping[str, _Tensor], Mapping[str, bytes]]:
    """Read the older form: magic number, protocol, system description, the dictionary, storage keys, then each
    storage's count and bytes."""
    stream = io.BytesIO(data)
    if _Unpickler(stream).load() != _LEGACY_MAGIC:
        raise ValueError("not a PyTorch state dict: wrong magic number")
    _Unpickler(stream).load()
    _Unpickler(stream).load()
    tensors = _checked(_Unpickler(stream).load())
    keys = _Unpickler(stream).load()
    dtypes = {tensor.storage.key: tensor.storage.dtype for tensor in tensors.values()}
    buffers = {}
    for key in keys:
        size = int.from_bytes(stream.read(8), "little") * dtypes[key].itemsize
        buffers[key] = stream.read(size)
        if len(buffers[key]) < size:
            raise ValueError("not a PyTorch state dict: the file ends early")
    return tensors, buffers


def _checked(loaded: object) -> Mapping[str, _Tensor]:
    if not isinstance(loaded, dict) or not all(isinstance(value, _Tensor) for value in loaded.values()):
        raise ValueError("not a PyTorch state dict: it holds more than tensors")
    return loaded


def _materialise(tensor: _Tensor, buffers: Mapping[str, bytes]) -> NDArray[Any]:
    flat: NDArray[Any] = np.frombuffer(buffers[tensor.storage.key], tensor.storage.dtype)
    positions = np.asarray(tensor.offset)
    for size, stride in zip(tensor.shape, tensor.strides, strict=True):
        positions = positions[..., None] + np.arange(size) * stride
    return np.asarray(flat[positions])


def _rebuild(storage: _Storage, offset: int, shape: tuple[int, ...], strides: tuple[int, ...], *_: object) -> _Tensor:
    return _Tensor(storage, offset, tuple(shape), tuple(strides))


def _rebuild_parameter(tensor: _Tensor, *_: object) -> _Tensor:
    return tensor


class _Unpickler(pickle.Unpickler):
    _NAMES: Mapping[tuple[str, str], Callable[..., object]] = {
        ("torch._utils", "_rebuild_tensor"): _rebuild,
        ("torch._utils", "_rebuild_tensor_v2"): _rebuild,
        ("torch._utils", "_rebuild_parameter"): _rebuild_parameter,
        ("collections", "OrderedDict"): OrderedDict,
    }

    def find_class(self, module_name: str, global_name: str) -> Any:
        if module_name == "torch" and global_name in _STORAGES:
            return np.dtype(_STORAGES[global_name])
        try:
            return self._NAMES[module_name, global_name]
        except KeyError:
            raise pickle.UnpicklingError(f"{module_name}.{global_name} rebuilds no tensor") from None

    def persistent_load(self, pid: Any) -> _Storage:
        """Resolve a reference to a storage: `("storage", dtype, key, device, count)` and, in old files, a view."""
        return _Storage(key=str(pid[2]), dtype=pid[1])
