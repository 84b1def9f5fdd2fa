"""Images say when, with what and where they were taken.

Null for images of before: their files are not read again.
"""

import sqlalchemy as sa
from alembic import op

revision = "0015"
down_revision = "0014"
branch_labels = None
depends_on = None
compatible_from = "0009"
"""Oldest revision whose code runs on this schema (docs/adr/0010)."""


def upgrade() -> None:
    op.add_column("images", sa.Column("taken_at", sa.TIMESTAMP(timezone=True)))
    op.add_column("images", sa.Column("zone_min", sa.SmallInteger()))
    op.add_column("images", sa.Column("camera", sa.Text()))
    op.add_column("images", sa.Column("latitude", sa.Double()))
    op.add_column("images", sa.Column("longitude", sa.Double()))


def downgrade() -> None:
    for name in ("longitude", "latitude", "camera", "zone_min", "taken_at"):
        op.drop_column("images", name)
