"""The command `darkroom migrate`: a step before the processes of a new version start."""

from __future__ import annotations

import argparse
import asyncio
from typing import Any

from rich.console import Console

from deployments.errors import Unavailable
from serve_app.cli.client import Client, CommandError
from serve_app.cli.ray import read_settings


def add_commands(commands: Any) -> list[argparse.ArgumentParser]:
    """Add the command's parser. -> those that can print JSON"""
    migrate = commands.add_parser(
        "migrate",
        help="bring the database's schema up to this version; safe while older processes run",
        description="Migrates DARKROOM_DATABASE_URL, or the embedded database. Several may run at once. A newer schema "
        "that this version runs on is left alone.",
    )
    migrate.set_defaults(run=_migrate)
    return [migrate]


def _migrate(_client: Client, arguments: argparse.Namespace, err: Console) -> Any:
    from alembic.util import CommandError as MigrationError
    from sqlalchemy.exc import SQLAlchemyError

    from serve_app.store.embedded.server import PostgresNotStarted, ensure_running
    from serve_app.store.migrate import upgrade

    settings, share = read_settings(), None
    try:
        dsn = settings.database_url
        if dsn is None:
            share = ensure_running(settings.data_dir)
            dsn = share.dsn
        schema = asyncio.run(upgrade(dsn))
    except Unavailable as error:
        raise CommandError(error.message) from None
    except (OSError, SQLAlchemyError, MigrationError, PostgresNotStarted) as error:
        raise CommandError(f"The database cannot be migrated: {str(error).strip().splitlines()[0]}") from None
    finally:
        if share is not None:
            share.release()
    if arguments.json:
        return {"revision": schema.revision, "compatible_from": schema.compatible_from}
    newer = "" if schema.is_known else f", newer than this version's {schema.head}, which runs on it"
    err.print(f"The database is at revision {schema.revision}{newer}.", highlight=False)
    return None
