"""IP-Adapters, read from their authors' files: what makes words of an image, and the layers that look at them.

A file holds `image_proj.*`, and for each cross-attention of the UNet `ip_adapter.N.to_k_ip.weight` and `...to_v_ip...`,
N its place among all attentions as diffusers lists them.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from deployments.contracts.diffusion import FAMILY_NAMES
from deployments.engines.diffusion.allocations import allocating_at_most
from deployments.engines.diffusion.catalogue import Model
from deployments.engines.diffusion.device import Device
from deployments.engines.diffusion.headers import load_tensors
from deployments.errors import NotSupported, WeightsMissing

_LAYER = re.compile(r"^ip_adapter\.(\d{1,4})\.to_([kv])_ip\.weight$")
_PROJECTION = "image_proj."
_SPARE_BYTES, _GROWTH = 2**26, 3
"""Memory of a projection that is built, by the bytes of its tensors."""


@dataclass(frozen=True)
class IpAdapter:
    """A loaded IP-Adapter."""

    name: str
    encoder: str
    """Image encoder whose features it takes."""
    network: Any
    """Module with `project`, and lists of weights `to_keys` and `to_values`, in the order of the layers."""
    places: tuple[int, ...]
    """Place of each layer among the UNet's attentions."""

    @property
    def sees_details(self) -> bool:
        """Whether it takes the features of the image's parts (plus, face), and not those of the whole."""
        from diffusers.models.embeddings import ImageProjection

        return not isinstance(self.network["project"], ImageProjection)

    def project(self, features: Any) -> Any:
        """Make words of an image's features. -> `[1, words, width]`. Raises `NotSupported` for features of another
        width."""
        try:
            return self.network["project"](features)
        except RuntimeError as error:
            if type(error).__name__ == "OutOfMemoryError":
                raise
            raise NotSupported(
                f"it takes other features than those of the image encoder {self.encoder}", extra={"model": self.name}
            ) from error

    def layers(self) -> Sequence[tuple[Any, Any]]:
        """Return the weights of keys and values for each layer."""
        return list(zip(self.network["to_keys"], self.network["to_values"], strict=True))

    def check_fits(self, unet: Any) -> None:
        """Check that each of its layers fits the UNet's. Raises `NotSupported`."""
        listed = cross_attentions(unet)
        fits = self.places == tuple(listed) and all(
            key.shape == attention.to_k.weight.shape and value.shape == attention.to_v.weight.shape
            for (key, value), attention in zip(self.layers(), listed.values(), strict=True)
        )
        if not fits:
            raise NotSupported("its layers are not those of the checkpoint", extra={"model": self.name})


def cross_attentions(unet: Any) -> dict[int, Any]:
    """List the UNet's cross-attentions by their place among all its attentions."""
    return {
        place: unet.get_submodule(name.removesuffix(".processor"))
        for place, name in enumerate(unet.attn_processors)
        if name.endswith("attn2.processor")
    }


def check_adapter(model: Model, family: str) -> None:
    """Check by its header that a file is an IP-Adapter of a kind that runs here, for checkpoints of `family`. Raises
    `NotSupported`, and `WeightsMissing` for one that cannot be read."""
    kind = model.inspect()
    if kind.role != "ip-adapter":
        raise NotSupported(f"it is {kind.label}, not an IP-Adapter", extra={"model": model.name})
    if not kind.encoder:
        raise NotSupported(
            "it is an IP-Adapter of a kind that does not run here (FaceID, InstantID and their kin)",
            extra={"model": model.name},
        )
    if kind.family not in ("", family):
        raise NotSupported(
            f"it is {kind.label} and the checkpoint is {FAMILY_NAMES[family]}", extra={"model": model.name}
        )


def load_ip_adapter(model: Model, device: Device) -> IpAdapter:
    """Load an IP-Adapter. Raises `NotSupported` for a file that would run code or is larger than it says,
    `WeightsMissing` for a damaged one."""
    import torch

    if model.path is None:
        raise WeightsMissing("it is gone", extra={"model": model.name})
    tensors = load_tensors(model.path)
    found: dict[str, dict[int, Any]] = {"k": {}, "v": {}}
    for name, tensor in tensors.items():
        if (layer := _LAYER.match(name)) and tensor.ndim == 2:
            found[layer[2]][int(layer[1])] = tensor
    if not found["k"] or found["k"].keys() != found["v"].keys():
        raise WeightsMissing("its layers are not complete", extra={"model": model.name})
    places = tuple(sorted(found["k"]))

    def weights(kind: str) -> Any:
        copies = (found[kind][place].to(device.dtype, copy=True) for place in places)  # for the file may change
        return torch.nn.ParameterList([torch.nn.Parameter(one, False) for one in copies])

    own = {name.removeprefix(_PROJECTION): one for name, one in tensors.items() if name.startswith(_PROJECTION)}
    network = torch.nn.ModuleDict(
        {"project": _build_projection(model, own), "to_keys": weights("k"), "to_values": weights("v")}
    )
    return IpAdapter(model.name, model.file_kind.encoder, device.place(network.to(device.dtype)), places)


def _build_projection(model: Model, tensors: Mapping[str, Any]) -> Any:
    from diffusers.loaders.unet import UNet2DConditionLoadersMixin

    most = _GROWTH * sum(tensor.numel() * 4 for tensor in tensors.values()) + _SPARE_BYTES
    try:
        with allocating_at_most(most):
            return UNet2DConditionLoadersMixin._convert_ip_adapter_image_proj_to_diffusers(
                None, dict(tensors), low_cpu_mem_usage=False
            )
    except MemoryError as error:
        raise NotSupported("its network would be larger than the file", extra={"model": model.name}) from error
    except (RuntimeError, LookupError, ValueError, TypeError, ArithmeticError, AttributeError) as error:
        if type(error).__name__ == "OutOfMemoryError":
            raise
        raise WeightsMissing(f"it is damaged ({type(error).__name__})", extra={"model": model.name}) from error
