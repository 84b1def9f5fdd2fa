"""Webhooks: addresses that events of a user are sent to, and how far they were."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0021"
down_revision = "0020"
branch_labels = None
depends_on = None
compatible_from = "0009"
"""Oldest revision whose code runs on this schema (docs/adr/0010)."""

_TIME = sa.TIMESTAMP(timezone=True)


def upgrade() -> None:
    op.create_table(
        "webhooks",
        sa.Column("id", sa.Text(collation="C"), nullable=False),
        sa.Column("user_id", sa.Text(collation="C"), nullable=False),
        sa.Column("url", sa.Text(), nullable=False),
        sa.Column("kinds", postgresql.ARRAY(sa.Text()), nullable=False),
        sa.Column("secret", sa.Text(), nullable=False),
        sa.Column("transaction", sa.BigInteger(), nullable=False),
        sa.Column("event_id", sa.BigInteger(), nullable=False),
        sa.Column("next_try_at", _TIME, server_default=sa.text("now()"), nullable=False),
        sa.Column("lease_until", _TIME),
        sa.Column("failures", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("failing_since", _TIME),
        sa.Column("last_failure", sa.Text()),
        sa.Column("delivered_at", _TIME),
        sa.Column("disabled_at", _TIME),
        sa.Column("created_at", _TIME, server_default=sa.text("now()"), nullable=False),
        sa.ForeignKeyConstraint(["user_id"], ["users.id"], name="webhooks_user_id_fkey", ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("id", name="webhooks_pkey"),
    )
    op.create_index("webhooks_user_id_idx", "webhooks", ["user_id"])
    op.create_index("webhooks_due_idx", "webhooks", ["next_try_at"], postgresql_where=sa.text("disabled_at IS NULL"))


def downgrade() -> None:
    op.drop_table("webhooks")
