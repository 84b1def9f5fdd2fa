"""What is written in pictures.

Only adds: older versions read no text, and what they leave behind of a content that goes, goes with it.
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB, REAL

revision = "0028"
down_revision = "0027"
branch_labels = None
depends_on = None
compatible_from = "0009"
"""Oldest revision whose code runs on this schema (docs/adr/0010)."""


def upgrade() -> None:
    op.create_table(
        "picture_texts",
        sa.Column("sha256", sa.Text(collation="C"), nullable=False),
        sa.Column("writing", REAL(), nullable=True),
        sa.Column("model", sa.Text(), nullable=True),
        sa.Column("read_px", sa.Integer(), nullable=True),
        sa.Column("lines", JSONB(), nullable=True),
        sa.Column("page", sa.Text(), nullable=True),
        sa.Column("words", sa.Text(), nullable=True),
        sa.ForeignKeyConstraint(
            ["sha256"], ["contents.sha256"], name=op.f("picture_texts_sha256_fkey"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("sha256", name=op.f("picture_texts_pkey")),
    )


def downgrade() -> None:
    op.drop_table("picture_texts")
