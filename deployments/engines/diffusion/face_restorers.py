"""Face restoration networks, loaded by spandrel from their authors' files: GFPGAN.

CodeFormer's licence is for non-commercial use only, so its network is not part of spandrel's main package, nor of this
engine: such a file is refused by name.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from deployments.algorithms.a1111.face_pasting import FACE_PX
from deployments.contracts.arrays import Image
from deployments.engines.diffusion.catalogue import Model
from deployments.engines.diffusion.device import Device
from deployments.engines.diffusion.headers import read_header
from deployments.engines.diffusion.upscalers import load_descriptor
from deployments.errors import InvalidRequest, NotSupported, WeightsMissing

_CODEFORMER_KEYS = ("quantize.embedding.weight", "position_emb")
"""Tensors that CodeFormer has and no other restorer, as ends of names: training puts them below `params_ema`."""


@dataclass(frozen=True)
class FaceRestorer:
    """A loaded network."""

    network: Any
    """Module `[N, 3, 512, 512]` in -1 to 1 -> the same."""
    device: str

    def restore(self, face: Image) -> Image:
        """Restore an aligned face `uint8[512, 512, 3]`. The same face gives the same result: the network's noise is
        the one that lies in its file. Raises `InvalidRequest` for another size."""
        import torch

        if face.shape != (FACE_PX, FACE_PX, 3):
            raise InvalidRequest(f"A face to restore has {FACE_PX} by {FACE_PX} pixels.")
        given = torch.from_numpy(np.ascontiguousarray(face)).permute(2, 0, 1)[None] / 127.5 - 1
        made = self.network(given.to(self.device, torch.float32), return_rgb=False, randomize_noise=False)[0][0]
        pixels = ((made.float().nan_to_num().clamp(-1, 1) + 1) * 127.5).round().to(torch.uint8)
        return np.ascontiguousarray(pixels.permute(1, 2, 0).cpu().numpy())


def load_face_restorer(model: Model, device: Device) -> FaceRestorer:
    """Load a restorer. Raises `NotSupported` for a file that is none or would run code, or CodeFormer's,
    `WeightsMissing` for a damaged one, `Unavailable` without spandrel."""
    if model.path is None:
        raise WeightsMissing(f"The file '{model.name}' is gone.", extra={"model": model.name})
    names = read_header(model.path).shapes
    if all(any(name.endswith(key) for name in names) for key in _CODEFORMER_KEYS):
        raise NotSupported(
            f"'{model.name}' is a CodeFormer network, whose licence is for non-commercial use only: it is not part of "
            "this server. GFPGAN is.",
            extra={"model": model.name},
        )
    descriptor = load_descriptor(model, device)
    if descriptor.architecture.id != "GFPGAN":
        raise NotSupported(
            f"The file '{model.name}' is no GFPGAN network but {descriptor.architecture.name}.",
            extra={"model": model.name},
        )
    return FaceRestorer(descriptor.model, device.name)
