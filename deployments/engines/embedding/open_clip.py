"""open_clip models: image and text vectors in one space, and zero-shot judgement of labels.

open_clip and PyTorch come with the extra `darkroom[diffusion]` and are imported when an engine is made.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property, lru_cache
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from deployments.algorithms.tags.vocabulary import TAG_VIEWS
from deployments.contracts.arrays import Vectors
from deployments.engines.gpu import CapMemory, cap_gpu_memory, choose_device
from deployments.errors import NotSupported, Unavailable, WeightsMissing

PROMPTS = ("a photo of a {}.", "a photo of the {}.", "a picture of {}.", "{}")
"""Prompt templates: a label's vector is the mean over these sentences, as in CLIP's own zero-shot recipe (Radford et
al. 2021)."""
BACKGROUND = ("a photo.", "a picture.", "an image of something.")
"""Background sentences that a label must beat where the model has no bias of its own."""
_MIN_SCORE = 0.01
_TEXT_BATCH = 128
_EXTRA_MISSING = "The open_clip engine needs PyTorch and open_clip: install darkroom[diffusion]."
_PRECISIONS = {"float32": "fp32", "float16": "fp16", "bfloat16": "bf16"}
"""Names of precisions -> open_clip's own."""


class OpenClipEmbedder:
    """Image and text towers of a model. `embed` and `embed_texts` may be called from several threads."""

    def __init__(
        self,
        model: str,
        pretrained: str,
        device: str = "cpu",
        dtype: Literal["auto", "float32", "float16", "bfloat16"] = "auto",
        memory_fraction: float = 1.0,
        cap_memory: CapMemory = cap_gpu_memory,
    ) -> None:
        """Load the model; `pretrained` is one of open_clip's tags or a local checkpoint, empty means random weights,
        for tests. `memory_fraction`: of a GPU's, the most that this process takes from here on.

        Raises `Unavailable` without the extra or the device, `WeightsMissing` when the weights are neither cached nor
        to be had.
        """
        self._device = _open_device(device)
        self.is_on_gpu = self._device.startswith("cuda")
        """Whether many views at once cost little more than a few."""
        cap_memory(memory_fraction, self._device)
        automatic = "float16" if self.is_on_gpu else "float32"
        precision = _PRECISIONS[automatic if dtype == "auto" else dtype]
        self._torch, self._model, self._tokenize = _load(model, pretrained, self._device, precision)
        self._dtype = {"fp16": self._torch.float16, "bf16": self._torch.bfloat16}.get(precision, self._torch.float32)
        visual = self._model.visual
        size = visual.image_size
        self.input_px = int(size[0] if isinstance(size, tuple | list) else size)
        self.dim = int(self.embed(np.zeros((1, self.input_px, self.input_px, 3), np.uint8)).shape[1])

    def embed(self, views: NDArray[np.uint8]) -> Vectors:
        """Embed views `uint8[N, S, S, 3]` RGB, S = `input_px`, as raw image features `float32[N, dim]`."""
        torch, visual = self._torch, self._model.visual
        pixels = torch.tensor(np.ascontiguousarray(views), device=self._device).permute(0, 3, 1, 2).float() / 255
        mean, std = (torch.tensor(values, device=self._device).view(1, 3, 1, 1) for values in _statistics(visual))
        with torch.inference_mode():
            scaled = ((pixels - mean) / std).to(self._dtype)
            return np.asarray(self._model.encode_image(scaled).float().cpu().numpy(), np.float32)

    def embed_texts(self, texts: Sequence[str]) -> Vectors:
        """Embed texts as unit features `float32[N, dim]`."""
        parts = [np.empty((0, self.dim), np.float32)]
        with self._torch.inference_mode():
            for start in range(0, len(texts), _TEXT_BATCH):
                tokens = self._tokenize(list(texts[start : start + _TEXT_BATCH])).to(self._device)
                parts.append(self._model.encode_text(tokens).float().cpu().numpy())
        return _unit(np.concatenate(parts))

    def classify_labels(self, vectors: Vectors, labels: Sequence[str]) -> Vectors:
        """Compute the probability of each label on its own, `float32[N, len(labels)]`, from image features
        `float32[N, dim]`."""
        return self.classify(vectors, self.label_vectors(labels))

    def label_vectors(self, labels: Sequence[str]) -> Vectors:
        """Embed labels as unit vectors `float32[len(labels), dim]`, each the mean over the prompts."""
        sentences = [prompt.format(label) for label in labels for prompt in PROMPTS]
        return _unit(self.embed_texts(sentences).reshape(len(labels), len(PROMPTS), self.dim).mean(axis=1))

    def classify(self, vectors: Vectors, labels: Vectors) -> Vectors:
        """Compute probabilities `float32[N, L]` from image features `float32[N, dim]` and label vectors
        `float32[L, dim]`."""
        images = _unit(vectors)
        scale = float(self._model.logit_scale.detach().exp())
        logits = scale * images @ labels.T
        bias = getattr(self._model, "logit_bias", None)
        if bias is not None:  # SigLIP was trained to judge each pair on its own
            return np.asarray(1 / (1 + np.exp(-(logits + float(bias.detach())))), np.float32)
        background = scale * images @ self.embed_texts(BACKGROUND).T
        top = np.maximum(logits.max(axis=1, keepdims=True), background.max(axis=1, keepdims=True))
        against = np.exp(background - top).sum(axis=1, keepdims=True)
        return np.asarray(np.exp(logits - top) / (np.exp(logits - top) + against), np.float32)


