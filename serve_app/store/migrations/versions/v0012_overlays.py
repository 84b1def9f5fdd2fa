"""Verdicts on pairs say which of the two bears a sticker or a caption; those of before do not know."""

import sqlalchemy as sa
from alembic import op

revision = "0012"
down_revision = "0011"
branch_labels = None
depends_on = None
compatible_from = "0009"
"""Oldest revision whose code runs on this schema (docs/adr/0010)."""


def upgrade() -> None:
    op.add_column("pair_verdicts", sa.Column("overlay", sa.Text(), nullable=True))


def downgrade() -> None:
    op.drop_column("pair_verdicts", "overlay")
