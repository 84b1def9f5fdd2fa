"""Model catalogue by which an order was checked: its job plans by the same, and need not ask the engine again."""

from __future__ import annotations

import hashlib
from dataclasses import replace

from deployments.contracts.diffusion import Diffuser, ModelCatalogue


def digest_of(catalogue: ModelCatalogue) -> str:
    """Digest of what a catalogue lists; the device's memory, which changes all the time, is no part of it."""
    return hashlib.sha256(repr(replace(catalogue, memory={})).encode()).hexdigest()


class LastCatalogue:
    """The catalogue that this process got last."""

    def __init__(self, diffuser: Diffuser) -> None:
        self._diffuser = diffuser
        self._digest = ""
        self._catalogue = ModelCatalogue()

    async def load(self, digest: str) -> ModelCatalogue:
        """The catalogue of this digest where it is at hand, else what the engine offers now; raises as `list_models`.

        An empty digest is that of none.
        """
        if not digest or digest != self._digest:
            self._catalogue = await self._diffuser.list_models()
            self._digest = digest_of(self._catalogue)
        return self._catalogue
