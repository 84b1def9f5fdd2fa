"""Model registry: models as requests name them, loaded within the memory budget."""

from __future__ import annotations

import threading
from collections.abc import Hashable, Sequence
from contextlib import suppress
from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from typing import Any
from weakref import WeakKeyDictionary

import structlog

from configs.settings import Diffusion
from deployments.contracts.diffusion import FAMILY_NAMES, UNION_KINDS, Lora
from deployments.engines.diffusion.catalogue import Catalogue, Model
from deployments.engines.diffusion.device import Device, plan_memory
from deployments.engines.diffusion.face_restorers import FaceRestorer, load_face_restorer
from deployments.engines.diffusion.graphs import GpuRecorder, Graphs
from deployments.engines.diffusion.headers import load_tensors, read_header
from deployments.engines.diffusion.image_encoders import ImageEncoder, find_encoder, load_encoder
from deployments.engines.diffusion.ip_adapters import IpAdapter, check_adapter, load_ip_adapter
from deployments.engines.diffusion.loading import (
    Checkpoint,
    Loader,
    check_file,
    expected_bytes,
    file_bytes,
    module_bytes,
)
from deployments.engines.diffusion.lycoris import Merger, Network, check_forms, read_network
from deployments.engines.diffusion.model_cache import Key, Lease, ModelCache
from deployments.engines.diffusion.model_folders import annotator_folders
from deployments.engines.diffusion.ram_stage import RamStage, networks_of
from deployments.engines.diffusion.refiner import check_refiner
from deployments.engines.diffusion.text_encoders import Cache
from deployments.engines.diffusion.textual_inversions import NONE, TextualInversions, read_vectors
from deployments.engines.diffusion.upscalers import Upscaler, load_upscaler
from deployments.errors import DarkroomError, NotSupported, OutOfMemory, WeightsMissing

log = structlog.get_logger(__name__)

MEMORY_BUDGET = "DARKROOM_DIFFUSION__MEMORY_BUDGET_MB"
_OWN_VAE = ("", "automatic", "none")
_MAX_SHOWN = 60


class _LeftOut(Exception):
    """Reason for leaving out a LoRA, for the client."""


