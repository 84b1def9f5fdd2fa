"""Verdicts whether two file contents are copies of one another, one for each pair and version of the check."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

from deployments.contracts.albums import PairVerdict

ShaPair = tuple[str, str]
"""SHA-256 of two different file contents, in either order."""

_SAVE = text("""
    INSERT INTO pair_verdicts (sha_a, sha_b, version, is_copy, score, overlap, overlay)
    SELECT a, b, :version, is_copy, score, overlap, overlay
    FROM unnest(
        CAST(:a AS text[]), CAST(:b AS text[]), CAST(:is_copy AS boolean[]), CAST(:scores AS double precision[]),
        CAST(:overlaps AS double precision[]), CAST(:overlays AS text[])
    ) AS new (a, b, is_copy, score, overlap, overlay)
    WHERE EXISTS (SELECT FROM contents WHERE sha256 = a) AND EXISTS (SELECT FROM contents WHERE sha256 = b)
    ORDER BY a, b
    ON CONFLICT (sha_a, sha_b, version) DO UPDATE
    SET is_copy = excluded.is_copy, score = excluded.score, overlap = excluded.overlap, overlay = excluded.overlay
""")
_LOAD = text("""
    SELECT sha_a, sha_b, is_copy, score, overlap, overlay
    FROM unnest(CAST(:a AS text[]), CAST(:b AS text[])) AS wanted (a, b)
    JOIN pair_verdicts ON sha_a = a AND sha_b = b AND version = :version
""")


async def save(session: AsyncSession, version: str, verdicts: Mapping[ShaPair, PairVerdict]) -> None:
    """Save verdicts of pairs; those of which a file content no longer exists are left out."""
    ordered = {_ordered(pair): _turned(pair, verdict) for pair, verdict in verdicts.items()}
    parameters = {
        "version": version,
        "a": [a for a, _ in ordered],
        "b": [b for _, b in ordered],
        "is_copy": [verdict.is_copy for verdict in ordered.values()],
        "scores": [float(verdict.score) for verdict in ordered.values()],
        "overlaps": [float(verdict.overlap) for verdict in ordered.values()],
        "overlays": [verdict.overlay for verdict in ordered.values()],
    }
    await session.execute(_SAVE, parameters)


async def load(session: AsyncSession, version: str, pairs: Sequence[ShaPair]) -> dict[ShaPair, PairVerdict]:
    """Load the known verdicts, under the pairs as they were given."""
    ordered = {_ordered(pair) for pair in pairs}
    parameters = {"version": version, "a": [a for a, _ in ordered], "b": [b for _, b in ordered]}
    rows = await session.execute(_LOAD, parameters)
    known = {(row.sha_a, row.sha_b): PairVerdict(row.is_copy, row.score, row.overlap, row.overlay) for row in rows}
    return {pair: _turned(pair, known[_ordered(pair)]) for pair in pairs if _ordered(pair) in known}


def _turned(pair: ShaPair, verdict: PairVerdict) -> PairVerdict:
    """Turn the sides of a verdict, where those of the pair are not in their order."""
    return verdict if pair == _ordered(pair) else verdict.turned()


def _ordered(pair: ShaPair) -> ShaPair:
    a, b = pair
    if a == b:
        raise ValueError("A content is no pair with itself")
    return (a, b) if a < b else (b, a)
