"""Files that were made of a file content and are kept: thumbnails.

Making one and collecting its content are safe against one another: `announce` in a transaction of its own, put the file
into storage, `confirm`, and delete the file again where that says no. The collector loads the names (`load_names`)
after it has locked the content, from when on none can be announced.
"""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import select, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession

from serve_app.store.arrays import any_text
from serve_app.store.models import DerivedFileRow


async def find_size(session: AsyncSession, sha256: str, name: str) -> int | None:
    """Find the size in bytes of a file that was made; None where it was not, or not to its end."""
    made = DerivedFileRow.sha256 == sha256, DerivedFileRow.name == name
    size: int | None = await session.scalar(select(DerivedFileRow.size_bytes).where(*made))
    return size


async def announce(session: AsyncSession, sha256: str, name: str) -> None:
    """Add a file before it is stored. The end of the transaction raises `NotFound` when its content is gone."""
    await session.execute(insert(DerivedFileRow).values(sha256=sha256, name=name).on_conflict_do_nothing())


async def confirm(session: AsyncSession, sha256: str, name: str, size_bytes: int) -> bool:
    """Record that the file is stored; False when its content was deleted meanwhile."""
    made = DerivedFileRow.sha256 == sha256, DerivedFileRow.name == name
    recorded = update(DerivedFileRow).where(*made).values(size_bytes=size_bytes).returning(DerivedFileRow.name)
    return (await session.execute(recorded)).one_or_none() is not None


async def load_names(session: AsyncSession, shas: Sequence[str]) -> list[tuple[str, str]]:
    """Load what was made, or begun, of file contents. -> [(sha256, name)]"""
    rows = await session.execute(
        select(DerivedFileRow.sha256, DerivedFileRow.name).where(DerivedFileRow.sha256 == any_text(shas))
    )
    return [(sha256, name) for sha256, name in rows]
