"""Events: what changed for a user, noted by the database itself, so that streams resume and nobody's write is missed.

Only adds: replicas of versions before write jobs, albums and images as ever, and their changes are noted, too.
"""

import sqlalchemy as sa
from alembic import op

revision = "0020"
down_revision = "0018"
branch_labels = None
depends_on = None
compatible_from = "0009"
"""Oldest revision whose code runs on this schema (docs/adr/0010)."""

_NOTE = """
    CREATE FUNCTION note_event(owner text, what text, which text, album text, gone boolean) RETURNS void
    LANGUAGE sql AS $$
        INSERT INTO events (user_id, kind, subject_id, album_id, is_gone)
        SELECT owner, what, which, album, gone FROM users WHERE users.id = owner;
        SELECT pg_notify('darkroom_events', owner);
    $$
"""
_FUNCTIONS = {
    "jobs": """
        IF TG_OP = 'INSERT' OR (OLD.status, OLD.progress, OLD.run_after, OLD.cancel_requested)
            IS DISTINCT FROM (NEW.status, NEW.progress, NEW.run_after, NEW.cancel_requested) THEN
            PERFORM note_event(NEW.user_id, 'job', NEW.id, NEW.album_id, false);
        END IF;
    """,
    "albums": """
        IF TG_OP = 'DELETE' THEN
            IF OLD.expires_at IS NULL THEN
                PERFORM note_event(OLD.user_id, 'album', coalesce(OLD.name, OLD.id), OLD.id, true);
            END IF;
        ELSIF NEW.expires_at IS NULL THEN
            PERFORM note_event(NEW.user_id, 'album', coalesce(NEW.name, NEW.id), NEW.id, false);
        END IF;
    """,
    "images": """
        IF TG_OP = 'DELETE' THEN
            PERFORM note_event(OLD.user_id, 'image', OLD.id, NULL, true);
        ELSE
            PERFORM note_event(NEW.user_id, 'image', NEW.id, NULL, false);
        END IF;
    """,
}
_WHEN = {
    "jobs": "INSERT OR UPDATE OF status, progress, run_after, cancel_requested",
    "albums": "INSERT OR DELETE OR UPDATE OF name, version",
    "images": "INSERT OR DELETE OR UPDATE OF filename, taken_at, temporary, trashed_at",
}


def upgrade() -> None:
    op.create_table(
        "events",
        sa.Column("id", sa.BigInteger(), sa.Identity(), nullable=False),
        sa.Column(
            "transaction", sa.BigInteger(), server_default=sa.text("(pg_current_xact_id()::text)::bigint"),
            nullable=False,
        ),
        sa.Column("user_id", sa.Text(collation="C"), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("subject_id", sa.Text(), nullable=False),
        sa.Column("album_id", sa.Text(collation="C")),
        sa.Column("is_gone", sa.Boolean(), server_default=sa.text("false"), nullable=False),
        sa.Column("created_at", sa.TIMESTAMP(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.ForeignKeyConstraint(["user_id"], ["users.id"], name="events_user_id_fkey", ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("id", name="events_pkey"),
    )  # fmt: skip
    op.create_index("events_user_id_transaction_id_idx", "events", ["user_id", "transaction", "id"])
    op.create_index("events_created_at_idx", "events", ["created_at"])
    op.create_table(
        "event_floors",
        sa.Column("user_id", sa.Text(collation="C"), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("transaction", sa.BigInteger(), nullable=False),
        sa.Column("event_id", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(["user_id"], ["users.id"], name="event_floors_user_id_fkey", ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("user_id", "kind", name="event_floors_pkey"),
    )
    op.create_index("jobs_user_id_id_idx", "jobs", ["user_id", "id"])
    op.execute(_NOTE)
    for table, body in _FUNCTIONS.items():
        op.execute(
            f"CREATE FUNCTION note_{table}() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN {body} RETURN NULL; END $$"
        )
        op.execute(
            f"CREATE TRIGGER note_event AFTER {_WHEN[table]} ON {table} FOR EACH ROW EXECUTE FUNCTION note_{table}()"
        )


def downgrade() -> None:
    for table in _FUNCTIONS:
        op.execute(f"DROP TRIGGER note_event ON {table}")
        op.execute(f"DROP FUNCTION note_{table}")
    op.execute("DROP FUNCTION note_event")
    op.drop_index("jobs_user_id_id_idx", "jobs")
    op.drop_table("event_floors")
    op.drop_table("events")
