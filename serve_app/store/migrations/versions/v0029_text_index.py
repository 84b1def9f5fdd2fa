"""Words of texts are found by an index of their trigrams, where PostgreSQL has the extension.

An index alone: older versions run on it. Without the extension, which the embedded PostgreSQL lacks, or the right to
create it, a search looks at every page, as before.
"""

import structlog
from alembic import op
from sqlalchemy.exc import DBAPIError

revision = "0029"
down_revision = "0028"
branch_labels = None
depends_on = None
compatible_from = "0009"
"""Oldest revision whose code runs on this schema (docs/adr/0010)."""

log = structlog.get_logger(__name__)

_OF_THE_MOMENT = {"55P03", "40P01"}
"""SQLSTATEs of a table that others use, and of a deadlock: the next migration has better luck."""

_NOT_INSTALLED = "0A000"
"""SQLSTATE of an extension that the server does not have: nothing that its operator forgot."""


def upgrade() -> None:
    try:
        with op.get_bind().begin_nested():
            op.execute("CREATE EXTENSION IF NOT EXISTS pg_trgm")
            op.execute("CREATE INDEX picture_texts_words_idx ON picture_texts USING gin (words gin_trgm_ops)")
    except DBAPIError as error:
        state = getattr(error.orig, "sqlstate", None)
        if state in _OF_THE_MOMENT:
            raise
        if state == _NOT_INSTALLED:
            return
        reason = str(error.orig).splitlines()[0]
        log.warning("texts are searched without an index: pg_trgm cannot be had (docs/database.md)", reason=reason)


def downgrade() -> None:
    op.execute("DROP INDEX IF EXISTS picture_texts_words_idx")  # the extension may be somebody else's too
