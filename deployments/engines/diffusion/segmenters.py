"""Segmentation networks, from folders as Hugging Face's hub has them: OneFormer and UperNet of transformers.

The extension's own files are detectron2's and mmsegmentation's, which are no packages here.
"""

from __future__ import annotations

import inspect
import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from deployments.contracts.arrays import Image
from deployments.engines.diffusion.allocations import allocating_at_most
from deployments.engines.diffusion.descriptions import make_tokenizer
from deployments.engines.diffusion.headers import load_tensors
from deployments.engines.diffusion.loading import silence
from deployments.errors import NotSupported, WeightsMissing

_CLASSES = {"oneformer": "OneFormerForUniversalSegmentation", "upernet": "UperNetForSemanticSegmentation"}
"""Types of networks -> their classes in transformers."""
_BACKBONES = frozenset({"swin", "convnext"})
_WEIGHTS = ("model.safetensors", "pytorch_model.bin")
_MEAN, _DEVIATION = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
_SHORT_PX, _LEAST_PX, _MOST_PX, _LONGEST_PX, _GRID_PX = 512, 64, 1024, 2560, 32
"""Short side at which a network looks that does not say it, what it may say, the longest side, and what both sides are
multiples of."""
_TASK = "the task is semantic"
_TASK_WORDS = 77
_MOST_CONFIG_BYTES, _LARGEST_NUMBER, _LARGEST_WINDOW = 2**20, 2**17, 32
_COUNTS = ("layers", "depth", "stages", "convs", "num_res", "pool")
"""Parts of the names of numbers that say how many of something there are, each of which has tensors."""
_BESIDE_OWN = frozenset({"id2label", "num_labels", "model_type", "out_features", "out_indices"})
"""Names that all configurations share and that say what a network is, not how it is run."""
_TRIED_PX = 64
_GROWTH, _BUFFER_BYTES = 4, 2**28
"""Memory of a network that is built, by its file; see `upscalers`."""
_ENLARGED_BYTES = 2**26
"""Most that scores of classes take at the size in which a network looks: all 150 at once took 1.6 GB."""


def folders(*names: str) -> tuple[str, ...]:
    """Weights of folders, in the formats that there are."""
    return tuple(f"{name}/{file}" for name in names for file in _WEIGHTS)


class Segmenter:
    """Draws each class in a colour of its own."""

    def __init__(self, network: Any, palette: NDArray[np.uint8], looks: Mapping[str, Any]) -> None:
        """Take a network; `looks`: its `preprocessor_config.json`."""
        self.network = network
        self._palette = palette
        self._mean = np.array(looks.get("image_mean", _MEAN), np.float32)
        self._deviation = np.array(looks.get("image_std", _DEVIATION), np.float32)
        if self._mean.shape != (3,) or self._deviation.shape != (3,) or not (self._deviation > 0).all():
            raise ValueError("no three colours")
        size = looks.get("size", _SHORT_PX)
        if isinstance(size, dict):
            size = size.get("shortest_edge") or size.get("height") or _SHORT_PX
        self._short_px = min(_MOST_PX, max(_LEAST_PX, int(size)))

    def to(self, device: str) -> Segmenter:
        """Move to a device."""
        self.network.to(device)
        return self

    def __call__(self, image: Image, **_: object) -> Image:
        """Draw the classes of `image`, in its size; the network sees it at a size that it was trained at."""
        import torch

        height, width = image.shape[:2]
        scale = min(self._short_px / min(height, width), _LONGEST_PX / max(height, width))
        size = [max(_GRID_PX, round(side * scale / _GRID_PX) * _GRID_PX) for side in (width, height)]
        seen = cv2.resize(image, size, interpolation=cv2.INTER_LINEAR).astype(np.float32) / 255
        seen = (seen - self._mean) / self._deviation
        given = torch.from_numpy(np.ascontiguousarray(seen.transpose(2, 0, 1)))[None].to(self.network.device)
        with torch.no_grad():
            labels = _label(self.score(given), (size[1], size[0]))
        labels = cv2.resize(labels, (width, height), interpolation=cv2.INTER_NEAREST)
        return np.ascontiguousarray(self._palette[labels])

    def score(self, given: Any) -> Any:
        """Score the classes at each place of `[1, 3, H, W]`, `[1, classes, h, w]`, four times smaller."""
        import torch

        if self.network.config.model_type != "oneformer":
            # The whole network enlarges its scores, and those of a head that only training needs.
            return self.network.decode_head(self.network.backbone(given).feature_maps)
        task = torch.zeros(1, _TASK_WORDS, device=given.device)
        words = make_tokenizer("sd1")(_TASK).input_ids
        task[0, : len(words)] = torch.tensor(words, dtype=task.dtype)
        made = self.network(pixel_values=given, task_inputs=task)
        kinds = made.class_queries_logits.softmax(dim=-1)[..., :-1]  # the last one is nothing
        return torch.einsum("bqc,bqhw->bchw", kinds, made.masks_queries_logits.sigmoid_())