class ZeroShotTagger:
    """Zero-shot tagger: tags, labels and search by the text tower.

    Knows every word, so no label is missing and no query refused.
    """

    def __init__(self, embedder: OpenClipEmbedder, vocabulary: Sequence[str]) -> None:
        self._embedder = embedder
        self._vocabulary = tuple(vocabulary)
        self.is_on_gpu = embedder.is_on_gpu
        """Whether many texts at once cost little more than a few."""

    def tag(self, vectors: Vectors) -> list[dict[str, float]]:
        """Compute the probabilities of the vocabulary's tags per image from view vectors `float32[N, V, dim]`."""
        scores = self._embedder.classify(_picture_vectors(vectors), self._vocabulary_vectors)
        return [
            {tag: float(score) for tag, score in zip(self._vocabulary, row, strict=True) if score >= _MIN_SCORE}
            for row in scores
        ]

    @cached_property
    def _vocabulary_vectors(self) -> Vectors:
        """Label vectors of the vocabulary: thousands of sentences, so computed once."""
        return self._embedder.label_vectors(self._vocabulary)

    def judge(self, vectors: Vectors, labels: Sequence[str]) -> list[dict[str, float]]:
        """Compute the probabilities of the client's labels per image."""
        known = [label for label in labels if label.strip()]
        if not known:
            return [{} for _ in vectors]
        scores = self._embedder.classify_labels(_picture_vectors(vectors), known)
        return [{label: float(score) for label, score in zip(known, row, strict=True)} for row in scores]

    def search(self, query: str, vectors: Vectors) -> Vectors:
        """Compute the relevance of each image to `query`, `float32[N]`. Raises `NotSupported` for an empty one."""
        if not query.strip():
            raise NotSupported("An empty query matches nothing.")
        return self._embedder.classify_labels(_picture_vectors(vectors), [query])[:, 0]

    def embed_texts(self, texts: Sequence[str]) -> Vectors:
        """Embed texts as they are, without a prompt, as unit vectors `float32[N, dim]`."""
        return self._embedder.embed_texts(texts)


def _picture_vectors(views: Vectors) -> Vectors:
    """Average the upright views' directions, `float32[N, V, D]` in the order of `VIEWS` -> `float32[N, D]`."""
    return np.asarray(_unit(views[:, TAG_VIEWS]).mean(axis=1), np.float32)


def _unit(vectors: Vectors) -> Vectors:
    return np.asarray(vectors / np.maximum(np.linalg.norm(vectors, axis=-1, keepdims=True), 1e-12), np.float32)


def _statistics(visual: Any) -> tuple[Sequence[float], Sequence[float]]:
    """Read the channel means and deviations of the model's training, in 0 to 1. A model without its own uses
    OpenAI's."""
    from open_clip.constants import OPENAI_DATASET_MEAN, OPENAI_DATASET_STD

    mean, std = getattr(visual, "image_mean", None), getattr(visual, "image_std", None)
    return mean or OPENAI_DATASET_MEAN, std or OPENAI_DATASET_STD


def _open_device(name: str) -> str:
    try:
        return choose_device(name, "DARKROOM_EMBEDDING__DEVICE")
    except ImportError as error:
        raise Unavailable(_EXTRA_MISSING) from error


@lru_cache(maxsize=2)
def _load(model: str, pretrained: str, device: str, precision: str) -> tuple[Any, Any, Any]:
    """Load torch, the model and its tokenizer, once a process: embedder and tagger share them."""
    try:
        import open_clip
        import torch
    except ImportError as error:
        raise Unavailable(_EXTRA_MISSING) from error
    try:
        network = open_clip.create_model(model, pretrained=pretrained or None, device=device, precision=precision)
        tokenize = open_clip.get_tokenizer(model)
    except (OSError, RuntimeError, ValueError) as error:
        raise WeightsMissing(
            f"The open_clip model {model} with weights {pretrained!r} is neither in the cache nor to be fetched: set "
            "DARKROOM_EMBEDDING__OPEN_CLIP_PRETRAINED to a tag of open_clip's or to a local checkpoint.",
            extra={"setting": "DARKROOM_EMBEDDING__OPEN_CLIP_PRETRAINED"},
        ) from error
    return torch, network.eval(), tokenize
