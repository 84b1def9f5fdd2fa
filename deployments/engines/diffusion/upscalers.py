"""Upscaling networks of the ESRGAN family and its successors, loaded by spandrel from their authors' files; and the one
that spandrel does not know but a package ships."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from deployments.contracts.arrays import Image
from deployments.engines.diffusion.allocations import allocating_at_most
from deployments.engines.diffusion.catalogue import Model
from deployments.engines.diffusion.device import Device
from deployments.engines.diffusion.headers import load_tensors
from deployments.errors import InvalidRequest, NotSupported, Unavailable, WeightsMissing

_TILE_PX, _MARGIN_PX = 256, 16
"""Side of the squares that a network sees at once, and what it sees of their surroundings on each side: memory is
bounded, and no seam is seen."""
_MOST_PIXELS = 2**26
"""Pixels of one pass's result, 200 MB."""
_MOST_PASSES = 3
"""Passes of a network until the image is large enough, as in A1111."""
_WRAPPERS = ("params_ema.", "params-ema.", "params.")
"""Names under which training puts a state dict, the ones to prefer first."""


_NUMBER, _MOST_DIGITS = re.compile(r"[0-9]+"), 9
_GROWTH, _BUFFER_BYTES = 4, 2**28
"""Memory of a network that is built, by its file: half precision doubles, and some compute buffers of their own."""
_LAYERS_WITHOUT_TENSORS = 64
"""Layers that are counted and have no tensors: activations, and those that enlarge."""
_OF_RESIDUAL_DENSE = frozenset({"Pre_blocks_conv.weight", "post_blocks_conv.weight", "PreShuffle.weight", "SR.weight"})
"""Tensors by which `residual_dense.ResidualDense` is known."""


@dataclass(frozen=True)
class Upscaler:
    """A loaded network."""

    network: Any
    """Module `[N, 3, H, W]` in 0 to 1 -> the same `scale` times as large."""
    module: Any
    """The same as PyTorch has it."""
    scale: int
    device: str
    dtype: Any

    def enlarge(self, image: Image) -> Image:
        """Enlarge an image `scale` times, square by square. Raises `InvalidRequest` for too large a one."""
        height, width = image.shape[:2]
        if height * width * self.scale**2 > _MOST_PIXELS:
            raise InvalidRequest(f"An image of {width} by {height} pixels is too large for an upscaler.")
        out = np.empty((height * self.scale, width * self.scale, 3), np.uint8)
        for top in range(0, height, _TILE_PX):
            for left in range(0, width, _TILE_PX):
                self._tile(image, out, top, left)
        return out

    def _tile(self, image: Image, out: Image, top: int, left: int) -> None:
        import torch

        height, width = image.shape[:2]
        y, x = max(0, top - _MARGIN_PX), max(0, left - _MARGIN_PX)
        seen = image[y : top + _TILE_PX + _MARGIN_PX, x : left + _TILE_PX + _MARGIN_PX]
        pixels = torch.from_numpy(np.ascontiguousarray(seen)).permute(2, 0, 1)[None] / 255
        made = self.network(pixels.to(self.device, self.dtype))[0].float().clamp(0, 1).nan_to_num()
        tile = (made * 255).round().to(torch.uint8).permute(1, 2, 0).cpu().numpy()
        bottom, right = min(height, top + _TILE_PX), min(width, left + _TILE_PX)
        scale = self.scale
        part = tile[(top - y) * scale : (bottom - y) * scale, (left - x) * scale : (right - x) * scale]
        out[top * scale : bottom * scale, left * scale : right * scale] = part


def load_upscaler(model: Model, device: Device) -> Upscaler:
    """Load an upscaler. Raises `NotSupported` for a file that is none or would run code, `WeightsMissing` for a damaged
    one, `Unavailable` without spandrel."""
    tensors = _read(model)
    if _OF_RESIDUAL_DENSE <= tensors.keys():
        return _load_residual_dense(tensors, model, device)
    descriptor = _describe(tensors, model, device)
    if descriptor.input_channels != 3 or descriptor.output_channels != 3 or descriptor.scale < 1:
        raise NotSupported(f"The file '{model.name}' is no upscaler of colour images.", extra={"model": model.name})
    return Upscaler(descriptor, descriptor.model, descriptor.scale, device.name, descriptor.dtype)


