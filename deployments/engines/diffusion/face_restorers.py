"""Face restoration networks, loaded by spandrel from their authors' files: GFPGAN, and CodeFormer.

CodeFormer's licence (S-Lab License 1.0) is for non-commercial use only, so its network is no part of this engine:
whoever may use it installs the package that has it, and until then its files are refused by name.
"""

from __future__ import annotations

import warnings
from collections.abc import Collection
from dataclasses import dataclass, replace
from importlib.util import find_spec
from typing import Any

import numpy as np

from deployments.algorithms.a1111.face_pasting import FACE_PX
from deployments.contracts.arrays import Image
from deployments.contracts.diffusion import ModelFile
from deployments.engines.diffusion.catalogue import Model
from deployments.engines.diffusion.device import Device
from deployments.engines.diffusion.headers import read_header
from deployments.engines.diffusion.upscalers import load_descriptor
from deployments.errors import InvalidRequest, NotSupported, Unavailable, WeightsMissing

_GFPGAN, _CODEFORMER = "GFPGAN", "CodeFormer"
_CODEFORMER_KEYS = ("quantize.embedding.weight", "position_emb")
"""Tensors that CodeFormer has and no other restorer, as ends of names: training puts them below `params_ema`."""
_CODEFORMER_CELLS = 16 * 16
"""Places of a face that its transformer knows."""
CODEFORMER_PACKAGE, _CODEFORMER_MODULE = "spandrel-extra-arches", "spandrel_extra_arches"


@dataclass(frozen=True)
class FaceRestorer:
    """A loaded network."""

    network: Any
    """Module `[N, 3, 512, 512]` in -1 to 1 -> the same, first of what it returns."""
    device: str
    is_codeformer: bool = False

    def restore(self, face: Image, weight: float) -> Image:
        """Restore an aligned face `uint8[512, 512, 3]`. The same face gives the same result: the network's noise is
        the one that lies in its file. CodeFormer follows what it is shown by `weight`, 0 to 1; GFPGAN has no such
        thing. Raises `InvalidRequest` for another size."""
        import torch

        if face.shape != (FACE_PX, FACE_PX, 3):
            raise InvalidRequest(f"A face to restore has {FACE_PX} by {FACE_PX} pixels.")
        given = torch.from_numpy(np.ascontiguousarray(face)).permute(2, 0, 1)[None] / 127.5 - 1
        options = {"weight": weight} if self.is_codeformer else {"return_rgb": False, "randomize_noise": False}
        made = self.network(given.to(self.device, torch.float32), **options)[0][0]
        pixels = ((made.float().nan_to_num().clamp(-1, 1) + 1) * 127.5).round().to(torch.uint8)
        return np.ascontiguousarray(pixels.permute(1, 2, 0).cpu().numpy())


def load_face_restorer(model: Model, device: Device) -> FaceRestorer:
    """Load a restorer. Raises `NotSupported` for a file that is none or would run code, and for CodeFormer's where its
    package is not installed, `WeightsMissing` for a damaged one, `Unavailable` without spandrel."""
    if model.path is None:
        raise WeightsMissing(f"The file '{model.name}' is gone.", extra={"model": model.name})
    is_codeformer = _is_codeformer(read_header(model.path).shapes)
    if is_codeformer and not _has_codeformer():
        raise NotSupported(
            f"'{model.name}' is a CodeFormer network, whose licence is for non-commercial use only: it is not part of "
            f"this server. Where that licence suits you, install {CODEFORMER_PACKAGE}; GFPGAN needs nothing more.",
            extra={"model": model.name, "package": CODEFORMER_PACKAGE},
        )
    descriptor = load_descriptor(model, device, _codeformer_registry() if is_codeformer else None)
    expected = _CODEFORMER if is_codeformer else _GFPGAN
    if descriptor.architecture.id != expected:
        raise NotSupported(
            f"The file '{model.name}' is no {expected} network but {descriptor.architecture.name}.",
            extra={"model": model.name},
        )
    if is_codeformer and len(descriptor.model.position_emb) != _CODEFORMER_CELLS:
        raise WeightsMissing(f"The file '{model.name}' is for faces of another size.", extra={"model": model.name})
    return FaceRestorer(descriptor.model, device.name, is_codeformer)


def say_needs(restorers: Collection[ModelFile]) -> tuple[ModelFile, ...]:
    """Say of restorers which package they lack."""
    lacking = "" if _has_codeformer() else CODEFORMER_PACKAGE
    return tuple(replace(one, needs=lacking) if one.alias == _CODEFORMER else one for one in restorers)


def _is_codeformer(names: Collection[str]) -> bool:
    return all(any(name.endswith(key) for name in names) for key in _CODEFORMER_KEYS)


def _has_codeformer() -> bool:
    return find_spec(_CODEFORMER_MODULE) is not None


def _codeformer_registry() -> Any:
    """Networks of the package, of which spandrel is told for this file alone: upscalers stay those that they were.
    Raises `Unavailable`."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of its use of TorchScript
        try:
            from spandrel_extra_arches import EXTRA_REGISTRY
        except ImportError as error:
            raise Unavailable(f"{CODEFORMER_PACKAGE} does not fit what else is installed: {error}") from error
    return EXTRA_REGISTRY
