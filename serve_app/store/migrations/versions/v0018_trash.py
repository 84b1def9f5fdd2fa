"""Images can lie in the trash, and remember the albums that they were taken out of."""

import sqlalchemy as sa
from alembic import op

revision = "0018"
down_revision = "0017"
branch_labels = None
depends_on = None
compatible_from = "0009"
"""Oldest revision whose code runs on this schema (docs/adr/0010); it shows what lies in the trash, and keeps it."""


def upgrade() -> None:
    op.add_column("images", sa.Column("trashed_at", sa.TIMESTAMP(timezone=True)))
    op.create_index(
        "images_trashed_idx",
        "images",
        ["user_id", "trashed_at", "id"],
        postgresql_where=sa.text("trashed_at IS NOT NULL"),
    )
    op.create_table(
        "trashed_items",
        sa.Column("image_id", sa.Text(collation="C"), nullable=False),
        sa.Column("album_id", sa.Text(collation="C"), nullable=False),
        sa.Column("ref", sa.Text(), nullable=False),
        sa.Column("ref_sha256", sa.LargeBinary(), nullable=False),
        sa.Column("status", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(
            ["image_id"], ["images.id"], name=op.f("trashed_items_image_id_fkey"), ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(
            ["album_id"], ["albums.id"], name=op.f("trashed_items_album_id_fkey"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("image_id", "album_id", name=op.f("trashed_items_pkey")),
    )
    op.create_index(op.f("trashed_items_album_id_idx"), "trashed_items", ["album_id"])


def downgrade() -> None:
    op.drop_table("trashed_items")
    op.drop_index("images_trashed_idx", "images")
    op.drop_column("images", "trashed_at")