def _load_residual_dense(tensors: dict[str, Any], model: Model, device: Device) -> Upscaler:
    """Load the network that spandrel does not know, in single precision as it was trained."""
    import torch

    from deployments.engines.diffusion.residual_dense import ResidualDense

    try:
        network = ResidualDense(tensors).to(device.name).eval()
    except (RuntimeError, LookupError, ValueError, TypeError, AttributeError) as error:
        raise WeightsMissing(f"The file '{model.name}' is damaged ({type(error).__name__}).") from error
    return Upscaler(network, network, network.scale, device.name, torch.float32)


def load_descriptor(model: Model, device: Device, registry: Any = None) -> Any:
    """Load an image network as spandrel describes it, or as one of a `registry` of other networks; raises as
    `load_upscaler` does."""
    return _describe(_read(model), model, device, registry)


def _read(model: Model) -> dict[str, Any]:
    if model.path is None:
        raise WeightsMissing(f"The file '{model.name}' is gone.", extra={"model": model.name})
    return _unwrapped(load_tensors(model.path))


def _describe(tensors: dict[str, Any], model: Model, device: Device, registry: Any = None) -> Any:
    _check_numbers(tensors, model)
    try:
        import spandrel
    except ImportError as error:
        raise Unavailable("Upscalers need spandrel: install darkroom[diffusion].") from error
    most = _GROWTH * sum(tensor.nbytes for tensor in tensors.values()) + _BUFFER_BYTES
    try:
        with allocating_at_most(most):
            found = spandrel.ModelLoader(registry=registry or spandrel.MAIN_REGISTRY).load_from_state_dict(tensors)
    except MemoryError as error:
        raise NotSupported(
            f"The file '{model.name}' is no upscaler that is known here: its network would be larger than the file.",
            extra={"model": model.name},
        ) from error
    except spandrel.UnsupportedModelError as error:
        raise NotSupported(f"The file '{model.name}' is no upscaler that is known here.") from error
    except (RuntimeError, LookupError, ValueError, TypeError, AssertionError, AttributeError) as error:
        raise WeightsMissing(f"The file '{model.name}' is damaged ({type(error).__name__}).") from error
    if not isinstance(found, spandrel.ImageModelDescriptor):
        raise NotSupported(f"The file '{model.name}' is no upscaler: it takes more than an image.")
    found.to(device.name).eval()
    if device.is_gpu and found.supports_half and str(device.dtype) == "torch.float16":
        found.half()
    return found


def _check_numbers(names: Collection[str], model: Model) -> None:
    """Check the layers' numbers: spandrel builds as many as the highest says. Raises `NotSupported`."""
    most = len(names) + _LAYERS_WITHOUT_TENSORS
    for name in names:
        for digits in _NUMBER.findall(name):
            if len(digits) > _MOST_DIGITS or int(digits) > most:
                raise NotSupported(
                    f"The file '{model.name}' is no upscaler that is known here: it counts more layers than it has.",
                    extra={"model": model.name},
                )


def _unwrapped(tensors: Mapping[str, Any]) -> dict[str, Any]:
    """Take the state dict out of what it was saved in."""
    for prefix in _WRAPPERS:
        inner = {name.removeprefix(prefix): value for name, value in tensors.items() if name.startswith(prefix)}
        if inner:
            return inner
    return dict(tensors)


def passes_for(size: tuple[int, int], target: tuple[int, int], scale: int) -> int:
    """Count the passes until (width, height) is at least `target`; at most three, and none for a network that does not
    enlarge but cleans more than once."""
    for passes in range(1, _MOST_PASSES + 1):
        size = (size[0] * scale, size[1] * scale)
        if scale == 1 or (size[0] >= target[0] and size[1] >= target[1]):
            return passes
    return _MOST_PASSES
