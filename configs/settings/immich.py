"""Settings of the interface that Immich speaks."""

from __future__ import annotations

from collections.abc import Mapping
from ipaddress import IPv4Network, IPv6Network

from pydantic import Field, IPvAnyNetwork, field_validator

from configs.immich import CLIP_MODELS, clean_name, names_weights
from configs.settings.base import Options


class Immich(Options):
    """Immich's machine learning: `GET /ping` and `POST /predict`, which its server calls (docs/immich.md)."""

    enabled: bool = False
    """Whether the two are there at all."""
    allow_from: tuple[IPvAnyNetwork, ...] = (IPv4Network("127.0.0.0/8"), IPv6Network("::1/128"))
    """Networks of those who may call them. Immich's server cannot send a key, so its address is all that is asked
    for."""
    models: Mapping[str, str] = CLIP_MODELS
    """Immich's name of a CLIP model -> `open_clip:MODEL/WEIGHTS`, the weights that its vectors come from. Of these the
    server answers to the names whose weights are those of `embedding`, and refuses all others."""
    faces_as: tuple[str, ...] = ()
    """Further names that the local face network answers to, beside its own: `["buffalo_l"]`, where Immich is to use it
    and has no faces of another network's, or will find all of them anew. Without meaning for `insightface`."""
    texts_as: tuple[str, ...] = ("PP-OCRv5_mobile", "PP-OCRv5_server", "EN__PP-OCRv5_mobile", "LATIN__PP-OCRv5_mobile")
    """Names of OCR models that the reader of texts answers to, beside its own: it is no such model, but what it reads
    is text, and compared with nothing. Of other scripts than Latin, Han, kana only with `texts.recognition_model`."""

    max_pixels_in_flight: int = Field(256_000_000, gt=0)
    """Pixels of all pictures that are worked on at once in one process, 3 bytes each and some 8 while they are decoded;
    more wait. One that is larger is worked on alone."""
    wait_s: float = Field(30.0, ge=0)
    """Seconds that a picture waits for room among those; then 503."""

    @field_validator("models")
    @classmethod
    def _are_models(cls, models: Mapping[str, str]) -> Mapping[str, str]:
        for name, weights in models.items():
            if not names_weights(weights):
                raise ValueError(f"'{weights}' of '{name}' is no weights like open_clip:ViT-B-32-quickgelu/openai")
        return {clean_name(name): weights for name, weights in models.items()}

    @field_validator("faces_as", "texts_as")
    @classmethod
    def _are_clean(cls, names: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(map(clean_name, names))
