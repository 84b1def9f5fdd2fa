"""Jobs keep the id of the request that they were made for, and their place in its trace."""

import sqlalchemy as sa
from alembic import op

revision = "0013"
down_revision = "0012"
branch_labels = None
depends_on = None
compatible_from = "0009"
"""Oldest revision whose code runs on this schema (docs/adr/0010)."""


def upgrade() -> None:
    op.add_column("jobs", sa.Column("request_id", sa.Text()))
    op.add_column("jobs", sa.Column("traceparent", sa.Text()))


def downgrade() -> None:
    for name in ("traceparent", "request_id"):
        op.drop_column("jobs", name)
