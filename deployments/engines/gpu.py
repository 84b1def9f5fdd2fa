"""GPUs of this machine: whether there is one for this process, and the share of its memory that it may take."""

from __future__ import annotations

from collections.abc import Callable

from deployments.errors import Unavailable

CapMemory = Callable[[float, str], None]
"""Function that caps this process's memory: takes the share, 0 to 1, and the device's name."""


def cap_gpu_memory(share: float, device: str) -> None:
    """Cap this process's share of a CUDA device: allocations beyond it fail here instead of in its neighbour.

    Other devices have no cap.
    """
    import torch

    if device.startswith("cuda"):
        torch.cuda.set_per_process_memory_fraction(share, device)


def choose_device(name: str, setting: str) -> str:
    """Resolve `auto` to `cuda` where this process has a GPU, else `cpu`; Ray hides it from replicas that ask for none.

    Raises `Unavailable` when CUDA is named and not there: `setting` is the variable to change.
    """
    import torch

    if name == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    if name.startswith("cuda") and not torch.cuda.is_available():
        raise Unavailable(f"There is no CUDA device here: set {setting}=cpu, or run where there is one.")
    return name
