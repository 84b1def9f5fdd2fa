"""Migrations: from empty, back again, equal to the models, and safe at the same time."""

from __future__ import annotations

import asyncio
import re

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from alembic.util import CommandError
from sqlalchemy import Connection, text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import create_async_engine
from structlog.testing import capture_logs

from deployments.errors import Conflict
from serve_app.store import migrate
from serve_app.store.ids import new_id
from serve_app.store.models import Base
from serve_app.store.repositories import albums, results, users
from serve_app.store.session import Database


async def tables(dsn: str) -> set[str]:
    engine = create_async_engine(dsn)
    async with engine.connect() as connection:
        names = await connection.execute(text("SELECT tablename FROM pg_tables WHERE schemaname = 'public'"))
        found = set(names.scalars())
    await engine.dispose()
    return found


async def test_a_migrated_database_is_what_the_models_say(postgres: str) -> None:
    def differences(connection: Connection) -> list[object]:
        options = {"compare_type": True, "compare_server_default": True, "include_object": _is_everywhere}
        return compare_metadata(MigrationContext.configure(connection, opts=options), Base.metadata)

    engine = create_async_engine(postgres)
    async with engine.connect() as connection:
        assert await connection.run_sync(differences) == []
    await engine.dispose()


def _is_everywhere(_: object, name: str | None, *__: object) -> bool:
    """Leave out what only some servers have: the index for which revision 0029 needs an extension."""
    return name != "picture_texts_words_idx"


async def test_words_of_texts_have_an_index_where_the_server_has_the_extension(empty: str) -> None:
    with capture_logs() as said:
        await migrate.upgrade(empty)
    engine = create_async_engine(empty)
    async with engine.connect() as connection:
        available = "SELECT count(*) = 1 FROM pg_available_extensions WHERE name = 'pg_trgm'"
        has_extension = bool(await connection.scalar(text(available)))
        index = "SELECT to_regclass('picture_texts_words_idx') IS NOT NULL"
        assert await connection.scalar(text(index)) is has_extension
    await engine.dispose()
    assert not said, "a server without it is nothing that its operator forgot"
    await migrate.downgrade(empty, "0028")
    await migrate.upgrade(empty)


