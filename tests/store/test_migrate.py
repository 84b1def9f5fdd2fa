"""Code and schema of different versions on a real PostgreSQL: what runs, what says that it does not, and `migrate`."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from alembic.script import ScriptDirectory
from sqlalchemy import text

from bench.server import ROOT
from deployments.errors import Unavailable
from serve_app.store import migrate
from serve_app.store.queue import claims, jobs
from serve_app.store.repositories.users import LOCAL_USER_ID
from serve_app.store.session import Database

HEAD = ScriptDirectory(str(migrate.VERSIONS)).get_current_head() or ""
REVISION = """
import sqlalchemy as sa
from alembic import op

revision = "{revision}"
down_revision = "{down}"
branch_labels = None
depends_on = None
compatible_from = "{compatible_from}"


def upgrade() -> None:
    op.add_column("jobs", sa.Column("shade_{revision}", sa.Text(), nullable=False, server_default="grey"))


def downgrade() -> None:
    op.drop_column("jobs", "shade_{revision}")
"""
Newer = Callable[..., Path]


@pytest.fixture
def newer(tmp_path: Path) -> Newer:
    """Makes the revisions of a newer version, which adds columns to jobs: the ones of here, then `compatible_from`s."""

    def make(*compatible_from: str) -> Path:
        folder = tmp_path / "newer"
        shutil.copytree(migrate.VERSIONS, folder, ignore=shutil.ignore_patterns("__pycache__"))
        down = HEAD
        for number, oldest in enumerate(compatible_from, 9001):
            source = REVISION.format(revision=number, down=down, compatible_from=oldest)
            (folder / "versions" / f"v{number}_shade.py").write_text(source)
            down = str(number)
        return folder

    return make


async def a_job_runs(database: Database) -> None:
    async with database.transaction() as session:
        await jobs.enqueue(session, user_id=LOCAL_USER_ID, kind="tags", payload={}, max_attempts=3)
    async with database.transaction() as session:
        job = await claims.claim(session, worker="older", kinds=["tags"], lease_s=60)
    assert job is not None
    async with database.transaction() as session:
        assert await claims.heartbeat(session, job, lease_s=60, progress=0.5) == "ok"
        await claims.complete(session, job, {"n": 1})


async def note(dsn: str) -> str:
    database = Database(dsn, application_name="test")
    async with database.transaction() as session:
        found = await session.scalar(text("SELECT obj_description('alembic_version'::regclass)"))
    await database.close()
    return str(found)


async def test_older_code_runs_on_a_newer_schema_that_says_so(empty: str, newer: Newer) -> None:
    await migrate.upgrade(empty)
    await migrate.upgrade(empty, versions=newer(HEAD))
    for migrates in (True, False):
        await migrate.prepare(empty, migrates=migrates)
    database = Database(empty, application_name="older")
    await a_job_runs(database)
    async with database.transaction() as session:
        assert await session.scalar(text("SELECT version_num FROM alembic_version")) == "9001"
        assert await session.scalar(text("SELECT shade_9001 FROM jobs")) == "grey"
    await database.close()


@pytest.mark.parametrize("migrates", [True, False])
async def test_code_that_is_too_old_for_the_schema_says_so_in_a_sentence(
    empty: str, newer: Newer, migrates: bool
) -> None:
    await migrate.upgrade(empty, versions=newer("9001"))
    with pytest.raises(Unavailable, match=rf"at revision 9001, .* knows 9001; this one knows {HEAD} and is too old"):
        await migrate.prepare(empty, migrates=migrates)


async def test_a_newer_schema_that_says_nothing_is_not_run_on(empty: str, newer: Newer) -> None:
    await migrate.upgrade(empty, versions=newer(HEAD))
    database = Database(empty, application_name="test")
    async with database.transaction() as session:
        await session.execute(text("COMMENT ON TABLE alembic_version IS NULL"))
    await database.close()
    with pytest.raises(Unavailable, match="too old"):
        await migrate.prepare(empty, migrates=True)


async def test_a_later_expansion_does_not_make_up_for_a_contraction(empty: str, newer: Newer) -> None:
    await migrate.upgrade(empty, versions=newer("9001", HEAD))
    with pytest.raises(Unavailable, match="which needs a version of Darkroom that knows 9001"):
        await migrate.require_runnable(empty)


@pytest.mark.parametrize(("revision", "state"), [(None, "is empty"), ("0008", "is at revision 0008")])
async def test_code_that_does_not_migrate_says_that_the_database_is_too_old(
    empty: str, revision: str | None, state: str
) -> None:
    if revision:
        await migrate.upgrade(empty, revision)
    with pytest.raises(Unavailable, match=f"{state}, .* needs {HEAD}: run `darkroom migrate` first"):
        await migrate.require_runnable(empty)


async def test_databases_of_before_get_their_note_at_the_next_migration(empty: str) -> None:
    await migrate.upgrade(empty)
    written = await note(empty)
    assert migrate.compatible_from(ScriptDirectory(str(migrate.VERSIONS)), HEAD) in written
    database = Database(empty, application_name="test")
    async with database.transaction() as session:
        await session.execute(text("COMMENT ON TABLE alembic_version IS NULL"))
    await database.close()
    await migrate.upgrade(empty)
    assert await note(empty) == written


async def test_the_note_goes_back_with_the_schema(empty: str) -> None:
    await migrate.upgrade(empty)
    await migrate.downgrade(empty, "0008")
    assert "0008" in await note(empty)


async def test_older_code_works_on_while_a_newer_version_migrates(empty: str, newer: Newer) -> None:
    await migrate.upgrade(empty)
    database, migrated, ran = Database(empty, application_name="older"), asyncio.Event(), 0

    async def work() -> None:
        nonlocal ran
        after = 5
        while after:
            await a_job_runs(database)
            ran += 1
            after -= migrated.is_set()

    working = asyncio.create_task(work())
    await migrate.upgrade(empty, versions=newer(HEAD))
    migrated.set()
    async with asyncio.timeout(60):
        await working
    assert ran >= 5
    await database.close()


def darkroom_migrate(dsn: str) -> subprocess.Popen[str]:
    """Start the command as a step of a deployment does."""
    code = "import sys; from serve_app.cli.main import main; sys.exit(main(['migrate', '--json']))"
    environment = os.environ | {"DARKROOM_DATABASE_URL": dsn, "PYTHONPATH": str(ROOT)}
    return subprocess.Popen(
        [sys.executable, "-c", code],
        cwd=ROOT,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


async def test_two_migrate_commands_at_once_both_succeed(empty: str) -> None:
    both = [darkroom_migrate(empty) for _ in range(2)]
    for process in both:
        output, errors = await asyncio.to_thread(process.communicate, timeout=60)
        assert process.returncode == 0, errors
        assert json.loads(output)["revision"] == HEAD
    await migrate.require_runnable(empty)


async def test_the_migrate_command_ends_with_one_line_where_the_schema_is_too_new(empty: str, newer: Newer) -> None:
    await migrate.upgrade(empty, versions=newer("9001"))
    process = darkroom_migrate(empty)
    _, errors = await asyncio.to_thread(process.communicate, timeout=60)
    assert process.returncode == 1
    assert "too old" in errors
    assert "Traceback" not in errors
