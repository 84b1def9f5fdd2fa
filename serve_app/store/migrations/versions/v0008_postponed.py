"""Waiting for capacity is told apart from failing: jobs count failures, and know since when they have been put off."""

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("jobs", sa.Column("failures", sa.Integer(), server_default=sa.text("0"), nullable=False))
    op.add_column("jobs", sa.Column("postponements", sa.Integer(), server_default=sa.text("0"), nullable=False))
    op.add_column("jobs", sa.Column("postponed_since", sa.DateTime(timezone=True)))


def downgrade() -> None:
    for name in ("postponed_since", "postponements", "failures"):
        op.drop_column("jobs", name)
