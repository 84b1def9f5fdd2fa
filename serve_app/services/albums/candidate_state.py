"""What is kept of an album's search for candidate pairs: an index of its contents, and the pairs found among them.

It names contents by their hash, and vectors of a content never change under one model. So a state that is older than
the album is not wrong: it knows fewer contents, or some that have gone.
"""

from __future__ import annotations

import hashlib
import io
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from deployments.contracts.albums import Pairs
from deployments.contracts.arrays import Packed, Vectors

Hashes = NDArray[np.bytes_]
"""SHA-256 of contents, `S32[N]`."""
_DIGEST_BYTES = 32
NOBODY = -1
"""Place of a number whose content has left the album."""


@dataclass(frozen=True, slots=True)
class CandidateState:
    """An index and pairs of contents, which are named by their number in the index."""

    hashes: Hashes
    """By number; empty where nobody has the number any more."""
    trained_for: int
    """Number of contents that the index was made for."""
    index: Packed
    left: NDArray[np.int32]
    right: NDArray[np.int32]
    cosine: Vectors
    settled: NDArray[np.bool_]
    """Whether the pair is known to link nothing, so that nobody need look at it again."""

    @classmethod
    def empty(cls) -> CandidateState:
        """The state of an album that was never searched."""
        nobody = np.zeros(0, np.int32)
        return cls(
            hashes=np.zeros(0, "S32"),
            trained_for=0,
            index=np.zeros(0, np.uint8),
            left=nobody,
            right=nobody,
            cosine=np.zeros(0, np.float32),
            settled=np.zeros(0, np.bool_),
        )

    def places(self, hashes: Hashes) -> NDArray[np.int64]:
        """Find the place of each number among hashes, one or more, sorted; `NOBODY` where it is not there."""
        place = np.minimum(np.searchsorted(hashes, self.hashes), len(hashes) - 1)
        return np.where(hashes[place] == self.hashes, place, NOBODY)

    def to_bytes(self, fingerprint: str) -> bytes:
        """Write the state. `fingerprint` names the settings and versions that its pairs depend on."""
        file = io.BytesIO()
        arrays = {name: getattr(self, name) for name in ("hashes", "index", "left", "right", "cosine", "settled")}
        np.savez(file, fingerprint=np.array(fingerprint), trained_for=np.array(self.trained_for), **arrays)
        return hashlib.sha256(file.getbuffer()).digest() + file.getvalue()

    @classmethod
    def from_bytes(cls, data: bytes, fingerprint: str) -> CandidateState | None:
        """Read a state; None where it is damaged or of another fingerprint."""
        digest, written = data[:_DIGEST_BYTES], memoryview(data)[_DIGEST_BYTES:]
        if hashlib.sha256(written).digest() != digest:
            return None
        with np.load(io.BytesIO(written), allow_pickle=False) as file:
            if str(file["fingerprint"]) != fingerprint:
                return None
            arrays = {name: file[name] for name in ("hashes", "index", "left", "right", "cosine", "settled")}
            return cls(trained_for=int(file["trained_for"]), **arrays)


def as_hashes(shas: Sequence[str]) -> Hashes:
    """Make hashes of hexadecimal ones; equal ones stay equal, and sorted ones sorted."""
    return np.frombuffer(bytes.fromhex("".join(shas)), "S32")


@dataclass(frozen=True, slots=True)
class AlbumPairs:
    """Candidate pairs of an album, by the places of their contents, and which of them are settled."""

    pairs: Pairs
    settled: NDArray[np.bool_]

    @property
    def open(self) -> Pairs:
        """Those that somebody has to look at."""
        chosen = ~self.settled
        return Pairs(self.pairs.left[chosen], self.pairs.right[chosen], self.pairs.cosine[chosen])
