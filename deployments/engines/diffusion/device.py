"""Device that the models run on: its name, its precision and this process's share of its memory."""

from __future__ import annotations

import gc
from dataclasses import dataclass
from typing import Any

from configs.settings import Diffusion
from deployments.engines.gpu import CapMemory, cap_gpu_memory, choose_device
from deployments.errors import Unavailable


@dataclass(frozen=True)
class Device:
    """A torch device and the precision that models have on it."""

    name: str
    dtype: Any
    """Precision of the weights, a `torch.dtype`."""

    @property
    def is_gpu(self) -> bool:
        """Whether it is a CUDA device."""
        return self.name.startswith("cuda")

    def place(self, module: Any) -> Any:
        """Move a module, loaded in `dtype`, to the device and make it ready to infer."""
        import torch

        module = module.to(self.name).eval().requires_grad_(False)
        return module.to(memory_format=torch.channels_last) if self.is_gpu else module  # faster convolutions

    def give_back(self) -> None:
        """Free memory that is no longer referenced, on a GPU for its other processes too."""
        gc.collect()  # pipelines hold their parts in cycles
        if self.is_gpu:
            import torch

            torch.cuda.empty_cache()

    def check(self) -> None:
        """Compute something small. Raises what PyTorch raises on a device that is lost."""
        import torch

        if float(torch.ones(1, device=self.name) + 1) != 2:
            raise Unavailable("The device computes wrongly.")

    def memory(self) -> dict[str, int]:
        """Measure the device's memory in bytes, as `ModelCatalogue.memory` says."""
        if not self.is_gpu:
            return {}
        import torch

        free, total = torch.cuda.mem_get_info(self.name)
        return {"used": total - free, "total": total, "peak": torch.cuda.max_memory_allocated(self.name)}


def open_device(settings: Diffusion, gpu_share: float, cap_memory: CapMemory = cap_gpu_memory) -> Device:
    """Open the device of the settings; `gpu_share`: the share that Ray gave the replica, 0 where it gave none.

    The cap is set whenever there is a share, before anything is allocated. Raises `Unavailable` when PyTorch or the
    device is missing.
    """
    try:
        import torch
    except ImportError as error:
        raise Unavailable("The diffusion engine needs PyTorch and diffusers: install darkroom[diffusion].") from error
    name = choose_device(settings.device, "DARKROOM_DIFFUSION__DEVICE")
    share = settings.memory_fraction or min(gpu_share, 1.0)
    if share:
        cap_memory(share, name)
    automatic = "float16" if name.startswith("cuda") else "float32"
    return Device(name, getattr(torch, automatic if settings.dtype == "auto" else settings.dtype))
