"""History of requests to make images."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "generations",
        sa.Column("id", sa.Text(collation="C"), nullable=False),
        sa.Column("user_id", sa.Text(collation="C"), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("status", sa.Text(), server_default=sa.text("'started'"), nullable=False),
        sa.Column("input_ref", sa.Text(), nullable=True),
        sa.Column("input_image_id", sa.Text(collation="C"), nullable=True),
        sa.Column(
            "output_image_ids",
            postgresql.ARRAY(sa.Text(collation="C")),
            server_default=sa.text("'{}'"),
            nullable=False,
        ),
        sa.Column(
            "parameters",
            postgresql.JSONB(astext_type=sa.Text()),
            server_default=sa.text("'{}'::jsonb"),
            nullable=False,
        ),
        sa.Column("engine", sa.Text(), nullable=True),
        sa.Column("problem", postgresql.JSONB(none_as_null=True, astext_type=sa.Text()), nullable=True),
        sa.Column("job_id", sa.Text(collation="C"), nullable=True),
        sa.Column(
            "started_at",
            postgresql.TIMESTAMP(timezone=True),
            server_default=sa.text("clock_timestamp()"),
            nullable=False,
        ),
        sa.Column("finished_at", postgresql.TIMESTAMP(timezone=True), nullable=True),
        sa.Column("created_at", postgresql.TIMESTAMP(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.CheckConstraint("kind IN ('style', 'avatar', 'txt2img', 'img2img')", name=op.f("generations_kind_check")),
        sa.CheckConstraint(
            "status IN ('started', 'succeeded', 'failed', 'cancelled')", name=op.f("generations_status_check")
        ),
        sa.CheckConstraint("(status = 'started') = (finished_at IS NULL)", name=op.f("generations_finished_check")),
        sa.ForeignKeyConstraint(
            ["input_image_id"], ["images.id"], name=op.f("generations_input_image_id_fkey"), ondelete="SET NULL"
        ),
        sa.ForeignKeyConstraint(["user_id"], ["users.id"], name=op.f("generations_user_id_fkey"), ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("id", name=op.f("generations_pkey")),
        sa.UniqueConstraint("job_id", name=op.f("generations_job_id_key")),
    )
    op.create_index(op.f("generations_input_image_id_idx"), "generations", ["input_image_id"], unique=False)
    op.create_index(op.f("generations_user_id_id_idx"), "generations", ["user_id", "id"], unique=False)
    op.create_index(op.f("generations_user_id_kind_id_idx"), "generations", ["user_id", "kind", "id"], unique=False)


def downgrade() -> None:
    op.drop_table("generations")
