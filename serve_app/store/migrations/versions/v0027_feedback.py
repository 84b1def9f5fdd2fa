"""What users say of tags and of images that were made for them."""

import sqlalchemy as sa
from alembic import op

revision = "0027"
down_revision = "0026"
branch_labels = None
depends_on = None
compatible_from = "0009"
"""Oldest revision whose code runs on this schema (docs/adr/0010)."""

_ID = sa.Text(collation="C")


def upgrade() -> None:
    op.create_table(
        "feedback",
        sa.Column("id", _ID, nullable=False),
        sa.Column("user_id", _ID, nullable=False),
        sa.Column("image_id", _ID),
        sa.Column("tag", sa.Text()),
        sa.Column("history_id", _ID),
        sa.Column("is_right", sa.Boolean(), nullable=False),
        sa.Column("note", sa.Text()),
        sa.Column("score", sa.REAL()),
        sa.Column("created_at", sa.TIMESTAMP(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.CheckConstraint(
            "(image_id IS NULL) = (tag IS NULL) AND (image_id IS NULL) <> (history_id IS NULL)",
            name="feedback_subject_check",
        ),
        sa.ForeignKeyConstraint(["user_id"], ["users.id"], name="feedback_user_id_fkey", ondelete="CASCADE"),
        sa.ForeignKeyConstraint(["image_id"], ["images.id"], name="feedback_image_id_fkey", ondelete="CASCADE"),
        sa.ForeignKeyConstraint(
            ["history_id"], ["generations.id"], name="feedback_history_id_fkey", ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name="feedback_pkey"),
        sa.UniqueConstraint("image_id", "tag", name="feedback_image_id_tag_key"),
        sa.UniqueConstraint("history_id", name="feedback_history_id_key"),
    )
    op.create_index("feedback_user_id_id_idx", "feedback", ["user_id", "id"])


def downgrade() -> None:
    op.drop_table("feedback")
