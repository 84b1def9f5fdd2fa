"""Migration of a database to the current schema, safe from several processes at once and on every start.

A schema says how old the code may be that still runs on it: each revision has a `compatible_from`, the oldest revision
whose code works on the schema that it leaves (docs/adr/0010). The highest of them is noted on Alembic's own table,
where older code finds it that knows nothing of newer revisions.
"""

from __future__ import annotations

import argparse
import asyncio
import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TypeVar

from alembic import command
from alembic.config import Config
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, text
from sqlalchemy.ext.asyncio import create_async_engine
from sqlalchemy.pool import NullPool

from deployments.errors import Unavailable

T = TypeVar("T")
LOCK = 0x6461726B
"""Key of the advisory lock that migrations run under."""
VERSIONS = Path(__file__).parent / "migrations"
"""Folder of the revisions."""
_LOCK_TIMEOUT = "30s"
"""Time that a migration waits for a table which running transactions use: whoever comes later waits behind it."""
_NOTE = "Darkroom from revision {} on runs on this schema"
_READ_NOTE = text("SELECT obj_description(to_regclass('alembic_version'), 'pg_class')")


@dataclass(frozen=True, slots=True)
class Schema:
    """Schema of a database, as this code sees it."""

    revision: str | None
    """Revision of the database; None: it is empty."""
    head: str
    """Newest revision that this code knows."""
    is_known: bool
    """Whether this code knows the database's revision."""
    compatible_from: str | None
    """Oldest revision whose code runs on the schema; None: it does not say."""

    def require_runnable(self) -> None:
        """Check that this code runs on the schema as it is. Raises `Unavailable`."""
        if self.revision == self.head:
            return
        if self.is_known:
            state = "is empty" if self.revision is None else f"is at revision {self.revision}"
            needs = f"this version of Darkroom needs {self.head}"
            raise Unavailable(f"The database {state}, and {needs}: run `darkroom migrate` first.")
        if self.compatible_from is None or self.head < self.compatible_from:
            oldest = self.compatible_from or self.revision
            raise Unavailable(
                f"The database is at revision {self.revision}, which needs a version of Darkroom that knows {oldest}; "
                f"this one knows {self.head} and is too old."
            )


async def upgrade(dsn: str, revision: str = "head", *, versions: Path = VERSIONS) -> Schema:
    """Upgrade the schema in one transaction. Other processes wait for it and then find nothing to do.

    A newer schema that this code runs on is left alone. -> the schema afterwards. Raises `Unavailable` when the schema
    is newer and does not run with this code.
    """

    def migrate(config: Config) -> Schema:
        schema = _look(config)
        if not schema.is_known:
            schema.require_runnable()
            return schema
        if revision == "head" and schema.revision == schema.head and _is_noted(config, schema):
            return schema
        command.upgrade(config, revision)
        _note_compatibility(config)
        return _look(config)

    return await _run(dsn, migrate, versions)


async def require_runnable(dsn: str, *, versions: Path = VERSIONS) -> None:
    """Check that this code runs on the schema. Raises `Unavailable` with what to do."""
    (await _run(dsn, _look, versions)).require_runnable()


async def prepare(dsn: str, *, migrates: bool) -> None:
    """Upgrade the schema, or only check it where migrating is a step of its own. Raises `Unavailable`."""
    await (upgrade(dsn) if migrates else require_runnable(dsn))


async def downgrade(dsn: str, revision: str) -> None:
    """Downgrade the schema to `revision`; `base` removes every table."""

    def migrate(config: Config) -> None:
        command.downgrade(config, revision)
        _note_compatibility(config)

    await _run(dsn, migrate)


async def write_revision(dsn: str, message: str) -> None:
    """Write a revision into `migrations/versions`: the difference between the models and the (migrated) database."""
    await _run(dsn, lambda config: command.revision(config, message, autogenerate=True))


def compatible_from(script: ScriptDirectory, revision: str) -> str:
    """Find the oldest revision whose code runs on the schema of `revision`: the highest that any one up to it names.

    A revision that names none is compatible with nothing older.
    """
    chain = script.iterate_revisions(revision, "base")
    return max(getattr(one.module, "compatible_from", one.revision) for one in chain)


async def _run(dsn: str, action: Callable[[Config], T], versions: Path = VERSIONS) -> T:
    engine = create_async_engine(dsn, poolclass=NullPool)
    try:
        async with engine.begin() as connection:
            await connection.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": LOCK})
            await connection.execute(text(f"SET LOCAL lock_timeout = '{_LOCK_TIMEOUT}'"))
            return await connection.run_sync(lambda sync: action(_config(sync, versions)))
    finally:
        await engine.dispose()


def _look(config: Config) -> Schema:
    connection: Connection = config.attributes["connection"]
    script = _script(config)
    is_empty = connection.execute(text("SELECT to_regclass('alembic_version') IS NULL")).scalar_one()
    query = text("SELECT version_num FROM alembic_version")
    revision: str | None = None if is_empty else connection.execute(query).scalar_one_or_none()
    known = {one.revision for one in script.walk_revisions()}
    noted = re.search(r"from revision (\w+)", connection.execute(_READ_NOTE).scalar() or "")
    head = script.get_current_head() or ""
    return Schema(revision, head, revision is None or revision in known, noted.group(1) if noted else None)


def _is_noted(config: Config, schema: Schema) -> bool:
    return schema.revision is None or schema.compatible_from == compatible_from(_script(config), schema.revision)


def _note_compatibility(config: Config) -> None:
    """Note on Alembic's table how old the code may be; a note that says so already is left alone."""
    schema, connection = _look(config), config.attributes["connection"]
    if schema.revision is not None and not _is_noted(config, schema):
        oldest = compatible_from(_script(config), schema.revision)
        connection.execute(text(f"COMMENT ON TABLE alembic_version IS '{_NOTE.format(oldest)}'"))


def _script(config: Config) -> ScriptDirectory:
    folder = Path(str(config.get_main_option("script_location")))
    return _read_script(folder, tuple(sorted(path.name for path in (folder / "versions").glob("*.py"))))


@cache
def _read_script(folder: Path, revisions: tuple[str, ...]) -> ScriptDirectory:
    """Read the revisions, once for each list of them: every start looks at them, and tests start hundreds of times."""
    return ScriptDirectory(str(folder))


def _config(connection: Connection, versions: Path) -> Config:
    config = Config()
    config.set_main_option("script_location", str(versions).replace("%", "%%"))
    config.set_main_option("path_separator", "os")
    config.attributes["connection"] = connection
    return config


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Write a migration for what changed in the models")
    parser.add_argument("dsn", help="a database at the current head")
    parser.add_argument("message")
    arguments = parser.parse_args()
    asyncio.run(write_revision(arguments.dsn, arguments.message))