class ModelRegistry:
    """Registry of models. Getting one may take as long as loading it does; it stays until its lease ends."""

    def __init__(self, settings: Diffusion, folder: Path, device: Device) -> None:
        self.catalogue = Catalogue(folder, settings.checkpoint)
        self.cache = ModelCache(plan_memory(settings, device.share_bytes).models, device.give_back)
        self.tiling = threading.Lock()
        """Lock held while a batch makes shared networks wrap around the edge, and while others need them without."""
        self._device = device
        self.graphs = Graphs(GpuRecorder() if settings.cuda_graphs and device.is_gpu else None)
        self._merger = Merger()
        self._counted: WeakKeyDictionary[Any, int] = WeakKeyDictionary()
        """Bytes of saved weights that are counted to a checkpoint, by its UNet."""
        budget = settings.ram_stage_mb * 2**20 if device.is_gpu else 0
        self._stage = RamStage(budget, device, lambda: self.saved_bytes)
        self._embeddings: WeakKeyDictionary[Any, tuple[Hashable, dict[int, Cache]]] = WeakKeyDictionary()
        self._loader = Loader(self.catalogue, device, offline=settings.offline, compile_unet=settings.compile)

    @property
    def saved_bytes(self) -> int:
        """Bytes of the weights, in the machine's memory, to which checkpoints return when their LoRAs leave."""
        return self._merger.original_bytes

    def find_checkpoint(self, name: str) -> Model:
        """Find a checkpoint by name; empty: the configured one. Raises `WeightsMissing`."""
        return self.catalogue.find("checkpoints", name) if name.strip() else self.catalogue.default_checkpoint()

    def checkpoint(self, lease: Lease, name: str) -> Checkpoint:
        """Load a checkpoint by name; empty: the configured one. Raises `WeightsMissing`, `NotSupported`,
        `OutOfMemory`."""
        model = self.find_checkpoint(name)
        if model.path is not None and model.file_kind.family == "sdxl-refiner":
            raise NotSupported(
                f"'{model.name}' is {model.file_kind.label}: it only refines what another checkpoint began, as "
                "`refiner_checkpoint`.",
                extra={"model": model.name, "family": model.file_kind.family},
            )
        return self._load(lease, model)

    def check_budget(self, *models: Model) -> None:
        """Check that models fit the memory budget together, before any is loaded. Raises `OutOfMemory`."""
        sizes = {model.name: expected_bytes(model, self._device.dtype) for model in models}
        if sum(sizes.values()) > self.cache.budget:
            each = ", ".join(f"'{name}' {size >> 20:,} MB" for name, size in sizes.items())
            raise OutOfMemory(
                f"The models of this request together ({each}) are larger than the engine's memory budget of "
                f"{self.cache.budget >> 20:,} MB: see {MEMORY_BUDGET}."
            )

    def refiner(self, lease: Lease, name: str, base: Checkpoint) -> Checkpoint:
        """Load the checkpoint that refines what `base` began. Raises as `checkpoint` does, and `NotSupported` for one
        that does not fit."""
        found = self._load(lease, self.catalogue.find("checkpoints", name))
        check_refiner(found, base)
        if found.text_encoder is not None and found is not base:
            self.use_loras(lease, found, ())  # those of a batch before
        return found

    def _load(self, lease: Lease, model: Model) -> Checkpoint:
        model = model.stamped()
        key, made = self._key(model), []

        def load() -> Checkpoint:
            made.append(self._stage.take(key) or self._loader.checkpoint(model))
            return made[0]

        def park() -> None:
            self._park(key, made.pop())

        found: Checkpoint = lease.get(
            key,
            load,
            lambda made: module_bytes(*networks_of(made)),
            expected_bytes=lambda: expected_bytes(model, self._device.dtype),
            close=park,
        )
        return found

    def _park(self, key: Key, checkpoint: Checkpoint) -> None:
        """Keep a checkpoint that leaves the device in the stage where there is room. Where that fails, it is loaded
        again: who pushed it out is not to blame."""
        self.graphs.forget(checkpoint.unet)  # which read the weights where they lie
        self._embeddings.pop(checkpoint.unet, None)
        if not self._stage.has_room_for(checkpoint):
            return
        try:
            self._merger.take_out(checkpoint.unet)
            self._stage.put(key, checkpoint)
        except Exception as error:
            log.warning("a checkpoint could not be kept", checkpoint=checkpoint.model.name, exc_info=error)

    def give_back(self) -> None:
        """Free the memory that is not referenced, and that of graphs. For the thread of the batches."""
        self.graphs.clear()
        self._device.give_back()

    def forget_checkpoint(self, name: str) -> None:
        """Unload a checkpoint unless a batch is using it."""
        if model := self.catalogue.look_up("checkpoints", name):
            self._forget(model, but=())

    def close(self) -> None:
        """Free all models."""
        self._stage.close()  # first: what leaves the cache would be kept there
        self.graphs.clear()
        self.cache.clear()

    def vae(self, lease: Lease, name: str, checkpoint: Checkpoint) -> Any:
        """Load a VAE; empty, "Automatic" or "None": the one that lies beside the checkpoint's file, or its own.

        Raises `WeightsMissing`, `NotSupported` (no VAE, or one of another family), `OutOfMemory`.
        """
        own = name.strip().lower() in _OWN_VAE
        model = self._vae_beside(checkpoint.model) if own else self.catalogue.find("vaes", name)
        if model is not None:
            model, family = model.stamped(), checkpoint.family
            return lease.get((*self._key(model), family), lambda: self._loader.vae(model, family), module_bytes)
        if checkpoint.vae is None:
            raise NotSupported(
                f"The checkpoint '{checkpoint.model.name}' holds no VAE: name one of vaes/ (setting sd_vae), or put it "
                f"beside the checkpoint as '{checkpoint.model.name}.vae.safetensors'.",
                extra={"model": checkpoint.model.name},
            )
        return checkpoint.vae

    def _vae_beside(self, checkpoint: Model) -> Model | None:
        """Find the VAE that lies beside a checkpoint's file, `name.vae.safetensors`, as A1111 does by itself."""
        if checkpoint.path is None or checkpoint.path.is_dir():
            return None
        stem = checkpoint.path.with_suffix("")
        return next(
            (
                one
                for one in self.catalogue.models("vaes")
                if one.path and one.path.parent == stem.parent and one.path.name.startswith(f"{stem.name}.vae.")
            ),
            None,
        )

    def controlnet(self, lease: Lease, name: str, checkpoint: Checkpoint, shows: str = "") -> Any:
        """Load a ControlNet that fits the checkpoint; `shows`: what its hint shows, for a union model.

        Raises `WeightsMissing`, `NotSupported` (it is for another family of checkpoints, or knows no such hints),
        `OutOfMemory`.
        """
        model = self.catalogue.find("controlnets", name).stamped()
        check_file(model)
        if model.file_kind.family != checkpoint.family:
            raise NotSupported(
                f"The ControlNet '{model.name}' is {model.file_kind.label} and does not fit the checkpoint "
                f"'{checkpoint.model.name}', which is {FAMILY_NAMES[checkpoint.family]}."
            )
        kinds = UNION_KINDS[: model.file_kind.types]
        if model.file_kind.role == "controlnet-union" and shows not in kinds:
            raise NotSupported(
                f"The ControlNet union model '{model.name}' must be told what its hint shows: {', '.join(kinds)}.",
                extra={"model": model.name},
            )
        net = lease.get(
            self._key(model),
            lambda: self._loader.controlnet(model),
            module_bytes,
            expected_bytes=lambda: expected_bytes(model, self._device.dtype),
        )
        if net.config.cross_attention_dim != checkpoint.unet.config.cross_attention_dim:
            raise NotSupported(f"The ControlNet '{model.name}' does not fit the checkpoint '{checkpoint.model.name}'.")
        return net

    def image_prompter(self, lease: Lease, name: str, checkpoint: Checkpoint) -> tuple[IpAdapter, ImageEncoder]:
        """Load an IP-Adapter that fits the checkpoint, and its image encoder.

        Raises `WeightsMissing`, `NotSupported` (another family or kind of file), both with the reason alone,
        `OutOfMemory`.
        """
        model = self.catalogue.find("controlnets", name).stamped()
        check_adapter(model, checkpoint.family)
        path = find_encoder(annotator_folders(self.catalogue.folder), model.file_kind.encoder)
        adapter: IpAdapter = lease.get(
            self._key(model),
            lambda: load_ip_adapter(model, self._device),
            lambda made: module_bytes(made.network),
            expected_bytes=lambda: expected_bytes(model, self._device.dtype),
        )
        adapter.check_fits(checkpoint.unet)
        file = path.stat()
        encoder: ImageEncoder = lease.get(
            ("encoders", str(path), file.st_size, file.st_mtime_ns),
            lambda: load_encoder(path, self._device),
            lambda made: module_bytes(made.network),
            expected_bytes=lambda: file_bytes(path, self._device.dtype),
        )
        return adapter, encoder

    def upscaler(self, lease: Lease, name: str) -> Upscaler:
        """Load an upscaler by name. Raises `WeightsMissing`, `NotSupported`, `Unavailable` (no spandrel),
        `OutOfMemory`."""
        model = self.catalogue.find("upscalers", name).stamped()
        found: Upscaler = lease.get(
            self._key(model),
            lambda: load_upscaler(model, self._device),
            lambda made: module_bytes(made.module),
            expected_bytes=lambda: expected_bytes(model, self._device.dtype),
        )
        return found

    def face_restorer(self, lease: Lease, name: str) -> FaceRestorer:
        """Load a face restorer by name. Raises `WeightsMissing`, `NotSupported`, `Unavailable` (no spandrel),
        `OutOfMemory`."""
        model = self.catalogue.find("restorers", name).stamped()
        found: FaceRestorer = lease.get(
            self._key(model),
            lambda: load_face_restorer(model, self._device),
            lambda made: module_bytes(made.network),
            expected_bytes=lambda: expected_bytes(model, self._device.dtype),
        )
        return found

    def textual_inversions(self, checkpoint: Checkpoint) -> TextualInversions:
        """Collect the textual inversions that prompts may name; a file is read when a prompt does.

        None for SDXL's refiner: it has one text encoder, which A1111's do not fit either.
        """
        if checkpoint.text_encoder is None:
            return NONE
        models = {model.name: model for model in self.catalogue.models("embeddings")}
        tokenizer = checkpoint.tokenizer
        widths = [network.config.hidden_size for network in checkpoint.text_encoders]
        names = dict(zip(models, _tokens_of(tokenizer, tuple(models)), strict=True))

        def load(name: str) -> Any:
            path = models[name].path
            try:
                return read_vectors(load_tensors(path), *widths) if path else "it is not here"
            except DarkroomError as error:
                return error.message.rstrip(".")

        return TextualInversions(names, load, checkpoint.text_encoder.config.vocab_size)

    def use_loras(self, lease: Lease, checkpoint: Checkpoint, loras: Sequence[Lora]) -> tuple[str, ...]:
        """Merge these LoRAs, and no others, into the checkpoint; -> warnings about those that could not be used."""
        warnings: list[str] = []
        merged: list[tuple[Network, float, float]] = []
        for lora in loras:
            try:
                network = self._network(lease, *self._find_lora(lora.name, checkpoint))
            except _LeftOut as reason:
                warnings.append(f"LoRA '{lora.name[:_MAX_SHOWN]}' was left out: {reason}.")
            else:
                merged.append((network, lora.text_encoder_weight, lora.unet_weight))
        first, second = checkpoint.text_encoder, checkpoint.text_encoder_2
        warnings += self._merger.merge(checkpoint.unet, first, merged, second)
        if not self._device.is_gpu:
            self._count_originals(lease, checkpoint)
        return tuple(warnings)

    def _count_originals(self, lease: Lease, checkpoint: Checkpoint) -> None:
        """Count the weights that merging has saved to the checkpoint: they lie in the memory that the budget is of."""
        unet, saved = checkpoint.unet, self._merger.bytes_of(checkpoint.unet)
        if saved == self._counted.get(unet, 0):
            return
        key, size = _key_of(checkpoint.model), module_bytes(*networks_of(checkpoint))
        try:
            with suppress(OutOfMemory):
                return lease.resize(key, size + saved)
            self._merger.forget_kept(unet)
            lease.resize(key, size + self._merger.bytes_of(unet))
        except OutOfMemory:
            self._merger.take_out(unet)
            lease.resize(key, size)
            raise
        finally:
            self._counted[unet] = self._merger.bytes_of(unet)

    def embeddings(self, checkpoint: Checkpoint) -> dict[int, Cache]:
        """Embeddings that the checkpoint's text encoders have made with the LoRAs that are merged now, by clip skip."""
        state = self._merger.merged(checkpoint.unet)
        known, caches = self._embeddings.get(checkpoint.unet, (None, {}))
        if known is None or known != state:
            self._embeddings[checkpoint.unet] = (state, caches := {})
        return caches

    def _key(self, model: Model) -> Key:
        """Return the key of a stamped model, and forget what was loaded of files that it has replaced."""
        key = _key_of(model)
        self._forget(model, but=key)
        return key

    def _forget(self, model: Model, but: Key) -> None:
        """Unload a model, whatever its stamp, unless a batch is using it or its key is `but`."""
        for key in self.cache.keys():
            if key[:2] == (model.kind, model.name) and not (but and key[: len(but)] == but):
                self.cache.drop(key)

    def _find_lora(self, name: str, checkpoint: Checkpoint) -> tuple[Model, Path]:
        """Find a LoRA that fits the checkpoint. -> it and its weights. Raises `_LeftOut`."""
        model = self.catalogue.look_up("loras", name)
        if model is None or model.weights is None:
            raise _LeftOut("it is not here")
        try:
            check_file(model)
        except DarkroomError as error:
            raise _LeftOut(error.message.rstrip(".")) from error
        if model.file_kind.family not in ("", checkpoint.family):
            raise _LeftOut(f"it is for {FAMILY_NAMES[model.file_kind.family]}, the checkpoint is not")
        return model.stamped(), model.weights

    def _network(self, lease: Lease, model: Model, path: Path) -> Network:
        """Load a LoRA. Raises `_LeftOut`."""
        try:
            check_forms(read_header(path).shapes)
            network: Network = lease.get(
                self._key(model),
                lambda: replace(read_network(model.name, load_tensors(path)), version=_key_of(model)),
                lambda _: path.stat().st_size,
            )
        except (NotSupported, WeightsMissing) as error:
            raise _LeftOut(error.message.rstrip(".")) from error
        except OSError as error:
            raise _LeftOut("it is gone") from error
        return network


@lru_cache(maxsize=4)
def _tokens_of(tokenizer: Any, names: tuple[str, ...]) -> list[list[int]]:
    ids: list[list[int]] = tokenizer(list(names), add_special_tokens=False, verbose=False).input_ids if names else []
    return ids


def _key_of(model: Model) -> Key:
    return (model.kind, model.name, model.size, model.mtime_ns)
