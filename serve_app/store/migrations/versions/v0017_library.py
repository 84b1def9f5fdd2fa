"""Images are listed by time, quality and tags: these are kept where an index finds them.

Tags of before are there once an album is tagged again.
"""

import sqlalchemy as sa
from alembic import op

revision = "0017"
down_revision = "0016"
branch_labels = None
depends_on = None
compatible_from = "0009"
"""Oldest revision whose code runs on this schema (docs/adr/0010); what it stores has no quality and no tags here."""


def upgrade() -> None:
    op.add_column("images", sa.Column("quality", sa.Double()))
    op.execute("UPDATE images SET quality = score FROM picture_quality WHERE picture_quality.sha256 = images.sha256")
    for name, key in (("taken", "coalesce(taken_at, created_at)"), ("quality", "coalesce(quality, -1)")):
        op.create_index(
            f"images_{name}_idx",
            "images",
            ["user_id", sa.text(f"({key})"), "id"],
            postgresql_where=sa.text("NOT temporary"),
        )
    op.create_table(
        "image_tags",
        sa.Column("image_id", sa.Text(collation="C"), nullable=False),
        sa.Column("tag", sa.Text(), nullable=False),
        sa.Column("score", sa.REAL(), nullable=True),
        sa.Column("verdict", sa.Boolean(), nullable=True),
        sa.ForeignKeyConstraint(["image_id"], ["images.id"], name=op.f("image_tags_image_id_fkey"), ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("image_id", "tag", name=op.f("image_tags_pkey")),
    )
    op.create_index(op.f("image_tags_tag_image_id_idx"), "image_tags", ["tag", "image_id"])


def downgrade() -> None:
    op.drop_table("image_tags")
    for name in ("quality", "taken"):
        op.drop_index(f"images_{name}_idx", "images")
    op.drop_column("images", "quality")