def _label(scores: Any, size: tuple[int, int]) -> NDArray[np.uint8]:
    """Find the class with the highest of the scores `[1, classes, h, w]` at each place of `size` (height, width), some
    classes at a time."""
    import torch

    best = torch.full(size, -torch.inf, device=scores.device)
    labels = torch.zeros(size, dtype=torch.uint8, device=scores.device)
    at_once = max(1, _ENLARGED_BYTES // best.nbytes)
    for first in range(0, scores.shape[1], at_once):
        some = scores[:, first : first + at_once]
        enlarged = torch.nn.functional.interpolate(some, size, mode="bilinear", align_corners=False)
        highest, which = enlarged[0].max(dim=0)
        is_better = highest > best
        best = torch.where(is_better, highest, best)
        labels = torch.where(is_better, (which + first).to(torch.uint8), labels)
    return np.asarray(labels.cpu().numpy(), np.uint8)


def open_segmenter(files: Sequence[Path], *, kind: str, palette: Callable[[], NDArray[np.uint8]]) -> Segmenter:
    """Open a network of a kind, the configuration beside its weights. Raises what a folder that is another leads to."""
    import torch
    import transformers

    [path] = files
    colours, name = palette(), f"{path.parent.name}/{path.name}"
    tensors = load_tensors(path)
    told = _read_json(path.with_name("config.json"))
    _check_config(told, kind, len(tensors), name)
    config = transformers.AutoConfig.for_model(**_only_own(told))
    if config.num_labels != len(colours):
        raise NotSupported(f"'{name}' knows {config.num_labels} classes, not {len(colours)}.")
    config.is_training = config.use_auxiliary_loss = False  # either keeps what only training needs
    looks = path.with_name("preprocessor_config.json")
    most = _GROWTH * sum(tensor.nbytes for tensor in tensors.values()) + _BUFFER_BYTES
    cls = getattr(transformers, _CLASSES[kind])
    silence()
    try:
        with allocating_at_most(most):
            network, report = cls.from_pretrained(
                None, config=config, state_dict=tensors, output_loading_info=True, dtype=torch.float32
            )
    except MemoryError as error:
        raise NotSupported(f"The network of '{name}' would be larger than its file.") from error
    if missing := [one for one in report["missing_keys"] if not one.startswith("criterion.")]:
        raise WeightsMissing(
            f"The preprocessor's weights '{name}' are not complete: {len(missing)} tensors are missing, the first is "
            f"{min(missing)}.",
            extra={"file": name},
        )
    made = Segmenter(network.eval(), colours, _read_json(looks) if looks.is_file() else {})
    with torch.no_grad():  # raises for what fits its weights, and cannot be run
        if made.score(torch.zeros(1, 3, _TRIED_PX, _TRIED_PX)).shape[:2] != (1, len(colours)):
            raise ValueError("other scores")
    return made


def _only_own(told: Mapping[str, Any]) -> dict[str, Any]:
    """Keep what says how a network and its backbone are built. The rest says how they are run, which is ours to say: it
    may name code of others, as kernels and quantizers are, or answers of another form."""
    import transformers

    own = type(transformers.AutoConfig.for_model(told["model_type"]))
    names = {*inspect.signature(own).parameters} - {*inspect.signature(transformers.PreTrainedConfig).parameters}
    names |= {*own.attribute_map, *_BESIDE_OWN}
    kept = {key: value for key, value in told.items() if key in names}
    if isinstance(backbone := kept.get("backbone_config"), dict):
        kept["backbone_config"] = _only_own(backbone)
    return kept


def _read_json(path: Path) -> dict[str, Any]:
    """Read an object. Raises `WeightsMissing`."""
    name = f"{path.parent.name}/{path.name}"
    try:
        if path.stat().st_size > _MOST_CONFIG_BYTES:
            raise WeightsMissing(f"The file '{name}' is no configuration: it is too large.")
        made = json.loads(path.read_bytes())
    except OSError as error:
        raise WeightsMissing(f"The file '{name}' is missing, which belongs to the weights beside it.") from error
    except (ValueError, RecursionError) as error:
        raise WeightsMissing(f"The file '{name}' is damaged ({type(error).__name__}).") from error
    if not isinstance(made, dict):
        raise WeightsMissing(f"The file '{name}' is no configuration.")
    return made


def _check_config(told: Mapping[str, Any], kind: str, tensors: int, name: str) -> None:
    """Check what a network is built by: what it is, that it fetches nothing, and its numbers. Raises `NotSupported`."""
    backbone = told.get("backbone_config")
    if told.get("model_type") != kind or not isinstance(backbone, dict) or backbone.get("model_type") not in _BACKBONES:
        raise NotSupported(f"'{name}' is no {_CLASSES[kind]} with a backbone that is known here (Swin, ConvNeXt).")
    if told.get("use_timm_backbone") or told.get("use_pretrained_backbone") or told.get("backbone"):
        raise NotSupported(f"The backbone of '{name}' lies elsewhere.")
    for key, value in (*told.items(), *backbone.items()):
        numbers = value if isinstance(value, list) else [value]
        most = tensors if any(part in key for part in _COUNTS) else _LARGEST_NUMBER
        most = _LARGEST_WINDOW if "window" in key else most  # places of a window look at one another
        if any(isinstance(number, int | float) and not -most <= number <= most for number in numbers):
            raise NotSupported(f"'{name}' says {key}: {str(value)[:40]}, which its weights have not.")
