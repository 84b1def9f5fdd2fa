"""Albums have files that hold an index for the search for duplicates.

Nothing else changes: an older version does not look at the table.
"""

import sqlalchemy as sa
from alembic import op

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None
compatible_from = "0009"
"""Oldest revision whose code runs on this schema (docs/adr/0010)."""


def upgrade() -> None:
    op.create_table(
        "album_indexes",
        sa.Column("key", sa.Text(), nullable=False),
        sa.Column("album_id", sa.Text(collation="C"), nullable=True),
        sa.Column("size_bytes", sa.BigInteger(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.ForeignKeyConstraint(
            ["album_id"], ["albums.id"], name=op.f("album_indexes_album_id_fkey"), ondelete="SET NULL"
        ),
        sa.PrimaryKeyConstraint("key", name=op.f("album_indexes_pkey")),
        sa.UniqueConstraint("album_id", name=op.f("album_indexes_album_id_key")),
    )


def downgrade() -> None:
    op.drop_table("album_indexes")
