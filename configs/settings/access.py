"""Settings of users and keys."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, SecretStr, field_validator, model_validator

from configs.settings.base import Options


class Auth(Options):
    """Authentication."""

    mode: Literal["disabled", "api_key"] = "disabled"
    """Mode. disabled: every request acts for one built-in user; keep the server on the loopback interface. api_key:
    each request brings a user's key, `Authorization: Bearer ...`."""
    admin_key: SecretStr | None = Field(None, min_length=16)
    """Key that creates and lists users; needed with `api_key`."""
    wrong_keys: int = Field(10, gt=0)
    """Wrong keys that one address may send to an ingress replica within `wrong_keys_s` seconds; then no key that people
    may have chosen, as the administrator's, is looked at from there, and the answer is 429. Keys that the server made
    cannot be guessed and are not counted."""
    wrong_keys_s: float = Field(60.0, gt=0)
    session_s: float = Field(12 * 3600.0, gt=0, le=30 * 86400.0)
    """Seconds after which a web page has to send the key again."""
    allow_open: bool = False
    """Whether to start without keys on an address that other machines reach: behind a proxy that decides who may call,
    or in a container whose port is published to this machine only."""
    allow_open_ray: bool = False
    """Whether to start on a Ray whose ports ask for no token (`RAY_AUTH_MODE`), so that anybody who reaches one may run
    commands as the server's user. For clusters that a firewall closes."""

    @field_validator("admin_key", mode="before")
    @classmethod
    def _trimmed(cls, key: object) -> object:
        """Strip the line break of secrets that come from files, which no header can hold."""
        return key.strip() if isinstance(key, str) else key

    @model_validator(mode="after")
    def _has_admin(self) -> Auth:
        if self.mode == "api_key" and self.admin_key is None:
            raise ValueError("mode=api_key needs admin_key (DARKROOM_AUTH__ADMIN_KEY), at least 16 characters")
        return self
