"""What a file shows beyond its first frame on white: frames, depth, transparency, and all of them in its pixel hash.

Hashes of before meant less, and so did the duplicates that were found by them: both are made anew when they are next
asked for.
"""

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("contents", sa.Column("frames", sa.Integer(), nullable=True))
    op.add_column("contents", sa.Column("bits", sa.SmallInteger(), nullable=True))
    op.add_column("contents", sa.Column("has_alpha", sa.Boolean(), nullable=True))
    _forget()


def downgrade() -> None:
    for name in ("frames", "bits", "has_alpha"):
        op.drop_column("contents", name)
    _forget()


def _forget() -> None:
    op.execute("UPDATE contents SET pixel_sha256 = NULL WHERE pixel_sha256 IS NOT NULL")
    op.execute("DELETE FROM analysis_results WHERE kind = 'duplicates'")
