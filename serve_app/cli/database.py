"""The command `darkroom migrate`: a step before the processes of a new version start."""

from __future__ import annotations

import asyncio

import typer

from darkroom_client.cli.failures import CommandError
from darkroom_client.cli.options import Json, Output, err, print_json, state
from deployments.errors import Unavailable
from serve_app.cli.ray import read_settings

app = typer.Typer()


@app.command()
def migrate(context: typer.Context, as_json: Json = False, output: Output = None) -> None:
    """Bring the database's schema up to this version; safe while older processes run.

    Migrates DARKROOM_DATABASE_URL, or the embedded database. Several may run at once. A newer schema that this version
    runs on is left alone.
    """
    from alembic.util import CommandError as MigrationError
    from sqlalchemy.exc import SQLAlchemyError

    from serve_app.store.embedded.server import PostgresNotStarted, ensure_running
    from serve_app.store.migrate import upgrade
    from serve_app.telemetry import configure_logging

    settings, share = read_settings(), None
    configure_logging(settings)  # standard output is the answer's
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
    if state(context).wants_json(as_json, output):
        print_json({"revision": schema.revision, "compatible_from": schema.compatible_from})
        return
    newer = "" if schema.is_known else f", newer than this version's {schema.head}, which runs on it"
    err().print(f"The database is at revision {schema.revision}{newer}.", highlight=False)
