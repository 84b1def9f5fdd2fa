"""Albums have titles, and web pages sessions in place of a key."""

import sqlalchemy as sa
from alembic import op

revision = "0024"
down_revision = "0023"
branch_labels = None
depends_on = None
compatible_from = "0009"
"""Oldest revision whose code runs on this schema (docs/adr/0010)."""

_TIME = sa.TIMESTAMP(timezone=True)
_NOTED = "AFTER INSERT OR DELETE OR UPDATE OF {columns} ON albums FOR EACH ROW EXECUTE FUNCTION note_albums()"


def _note(columns: str) -> None:
    op.execute("DROP TRIGGER note_event ON albums")
    op.execute(f"CREATE TRIGGER note_event {_NOTED.format(columns=columns)}")


def upgrade() -> None:
    op.add_column("albums", sa.Column("title", sa.Text()))
    _note("name, version, title")
    op.create_table(
        "sessions",
        sa.Column("token_hash", sa.Text(), nullable=False),
        sa.Column("user_id", sa.Text(collation="C"), nullable=False),
        sa.Column("key_hash", sa.Text(), nullable=False),
        sa.Column("expires_at", _TIME, nullable=False),
        sa.Column("created_at", _TIME, server_default=sa.text("now()"), nullable=False),
        sa.ForeignKeyConstraint(["user_id"], ["users.id"], name="sessions_user_id_fkey", ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("token_hash", name="sessions_pkey"),
    )
    op.create_index("sessions_user_id_created_at_idx", "sessions", ["user_id", "created_at"])
    op.create_index("sessions_expires_at_idx", "sessions", ["expires_at"])


def downgrade() -> None:
    op.drop_table("sessions")
    _note("name, version")
    op.drop_column("albums", "title")
