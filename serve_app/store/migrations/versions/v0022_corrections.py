"""Corrections: what users said about people, faces and duplicates, kept by the bytes that it is about."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0022"
down_revision = "0021"
branch_labels = None
depends_on = None
compatible_from = "0009"
"""Oldest revision whose code runs on this schema (docs/adr/0010)."""

_ID = sa.Text(collation="C")
_TIME = sa.TIMESTAMP(timezone=True)


def upgrade() -> None:
    op.create_table(
        "corrections",
        sa.Column("id", _ID, nullable=False),
        sa.Column("action_id", _ID, nullable=False),
        sa.Column("user_id", _ID, nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("a_sha256", _ID, nullable=False),
        sa.Column("a_box", postgresql.ARRAY(sa.REAL())),
        sa.Column("b_sha256", _ID),
        sa.Column("b_box", postgresql.ARRAY(sa.REAL())),
        sa.Column("value", postgresql.JSONB(), server_default=sa.text("'{}'"), nullable=False),
        sa.Column("via", sa.Text(), nullable=False),
        sa.Column("made_at", _TIME, server_default=sa.text("now()"), nullable=False),
        sa.Column("undone_at", _TIME),
        sa.CheckConstraint(
            "kind IN ('must', 'cannot', 'name', 'hide', 'not_duplicate', 'tag')", name=op.f("corrections_kind_check")
        ),
        sa.ForeignKeyConstraint(["user_id"], ["users.id"], name=op.f("corrections_user_id_fkey"), ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("id", name=op.f("corrections_pkey")),
    )
    op.create_index(op.f("corrections_user_id_id_idx"), "corrections", ["user_id", "id"])
    op.create_index(op.f("corrections_user_id_kind_id_idx"), "corrections", ["user_id", "kind", "id"])
    op.create_index(op.f("corrections_action_id_idx"), "corrections", ["action_id"])


def downgrade() -> None:
    op.drop_table("corrections")
