"""LoRAs and their kin, merged into the weights of a checkpoint and taken out again exactly.

Each layer of such a file is a change of one weight: a low-rank product (LoRA; LoCon, with a core in CP form), two such
products multiplied entry by entry (LoHa), a Kronecker product (LoKr), the change itself (full), and with `dora_scale`
the weight's columns or rows at a trained length (DoRA). Formulas and scales are A1111's (extensions-builtin/Lora).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Collection, Hashable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

from deployments.engines.diffusion.kohya_names import kohya_name
from deployments.engines.diffusion.merged_sets import MergedSets
from deployments.engines.diffusion.original_names import original_name
from deployments.errors import NotSupported

if TYPE_CHECKING:
    from torch import Tensor

_UNKNOWN = {"oft_": "OFT", "boft_": "BOFT", "a1.": "GLoRA", "on_input": "IA3"}
"""Beginnings of parts of forms that are not applied."""
_UNET, _TEXT = "lora_unet_", "lora_te_text_model_"
_OTHER_DORA = ("dora_scale", "lora_magnitude_vector")
_XL_TEXTS = ("lora_te1_text_model_", "lora_te2_text_model_")

Parts = Mapping[str, Any]


@dataclass(frozen=True)
class Network:
    """A network of a file: the tensors of each layer, by layer."""

    name: str
    layers: Mapping[str, Parts]
    version: Hashable = None
    """What tells its file from one that was there before under the name."""


@dataclass
class _Merge:
    """What is merged into a checkpoint now."""

    networks: tuple[tuple[str, Hashable, float, float], ...] | None = ()
    """Networks, their files and strengths; None while they are merged, and after an error in it."""
    warnings: tuple[str, ...] = ()
    """Warnings about networks of which layers did not fit."""
    originals: dict[int, tuple[Any, Tensor]] = field(default_factory=dict)
    """Parameter's id -> the parameter, and its weights before any merging; also of sets that are kept."""
    changed: set[int] = field(default_factory=set)
    """Ids of the parameters that are changed now."""
    kept: MergedSets = field(default_factory=MergedSets)
    """Sets that were merged before."""


def check_forms(names: Collection[str]) -> None:
    """Check that the layers of a file are of forms that are applied. Raises `NotSupported` for OFT and its kin."""
    if any(name.endswith(_OTHER_DORA) and not name.startswith("lora_") for name in names):
        raise NotSupported("it is a DoRA of a form that is not known here")
    for part in {name.partition(".")[2] for name in names if name.startswith("lora_")}:
        if form := next((form for beginning, form in _UNKNOWN.items() if part.startswith(beginning)), None):
            raise NotSupported(f"it is of the form {form}, which is not applied here")


def read_network(name: str, tensors: Mapping[str, Tensor]) -> Network:
    """Group the tensors of a file by layer."""
    layers: dict[str, dict[str, Any]] = defaultdict(dict)
    for key, tensor in tensors.items():
        layer, _, part = kohya_name(key).partition(".")
        layers[layer][part] = tensor.clone()  # it is kept, and the file that it is a view of may be written over
    return Network(name, dict(layers))


def change_of(parts: Parts, weight: Tensor) -> Tensor:
    """Compute the change of a weight at strength 1, in float32. Raises `ValueError` where it does not fit."""
    import torch

    def get(name: str) -> Tensor:
        found: Tensor = parts[name].to(weight.device, torch.float32)
        return found

    original = weight.to(torch.float32)
    if "diff" in parts:
        change, rank = get("diff"), 0
    elif "hada_w1_a" in parts:
        halves = [_product(parts, f"hada_w{i}", f"hada_t{i}", get, original.numel()) for i in (1, 2)]
        if halves[0].shape != halves[1].shape:
            raise ValueError("two halves of other sizes")
        change, rank = halves[0] * halves[1], parts["hada_w1_b"].shape[0]
    elif "lokr_w1" in parts or "lokr_w1_a" in parts:
        first = _product(parts, "lokr_w1", "", get, original.numel())
        second = _product(parts, "lokr_w2", "lokr_t2", get, original.numel())
        _check_size(first.numel() * second.numel(), original.numel())
        change = torch.kron(first[(...,) + (None,) * (second.ndim - first.ndim)], second.contiguous())
        ranks = [parts[name].shape[0] for name in ("lokr_w2_b", "lokr_w1_b") if name in parts]
        rank = ranks[0] if ranks else 0
    elif "lora_up.weight" in parts and "lora_down.weight" in parts:
        up, down = get("lora_up.weight").flatten(1), get("lora_down.weight").flatten(1)
        rank = parts["lora_down.weight"].shape[0]
        core = parts["lora_mid.weight"].shape[2:].numel() if "lora_mid.weight" in parts else 1
        _check_size(up.shape[0] * down.shape[1] * core, original.numel())
        if "lora_mid.weight" in parts:
            change = torch.einsum("nmkl,in,mj->ijkl", get("lora_mid.weight"), up, down)
        else:
            change = up @ down
    else:
        raise ValueError("a layer of a form that is not known")
    _check_size(change.numel(), original.numel())
    scale = float(parts["alpha"]) / rank if rank and "alpha" in parts else 1.0
    change = change.reshape(original.shape) * scale
    return _at_trained_length(change, original, get("dora_scale")) if "dora_scale" in parts else change


