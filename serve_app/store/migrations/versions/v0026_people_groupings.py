"""When people were grouped last, by which it is known what was said since; links found by the file that they are about.

Only adds: older versions group people whenever a face is new.
"""

import sqlalchemy as sa
from alembic import op

revision = "0026"
down_revision = "0025"
branch_labels = None
depends_on = None
compatible_from = "0009"
"""Oldest revision whose code runs on this schema (docs/adr/0010)."""

_TIME = sa.TIMESTAMP(timezone=True)


def upgrade() -> None:
    op.add_column("users", sa.Column("people_grouped", sa.BigInteger()))
    op.add_column("users", sa.Column("people_grouped_at", _TIME))
    op.add_column("albums", sa.Column("people_grouped_at", _TIME))
    for column in ("a_sha256", "b_sha256"):
        op.create_index(
            op.f(f"corrections_user_id_{column}_idx"),
            "corrections",
            ["user_id", column],
            postgresql_where=sa.text("kind IN ('must', 'cannot') AND undone_at IS NULL"),
        )


def downgrade() -> None:
    for column in ("b_sha256", "a_sha256"):
        op.drop_index(op.f(f"corrections_user_id_{column}_idx"), "corrections")
    op.drop_column("albums", "people_grouped_at")
    op.drop_column("users", "people_grouped_at")
    op.drop_column("users", "people_grouped")