async def test_a_lock_that_others_hold_fails_the_migration_and_does_not_cost_the_index_for_good(
    empty: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    await migrate.upgrade(empty, "0028")
    monkeypatch.setattr(migrate, "_LOCK_TIMEOUT", "100ms")
    engine = create_async_engine(empty)
    async with engine.begin() as other:
        await other.execute(text("LOCK TABLE pg_extension"))
        with pytest.raises(DBAPIError):
            await migrate.upgrade(empty)
    await engine.dispose()
    await migrate.upgrade(empty)


async def test_a_downgrade_to_base_leaves_nothing_and_an_upgrade_brings_all_back(empty: str) -> None:
    await migrate.upgrade(empty)
    assert await tables(empty) == {*Base.metadata.tables, "alembic_version"}
    await migrate.downgrade(empty, "base")
    assert await tables(empty) == {"alembic_version"}
    await migrate.upgrade(empty)
    assert await tables(empty) == {*Base.metadata.tables, "alembic_version"}


async def test_users_of_older_versions_keep_their_names(empty: str) -> None:
    await migrate.upgrade(empty, "0004")
    engine = create_async_engine(empty)
    async with engine.begin() as connection:
        await connection.execute(text("INSERT INTO users (id, username, email) VALUES ('usr_1', 'Éva', 'E@X.org')"))
    await migrate.upgrade(empty)
    async with engine.connect() as connection:
        row = await connection.execute(text("SELECT * FROM users WHERE id = 'usr_1'"))
        found = row.mappings().one()
    await engine.dispose()
    assert (found["username"], found["username_folded"], found["email_folded"]) == ("Éva", "éva", "e@x.org")
    database = Database(empty, application_name="test")
    with pytest.raises(Conflict):
        async with database.transaction() as session:
            await users.add(session, "ÉVA", "other@example.org")
    await database.close()


async def test_users_who_would_become_one_are_named_and_nothing_is_changed(empty: str) -> None:
    await migrate.upgrade(empty, "0004")
    people = [("usr_1", "Eva", "eva@example.org"), ("usr_2", "eva", "e@example.org"), ("usr_3", "bob", "E@EXAMPLE.org")]
    engine = create_async_engine(empty)
    async with engine.begin() as connection:
        for person in people:
            row = dict(zip(("id", "name", "email"), person, strict=True))
            await connection.execute(text("INSERT INTO users (id, username, email) VALUES (:id, :name, :email)"), row)
    with pytest.raises(CommandError) as refused:
        await migrate.upgrade(empty)
    assert "usr_1 and usr_2" in str(refused.value)
    assert "usr_2 and usr_3" in str(refused.value)
    async with engine.begin() as connection:
        kept = await connection.execute(
            text("SELECT id, username, email FROM users WHERE id <> 'usr_local' ORDER BY id")
        )
        assert [tuple(row) for row in kept] == people
        await connection.execute(
            text("UPDATE users SET username = 'eva2', email = 'e2@example.org' WHERE id = 'usr_2'")
        )
    await engine.dispose()
    for revision in ("head", "0003", "head"):
        await (migrate.downgrade if revision == "0003" else migrate.upgrade)(empty, revision)


async def test_processes_that_migrate_at_once_do_not_disturb_one_another(empty: str) -> None:
    await asyncio.gather(*(migrate.upgrade(empty) for _ in range(5)))
    database = Database(empty, application_name="test")
    async with database.transaction() as session:
        assert await users.get(session, users.LOCAL_USER_ID) is not None
    await database.close()


def test_every_revision_says_how_old_the_code_may_be_that_runs_on_it() -> None:
    """From the one on that came after the rule (docs/adr/0010); never newer than itself."""
    script = ScriptDirectory(str(migrate.VERSIONS))
    for revision in script.walk_revisions():
        if revision.revision > "0009":
            assert revision.module.compatible_from <= revision.revision, revision.revision


async def test_every_timestamp_has_a_time_zone() -> None:
    naive = [
        f"{table.name}.{column.name}"
        for table in Base.metadata.tables.values()
        for column in table.columns
        if column.name.endswith(("_at", "_until", "_after")) and not getattr(column.type, "timezone", False)
    ]
    assert naive == []


def test_ids_sort_by_the_time_they_were_made_and_name_their_kind() -> None:
    ids = [new_id("img") for _ in range(1000)]
    assert ids == sorted(ids)
    assert len(set(ids)) == 1000
    assert all(re.fullmatch(r"img_[0-9a-hjkmnp-tv-z]{26}", one) for one in ids)


async def test_hashes_and_duplicates_of_before_are_forgotten_when_they_come_to_mean_more(empty: str) -> None:
    await migrate.upgrade(empty, "0005")
    engine = create_async_engine(empty)
    async with engine.begin() as connection:
        await connection.execute(text("INSERT INTO contents VALUES ('a', 1, 'image/png', 1, 1, 'old')"))
        await connection.execute(text("INSERT INTO albums (id, user_id) VALUES ('alb', 'usr_local')"))
        for kind in ("duplicates", "tags"):
            await connection.execute(
                text("INSERT INTO analysis_results VALUES ('alb', :kind, '', 1, '{}')"), {"kind": kind}
            )
    await migrate.upgrade(empty)
    async with engine.connect() as connection:
        [shown] = await connection.execute(text("SELECT pixel_sha256, frames, bits, has_alpha FROM contents"))
        kinds = (await connection.execute(text("SELECT kind FROM analysis_results"))).scalars().all()
    await engine.dispose()
    assert tuple(shown) == (None, None, None, None)
    assert kinds == ["tags"]


async def test_images_of_before_are_counted_and_results_of_before_are_kept(empty: str) -> None:
    await migrate.upgrade(empty, "0009")
    engine = create_async_engine(empty)
    async with engine.begin() as connection:
        await connection.execute(text("INSERT INTO albums (id, user_id) VALUES ('alb', 'usr_local')"))
        add = text("INSERT INTO album_images (album_id, ref, ref_sha256, status) VALUES ('alb', :ref, :hash, :status)")
        for ref, status in (("a", "embedded"), ("b", "embedded"), ("c", "failed")):
            await connection.execute(add, {"ref": ref, "hash": ref.encode(), "status": status})
        await connection.execute(text("INSERT INTO analysis_results VALUES ('alb', 'tags', 'key', 1, '{\"n\": 1}')"))
    await migrate.upgrade(empty)
    async with engine.begin() as connection:
        await connection.execute(add, {"ref": "d", "hash": b"d", "status": "pending"})
    await engine.dispose()
    database = Database(empty, application_name="test")
    async with database.transaction() as session:
        album = await albums.get(session, "alb")
        found = await results.find(session, "alb", "tags", "key")
    await database.close()
    assert album is not None
    assert found is not None
    assert (album.pending_count, album.embedded_count, album.failed_count) == (1, 2, 1)
    assert found.payload == {"n": 1}