def _check_size(size: int, wanted: int) -> None:
    """Check the size of a product, before it is made: that of two small factors may not fit any memory."""
    if size != wanted:
        raise ValueError("a layer of another size")


def _product(parts: Parts, name: str, core: str, get: Callable[[str], Tensor], most: int) -> Tensor:
    """Multiply the factors of a weight, at most `most` entries: given whole, as a product, or with a core in CP
    form."""
    import torch

    if name in parts:
        return get(name)
    first, second = get(f"{name}_a"), get(f"{name}_b")
    has_core = bool(core) and core in parts
    rows, places = (first.shape[1], parts[core].shape[2:].numel()) if has_core else (first.shape[0], 1)
    if rows * second.flatten(1).shape[1] * places > most:
        raise ValueError("a layer of another size")
    if has_core:
        return torch.einsum("ijkl,jr,ip->prkl", get(core), second, first)
    return first @ second.flatten(1)


def _at_trained_length(change: Tensor, original: Tensor, lengths: Tensor) -> Tensor:
    """Give the changed weight's columns (`lengths` `[1, in, ...]`) or rows (`[out, 1, ...]`) their trained lengths."""
    changed = change + original
    by_row = lengths.shape[0] == changed.shape[0] and lengths.numel() == changed.shape[0] and lengths.shape[0] > 1
    kept = 0 if by_row else 1
    others = [axis for axis in range(changed.ndim) if axis != kept]
    now = changed.pow(2).sum(dim=others, keepdim=True).sqrt()
    return changed * (lengths.reshape(now.shape) / now) - original


