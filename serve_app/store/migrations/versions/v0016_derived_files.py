"""Files that were made of a content, thumbnails, are known by a row, so that none is left when the content goes."""

import sqlalchemy as sa
from alembic import op

revision = "0016"
down_revision = "0015"
branch_labels = None
depends_on = None
compatible_from = "0009"
"""Oldest revision whose code runs on this schema (docs/adr/0010); its collector leaves thumbnails behind."""


def upgrade() -> None:
    op.create_table(
        "derived_files",
        sa.Column("sha256", sa.Text(collation="C"), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("size_bytes", sa.Integer(), nullable=True),
        sa.ForeignKeyConstraint(
            ["sha256"], ["contents.sha256"], name=op.f("derived_files_sha256_fkey"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("sha256", "name", name=op.f("derived_files_pkey")),
    )


def downgrade() -> None:
    op.drop_table("derived_files")
