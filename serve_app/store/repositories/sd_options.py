"""Options of the Stable Diffusion web API that a user has changed; all others have their defaults."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sqlalchemy import select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession

from serve_app.store.models import WebUiOptionRow


async def load(session: AsyncSession, user_id: str) -> dict[str, Any]:
    """Load the options that the user has changed."""
    rows = await session.execute(
        select(WebUiOptionRow.name, WebUiOptionRow.value).where(WebUiOptionRow.user_id == user_id)
    )
    return {row.name: row.value for row in rows}


async def save(session: AsyncSession, user_id: str, values: Mapping[str, Any]) -> None:
    """Set these options; others stay as they are."""
    rows = [{"user_id": user_id, "name": name, "value": values[name]} for name in sorted(values)]
    if not rows:
        return
    statement = insert(WebUiOptionRow)
    statement = statement.on_conflict_do_update(
        index_elements=[WebUiOptionRow.user_id, WebUiOptionRow.name], set_={"value": statement.excluded.value}
    )
    await session.execute(statement, rows)