class Merger:
    """Merges networks into checkpoints. A checkpoint that is gone takes what is known about it along."""

    def __init__(self) -> None:
        self._merges: WeakKeyDictionary[Any, _Merge] = WeakKeyDictionary()

    def merged(self, unet: Any) -> Hashable:
        """What is merged into the checkpoint of this UNet; None where an error left a part of it."""
        return self._merges.setdefault(unet, _Merge()).networks

    def bytes_of(self, unet: Any) -> int:
        """Bytes of the weights, in the machine's memory, that merging into the checkpoint of this UNet has saved."""
        merge = self._merges.get(unet)
        return sum(original.nbytes for _, original in [*merge.originals.values()]) + merge.kept.size if merge else 0

    @property
    def original_bytes(self) -> int:
        """Bytes of the weights that merging into any checkpoint has saved."""
        return sum(self.bytes_of(unet) for unet in list(self._merges))

    def take_out(self, unet: Any) -> None:
        """Take all networks out of the checkpoint of this UNet, and forget its sets: its weights are those of its
        file."""
        if merge := self._merges.get(unet):
            self._take_out(merge)
            self._forget(merge)

    def forget_kept(self, unet: Any) -> None:
        """Free the sets that are kept beside the one that is merged now."""
        if merge := self._merges.get(unet):
            self._forget(merge)

    def merge(
        self, unet: Any, encoder: Any, networks: Sequence[tuple[Network, float, float]], second: Any = None
    ) -> list[str]:
        """Merge these networks, by their strengths in text encoders and UNet, and no others. -> warnings

        What was merged before is taken out: the weights are those of the file again, bit for bit. `second`: the text
        encoder that SDXL has besides. A set that was merged before, and is kept, is copied.
        """
        merge = self._merges.setdefault(unet, _Merge())
        wanted = tuple((network.name, network.version, text, picture) for network, text, picture in networks)
        if wanted == merge.networks:
            return [*merge.warnings]  # told again with each image
        if merge.networks:
            merge.kept.keep(merge.networks, self._changed(merge), merge.warnings)
        self._take_out(merge)
        merge.networks = None  # until all are in, so that an error on the way is followed by taking them out
        if (known := merge.kept.find(wanted)) is not None:
            for parameter, weights in known.weights:
                parameter.data.copy_(weights)
            merge.changed = {id(parameter) for parameter, _ in known.weights}
            merge.networks, merge.warnings = wanted, known.warnings
            return [*known.warnings]
        places = _places(unet, encoder, second) if networks else {}
        warnings = []
        for network, text, picture in networks:
            failed = sum(
                not self._add(merge, places.get(layer), parts, picture if layer.startswith(_UNET) else text)
                for layer, parts in network.layers.items()
            )
            if failed:
                count = len(network.layers)
                name = f"LoRA '{network.name}'{' was left out' if failed == count else ''}"
                warnings.append(f"{name}: {failed} of {count} layers do not fit the checkpoint.")
        merge.networks, merge.warnings = wanted, tuple(warnings)
        return warnings

    def _take_out(self, merge: _Merge) -> None:
        for place in merge.changed:
            parameter, original = merge.originals[place]
            parameter.data.copy_(original)
        merge.changed.clear()
        merge.networks, merge.warnings = (), ()
        if not merge.kept.size:
            merge.originals.clear()

    def _forget(self, merge: _Merge) -> None:
        merge.kept.clear()
        merge.originals = {place: merge.originals[place] for place in merge.changed}

    def _changed(self, merge: _Merge) -> list[Any]:
        return [merge.originals[place][0] for place in merge.changed]

    def _add(self, merge: _Merge, module: Any | None, parts: Parts, strength: float) -> bool:
        """Add a layer's change to a module; -> whether it fits."""
        if module is None:
            return False
        try:
            if weight := _first(parts, "w_norm"):
                self._change(merge, module.weight, weight[0], strength)
            elif set(parts) - {"b_norm", "diff_b", "alpha"}:
                original = merge.originals.get(id(module.weight), (None, module.weight.data))[1]
                self._change(merge, module.weight, change_of(parts, original.to(module.weight.device)), strength)
            if (bias := _first(parts, "b_norm", "diff_b")) and module.bias is not None:
                self._change(merge, module.bias, bias[0], strength)
        except (ValueError, RuntimeError, LookupError, TypeError, AttributeError) as error:
            if type(error).__name__ == "OutOfMemoryError":
                raise
            return False
        return True

    def _change(self, merge: _Merge, parameter: Any, change: Tensor, strength: float) -> None:
        import torch

        if change.numel() != parameter.numel():
            raise ValueError("a change of another size")
        if id(parameter) not in merge.originals:
            merge.originals[id(parameter)] = (parameter, parameter.data.to("cpu", copy=True))
        merge.changed.add(id(parameter))
        changed = parameter.data.to(torch.float32) + strength * change.to(parameter.device, torch.float32)
        parameter.data.copy_(changed.reshape(parameter.shape))


def _first(parts: Parts, *names: str) -> list[Any]:
    return [parts[name] for name in names if name in parts]


def _places(unet: Any, encoder: Any, second: Any) -> dict[str, Any]:
    """Modules of the networks by the names that kohya's trainer gives their layers, in SDXL's UNet the original's."""
    places: dict[str, Any] = {}
    texts = [(_TEXT, encoder), (_XL_TEXTS[0], encoder)]
    if second is not None:
        texts = list(zip(_XL_TEXTS, (encoder, second), strict=True))
    for prefix, network in ((_UNET, unet), *texts):
        for name, module in network.named_modules():
            if getattr(module, "weight", None) is None:
                continue
            own = name.removeprefix("text_model.")
            places[prefix + own.replace(".", "_")] = module
            if second is not None and prefix == _UNET and (theirs := original_name(own)):
                places[prefix + theirs.replace(".", "_")] = module
    return places
