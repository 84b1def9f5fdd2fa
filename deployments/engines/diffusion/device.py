"""Device that the models run on: its name, its precision and this process's share of its memory."""

from __future__ import annotations

import gc
from dataclasses import dataclass
from typing import Any

from configs.settings import Diffusion
from deployments.engines.gpu import CapMemory, cap_gpu_memory, choose_device
from deployments.errors import OutOfMemory, Unavailable

_CPU_BATCH, _LARGEST_BATCH = 4, 16
_CPU_MODELS = 8192 * 2**20
_MODELS_SHARE = 0.6
_RETRY_S = 10
_BYTES_A_PIXEL = 6144
"""Bytes that a batch computes with for each pixel of its images, reckoned from the widest layer of the VAE's decoder,
which is the largest need: 512 channels at half the size and 256 at the whole, in half precision, a few of each at once.
`python -m bench.gpu` shows the peak of a card."""


@dataclass(frozen=True)
class Device:
    """A torch device and the precision that models have on it."""

    name: str
    dtype: Any
    """Precision of the weights, a `torch.dtype`."""
    share_bytes: int | None = None
    """Bytes of a GPU's memory that are this process's; None on a CPU."""

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

    def mark(self) -> Any | None:
        """Mark what was asked of the device up to now: an event that is over once it is done, which any thread may
        await; None on a CPU, which has done it."""
        if not self.is_gpu:
            return None
        import torch

        event = torch.cuda.Event(blocking=True)  # a wait that leaves the core to others
        event.record()
        return event

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


@dataclass(frozen=True)
class MemoryPlan:
    """How a process's memory is shared out."""

    models: int
    """Bytes of models that stay loaded."""
    batch_px: int | None
    """Pixels of the images that share a batch; None: four images whatever their size."""

    def most_images(self, width: int, height: int) -> int:
        """Images of a size that may share a batch."""
        if self.batch_px is None:
            return _CPU_BATCH
        return max(1, min(_LARGEST_BATCH, self.batch_px // (width * height)))


def out_of_memory() -> OutOfMemory:
    """Make the refusal of what the device has too little memory for."""
    return OutOfMemory("The device has too little memory for this now.", extra={"retry_after_s": _RETRY_S})


def plan_memory(settings: Diffusion, share_bytes: int | None) -> MemoryPlan:
    """Share out the memory by the settings; `share_bytes`: the process's share of a GPU, None on a CPU."""
    budget = settings.memory_budget_mb
    models = budget * 2**20 if budget else _CPU_MODELS if share_bytes is None else int(share_bytes * _MODELS_SHARE)
    if share_bytes is None:
        return MemoryPlan(models, None)
    return MemoryPlan(models, max(share_bytes - models, 0) // _BYTES_A_PIXEL)


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
    dtype = getattr(torch, automatic if settings.dtype == "auto" else settings.dtype)
    if not name.startswith("cuda"):
        return Device(name, dtype)
    return Device(name, dtype, int(torch.cuda.mem_get_info(name)[1] * (share or 1.0)))
