"""Settings of the function, from environment variables; the README lists them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from ipaddress import ip_address
from urllib.parse import urlsplit


@dataclass(frozen=True)
class Settings:
    """Values of the environment variables."""

    project: str
    bucket: str
    location: str
    model: str
    urls: str
    """Kind of the answer's URL: public or signed."""
    url_ttl_s: int
    public_base_url: str | None
    max_bytes: int
    max_pixels: int
    max_faces: int
    deadline_s: float
    vision_endpoint: str | None
    """Address of Cloud Vision, `host:port`; a loopback address is spoken to in the clear."""
    vertex_base_url: str | None


def read_settings(environment: Mapping[str, str]) -> Settings:
    """Read the settings. Raises `ValueError` with a sentence that names the variable."""
    urls = environment.get("AVATAR_URLS") or "public"
    if urls not in ("public", "signed"):
        raise ValueError("AVATAR_URLS is neither public nor signed.")
    public_base_url = environment.get("AVATAR_PUBLIC_BASE_URL") or None
    return Settings(
        project=_required(environment, "GOOGLE_CLOUD_PROJECT", "the project that pays for Vertex AI"),
        bucket=_required(environment, "AVATAR_BUCKET", "the Cloud Storage bucket that pictures go to"),
        location=environment.get("GOOGLE_CLOUD_LOCATION") or "us-central1",
        model=environment.get("AVATAR_MODEL") or "gemini-2.5-flash-image",
        urls=urls,
        url_ttl_s=_whole(environment, "AVATAR_URL_TTL_S", 3600, most=604_800),
        public_base_url=public_base_url.rstrip("/") if public_base_url else None,
        max_bytes=_whole(environment, "AVATAR_MAX_BYTES", 20 * 2**20),
        max_pixels=_whole(environment, "AVATAR_MAX_PIXELS", 50_000_000),
        max_faces=_whole(environment, "AVATAR_MAX_FACES", 20),
        deadline_s=_number(environment, "AVATAR_DEADLINE_S", 60, most=3600),
        vision_endpoint=environment.get("VISION_ENDPOINT") or None,
        vertex_base_url=environment.get("VERTEX_BASE_URL") or None,
    )


def is_loopback(address: str) -> bool:
    """Say whether a URL or a `host:port` stays on this machine."""
    host = urlsplit(address if "//" in address else f"//{address}").hostname or ""
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _required(environment: Mapping[str, str], name: str, what: str) -> str:
    value = environment.get(name)
    if not value:
        raise ValueError(f"{name} is not set: {what}.")
    return value


def _whole(environment: Mapping[str, str], name: str, default: int, most: int = 2**31) -> int:
    value = _number(environment, name, default, most)
    if value < 1 or value != int(value):
        raise ValueError(f"{name} is not a whole number.")
    return int(value)


def _number(environment: Mapping[str, str], name: str, default: float, most: float) -> float:
    text = environment.get(name)
    try:
        value = float(text) if text else default
    except ValueError:
        value = 0.0
    if not 0 < value <= most:
        raise ValueError(f"{name} is not a number above 0 and up to {most}.")
    return value
