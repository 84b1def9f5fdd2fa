"""Settings: every number and address that an operator may change, in one tree.

Values come from (first wins) constructor arguments, environment variables `DARKROOM_<NAME>` with `__` between levels
(`DARKROOM_LIMITS__MAX_PIXELS=...`), and the defaults here. Each process reads its own; nothing secret travels in a
Serve configuration, which the dashboard shows.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Literal
from urllib.parse import urlsplit

from pydantic import Field, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from configs.settings.access import Auth
from configs.settings.base import xdg
from configs.settings.immich import Immich
from configs.settings.making import Avatars, Diffusion, SegmentationOptions, Styles
from configs.settings.providers import Providers
from configs.settings.requests import Fetch, FrontDoorOptions, Limits
from configs.settings.stores import DatabaseOptions, Events, Quotas, Retention, StorageOptions
from configs.settings.understanding import GROUP_SHARES, PERSON_CUTS, Duplicates, Embedding, FaceOptions, Tags, Texts
from configs.settings.work import Deadlines, Jobs, Runtime

__all__ = [
    "FACES_VERSION",
    "GROUP_SHARES",
    "PERSON_CUTS",
    "TEXTS_VERSION",
    "VIEWS_VERSION",
    "Auth",
    "Avatars",
    "DatabaseOptions",
    "Deadlines",
    "Diffusion",
    "Duplicates",
    "Embedding",
    "Events",
    "FaceOptions",
    "Fetch",
    "FrontDoorOptions",
    "Immich",
    "Jobs",
    "Limits",
    "Providers",
    "Quotas",
    "Retention",
    "Runtime",
    "SegmentationOptions",
    "Settings",
    "StorageOptions",
    "Styles",
    "Tags",
    "Texts",
]

_ORIGIN = re.compile(r"https?://(?:[a-z0-9.-]+|\[[0-9a-f:.]+\])(?::[0-9]{1,5})?", re.IGNORECASE)


class Settings(BaseSettings):
    """All settings of a process."""

    model_config = SettingsConfigDict(
        env_prefix="DARKROOM_",
        env_nested_delimiter="__",
        extra="ignore",
        frozen=True,
        hide_input_in_errors=True,  # logs and the dashboard would show a key that is too short or misnamed
    )

    http_host: str = "127.0.0.1"
    http_port: int = Field(8000, ge=1, le=65535)
    dashboard_port: int = Field(8265, ge=1, le=65535)
    metrics_port: int | None = Field(None, ge=1, le=65535)
    """Port of Ray's page of metrics, on the loopback interface, of `make run`; default: any that is free."""
    public_url: str | None = None
    """Base URL of the URLs in answers; default: the base of the request. Without keys its host is served beside
    `localhost`, `127.0.0.1` and `[::1]`, and no other."""
    cors_origins: tuple[str, ...] = ()
    """Origins of web pages elsewhere that may call and read answers (CORS), `https://app.example`; default: none.
    Pages of this server's own host need none."""
    data_dir: Path = Field(default_factory=lambda: xdg("XDG_DATA_HOME", ".local/share"))
    """Folder of the database, stored images and logs."""
    weights_dir: Path = Field(default_factory=lambda: xdg("XDG_CACHE_HOME", ".cache") / "weights")
    """Folder of the model weights, fetched once by `python -m deployments.weights`."""
    database_url: str | None = None
    """SQLAlchemy URL (`postgresql+asyncpg://...`); default: an embedded PostgreSQL in `data_dir`."""
    storage_url: str | None = None
    """Storage of files: `file:///folder`, `s3://bucket/folder` or `gs://bucket/folder`; default: `data_dir/files`."""
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = "INFO"
    log_format: Literal["console", "json"] = "console"
    tracing: Literal["off", "otlp"] = "off"
    """OpenTelemetry traces of requests, jobs, capability calls and queries. `otlp` sends them by OTLP over HTTP to
    where the standard variables say (`OTEL_EXPORTER_OTLP_ENDPOINT`); it needs the extra `tracing`."""

    limits: Limits = Limits()
    front_door: FrontDoorOptions = FrontDoorOptions()
    database: DatabaseOptions = DatabaseOptions()
    fetch: Fetch = Fetch()
    storage: StorageOptions = StorageOptions()
    jobs: Jobs = Jobs()
    runtime: Runtime = Runtime()
    deadlines: Deadlines = Deadlines()
    embedding: Embedding = Embedding()
    tags: Tags = Tags()
    faces: FaceOptions = FaceOptions()
    duplicates: Duplicates = Duplicates()
    texts: Texts = Texts()
    diffusion: Diffusion = Diffusion()
    styles: Styles = Styles()
    segmentation: SegmentationOptions = SegmentationOptions()
    avatars: Avatars = Avatars()
    auth: Auth = Auth()
    retention: Retention = Retention()
    quotas: Quotas = Quotas()
    events: Events = Events()
    immich: Immich = Immich()
    providers: Providers = Providers()

    @field_validator("public_url")
    @classmethod
    def _has_host(cls, url: str | None) -> str | None:
        if url and not (url.startswith(("http://", "https://")) and urlsplit(url).hostname):
            raise ValueError("must look like https://photos.example")
        return url or None

    @field_validator("cors_origins")
    @classmethod
    def _are_origins(cls, origins: tuple[str, ...]) -> tuple[str, ...]:
        for origin in origins:
            if not _ORIGIN.fullmatch(origin):
                raise ValueError(f"'{origin}' is no origin: scheme, host and port only, like https://app.example")
        return tuple(origin.lower() for origin in origins)

    @property
    def embedding_model(self) -> str:
        """Name of the model of stored vectors; vectors of another name are computed anew."""
        chosen = self.embedding
        if chosen.engine == "open_clip":
            return f"open_clip/{chosen.open_clip_model}/{chosen.open_clip_pretrained}/views{VIEWS_VERSION}"
        return f"{chosen.engine}/views{VIEWS_VERSION}"

    @property
    def clip_weights(self) -> str | None:
        """Weights of the embedding model as `immich.models` names them; None: it is no CLIP."""
        chosen = self.embedding
        return (
            f"open_clip:{chosen.open_clip_model}/{chosen.open_clip_pretrained}"
            if chosen.engine == "open_clip"
            else None
        )

    @property
    def texts_model(self) -> str:
        """Name of the model that stored texts were read with."""
        chosen = self.texts.recognition_model
        return f"rapidocr/{chosen.name if chosen else 'pp-ocrv6-small'}/{TEXTS_VERSION}"

    @property
    def faces_model(self) -> str:
        """Name of the model that stored faces were found with."""
        return f"{_FACES_MODELS[self.faces.recogniser]}/{FACES_VERSION}"


VIEWS_VERSION = 1
"""Version of the views: raised when `contracts.arrays.VIEWS` or their cutting changes."""


_FACES_MODELS = {"mobilefacenet": "local-mobilefacenet", "dlib": "local", "insightface": "insightface"}
"""Face network -> name of its stored faces. `local` alone is dlib: it was the only one once."""


TEXTS_VERSION = 1
"""Version of the texts: raised when their detection, reading or order changes."""


FACES_VERSION = 1
"""Version of the faces: raised when their detection, alignment or embedding changes."""
