"""Temporary images, which are removed after a while."""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("images", sa.Column("temporary", sa.Boolean(), server_default=sa.text("false"), nullable=False))
    op.create_index("images_temporary_idx", "images", ["created_at"], postgresql_where=sa.text("temporary"))


def downgrade() -> None:
    op.drop_index("images_temporary_idx", table_name="images")
    op.drop_column("images", "temporary")
