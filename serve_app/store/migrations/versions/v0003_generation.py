"""Inputs of jobs, requests to stop a job, and options of the Stable Diffusion web API."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("jobs", sa.Column("stop_requested", sa.Text(), nullable=True))
    op.create_check_constraint(op.f("jobs_stop_requested_check"), "jobs", "stop_requested IN ('interrupt', 'skip')")
    op.create_table(
        "job_inputs",
        sa.Column("job_id", sa.Text(collation="C"), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("data", sa.LargeBinary(), nullable=False),
        sa.ForeignKeyConstraint(["job_id"], ["jobs.id"], name=op.f("job_inputs_job_id_fkey"), ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("job_id", "name", name=op.f("job_inputs_pkey")),
    )
    op.create_table(
        "sd_options",
        sa.Column("user_id", sa.Text(collation="C"), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("value", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.ForeignKeyConstraint(["user_id"], ["users.id"], name=op.f("sd_options_user_id_fkey"), ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("user_id", "name", name=op.f("sd_options_pkey")),
    )
    # Pictures do not compress.
    op.execute("ALTER TABLE job_inputs ALTER COLUMN data SET STORAGE EXTERNAL")


def downgrade() -> None:
    op.drop_table("sd_options")
    op.drop_table("job_inputs")
    op.drop_column("jobs", "stop_requested")
