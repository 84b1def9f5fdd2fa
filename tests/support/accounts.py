"""Users with keys, for tests of a server that asks for them."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

import httpx
from fastapi import FastAPI
from pydantic import SecretStr

from configs.settings import Auth, Settings
from serve_app.services.container import Services

BASE = "http://localhost"
ADMIN_KEY = "an administrator's key"


@dataclass(frozen=True)
class Account:
    """A user, and an HTTP client that sends the user's key."""

    id: str
    key: str
    client: httpx.AsyncClient


def with_keys(settings: Settings) -> Settings:
    return settings.model_copy(update={"auth": Auth(mode="api_key", admin_key=SecretStr(ADMIN_KEY))})


def bearer(key: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {key}"}


@asynccontextmanager
async def a_client(app: FastAPI, key: str | None = None) -> AsyncIterator[httpx.AsyncClient]:
    transport = httpx.ASGITransport(app, raise_app_exceptions=False)
    headers = bearer(key) if key else {}
    async with httpx.AsyncClient(transport=transport, base_url=BASE, timeout=60, headers=headers) as client:
        yield client


@asynccontextmanager
async def an_account(services: Services, app: FastAPI, name: str) -> AsyncIterator[Account]:
    user, key = await services.users.create(name, f"{name}@example.org")
    async with a_client(app, key) as client:
        yield Account(user.id, key, client)
