"""The first schema: users, images, albums, analyses and the job queue."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

TABLES = (
    "contents",
    "users",
    "albums",
    "face_scans",
    "idempotency_keys",
    "images",
    "pair_verdicts",
    "picture_quality",
    "picture_vectors",
    "album_images",
    "analysis_results",
    "faces",
    "jobs",
    "persons",
    "person_faces",
)
"""Tables in the order in which they refer to one another."""


def upgrade() -> None:
    op.create_table(
        "contents",
        sa.Column("sha256", sa.Text(collation="C"), nullable=False),
        sa.Column("size_bytes", sa.BigInteger(), nullable=False),
        sa.Column("content_type", sa.Text(), nullable=False),
        sa.Column("width", sa.Integer(), nullable=False),
        sa.Column("height", sa.Integer(), nullable=False),
        sa.Column("pixel_sha256", sa.Text(), nullable=True),
        sa.Column("has_preview", sa.Boolean(), server_default=sa.text("false"), nullable=False),
        sa.Column("created_at", postgresql.TIMESTAMP(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.PrimaryKeyConstraint("sha256", name=op.f("contents_pkey")),
    )
    op.create_index(op.f("contents_pixel_sha256_idx"), "contents", ["pixel_sha256"], unique=False)
    op.create_table(
        "users",
        sa.Column("id", sa.Text(collation="C"), nullable=False),
        sa.Column("username", sa.Text(), nullable=False),
        sa.Column("email", sa.Text(), nullable=False),
        sa.Column("api_key_hash", sa.Text(), nullable=True),
        sa.Column("created_at", postgresql.TIMESTAMP(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("users_pkey")),
        sa.UniqueConstraint("api_key_hash", name=op.f("users_api_key_hash_key")),
        sa.UniqueConstraint("email", name=op.f("users_email_key")),
        sa.UniqueConstraint("username", name=op.f("users_username_key")),
    )
    op.create_table(
        "albums",
        sa.Column("id", sa.Text(collation="C"), nullable=False),
        sa.Column("user_id", sa.Text(collation="C"), nullable=False),
        sa.Column("name", sa.Text(), nullable=True),
        sa.Column("version", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("updated_at", postgresql.TIMESTAMP(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("expires_at", postgresql.TIMESTAMP(timezone=True), nullable=True),
        sa.Column("created_at", postgresql.TIMESTAMP(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.ForeignKeyConstraint(["user_id"], ["users.id"], name=op.f("albums_user_id_fkey"), ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("id", name=op.f("albums_pkey")),
        sa.UniqueConstraint("user_id", "name", name=op.f("albums_user_id_name_key")),
    )
    op.create_index(
        op.f("albums_expires_at_idx"),
        "albums",
        ["expires_at"],
        unique=False,
        postgresql_where=sa.text("expires_at IS NOT NULL"),
    )
    op.create_index(op.f("albums_user_id_id_idx"), "albums", ["user_id", "id"], unique=False)
    op.create_table(
        "face_scans",
        sa.Column("sha256", sa.Text(collation="C"), nullable=False),
        sa.Column("model", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(
            ["sha256"], ["contents.sha256"], name=op.f("face_scans_sha256_fkey"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("sha256", "model", name=op.f("face_scans_pkey")),
    )
    op.create_table(
        "idempotency_keys",
        sa.Column("user_id", sa.Text(collation="C"), nullable=False),
        sa.Column("key", sa.Text(), nullable=False),
        sa.Column("route", sa.Text(), nullable=False),
        sa.Column("token", sa.Text(), nullable=False),
        sa.Column("request_sha256", sa.Text(), nullable=False),
        sa.Column("status", sa.SmallInteger(), nullable=True),
        sa.Column(
            "headers", postgresql.JSONB(astext_type=sa.Text()), server_default=sa.text("'{}'::jsonb"), nullable=False
        ),
        sa.Column("body", sa.LargeBinary(), nullable=True),
        sa.Column("created_at", postgresql.TIMESTAMP(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.ForeignKeyConstraint(
            ["user_id"], ["users.id"], name=op.f("idempotency_keys_user_id_fkey"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("user_id", "key", "route", name=op.f("idempotency_keys_pkey")),
    )
    op.create_index(op.f("idempotency_keys_created_at_idx"), "idempotency_keys", ["created_at"], unique=False)
    op.create_table(
        "images",
        sa.Column("id", sa.Text(collation="C"), nullable=False),
        sa.Column("user_id", sa.Text(collation="C"), nullable=False),
        sa.Column("sha256", sa.Text(collation="C"), nullable=False),
        sa.Column("filename", sa.Text(), nullable=True),
        sa.Column("source_url", sa.Text(), nullable=True),
        sa.Column("created_at", postgresql.TIMESTAMP(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.ForeignKeyConstraint(["sha256"], ["contents.sha256"], name=op.f("images_sha256_fkey"), ondelete="RESTRICT"),
        sa.ForeignKeyConstraint(["user_id"], ["users.id"], name=op.f("images_user_id_fkey"), ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("id", name=op.f("images_pkey")),
    )
    op.create_index(op.f("images_sha256_idx"), "images", ["sha256"], unique=False)
    op.create_index(op.f("images_user_id_id_idx"), "images", ["user_id", "id"], unique=False)
    op.create_table(
        "pair_verdicts",
        sa.Column("sha_a", sa.Text(collation="C"), nullable=False),
        sa.Column("sha_b", sa.Text(collation="C"), nullable=False),
        sa.Column("version", sa.Text(), nullable=False),
        sa.Column("is_copy", sa.Boolean(), nullable=False),
        sa.Column("score", sa.Double(), nullable=False),
        sa.Column("overlap", sa.Double(), nullable=False),
        sa.CheckConstraint("sha_a < sha_b", name=op.f("pair_verdicts_ordered_check")),
        sa.ForeignKeyConstraint(
            ["sha_a"], ["contents.sha256"], name=op.f("pair_verdicts_sha_a_fkey"), ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(
            ["sha_b"], ["contents.sha256"], name=op.f("pair_verdicts_sha_b_fkey"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("sha_a", "sha_b", "version", name=op.f("pair_verdicts_pkey")),
    )
    op.create_index(op.f("pair_verdicts_sha_b_idx"), "pair_verdicts", ["sha_b"], unique=False)
    op.create_table(
        "picture_quality",
        sa.Column("sha256", sa.Text(collation="C"), nullable=False),
        sa.Column("sharpness", sa.Double(), nullable=False),
        sa.Column("exposure", sa.Double(), nullable=False),
        sa.Column("score", sa.Double(), nullable=False),
        sa.Column("issues", postgresql.ARRAY(sa.Text()), nullable=False),
        sa.ForeignKeyConstraint(
            ["sha256"], ["contents.sha256"], name=op.f("picture_quality_sha256_fkey"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("sha256", name=op.f("picture_quality_pkey")),
    )
    op.create_table(
        "picture_vectors",
        sa.Column("sha256", sa.Text(collation="C"), nullable=False),
        sa.Column("model", sa.Text(), nullable=False),
        sa.Column("views", sa.SmallInteger(), nullable=False),
        sa.Column("vectors", sa.LargeBinary(), nullable=False),
        sa.ForeignKeyConstraint(
            ["sha256"], ["contents.sha256"], name=op.f("picture_vectors_sha256_fkey"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("sha256", "model", name=op.f("picture_vectors_pkey")),
    )
    op.create_table(
        "album_images",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=False), nullable=False),
        sa.Column("album_id", sa.Text(collation="C"), nullable=False),
        sa.Column("ref", sa.Text(), nullable=False),
        sa.Column("ref_sha256", sa.LargeBinary(), nullable=False),
        sa.Column("image_id", sa.Text(collation="C"), nullable=True),
        sa.Column("status", sa.Text(), server_default=sa.text("'pending'"), nullable=False),
        sa.Column("code", sa.Text(), nullable=True),
        sa.Column("detail", sa.Text(), nullable=True),
        sa.Column("created_at", postgresql.TIMESTAMP(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.CheckConstraint("status IN ('pending', 'embedded', 'failed')", name=op.f("album_images_status_check")),
        sa.ForeignKeyConstraint(
            ["album_id"], ["albums.id"], name=op.f("album_images_album_id_fkey"), ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(
            ["image_id"], ["images.id"], name=op.f("album_images_image_id_fkey"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("album_images_pkey")),
        sa.UniqueConstraint("album_id", "ref_sha256", name=op.f("album_images_album_id_ref_sha256_key")),
    )
    op.create_index(op.f("album_images_image_id_idx"), "album_images", ["image_id"], unique=False)
    op.create_table(
        "analysis_results",
        sa.Column("album_id", sa.Text(collation="C"), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("params_key", sa.Text(), nullable=False),
        sa.Column("album_version", sa.Integer(), nullable=False),
        sa.Column("payload", postgresql.JSON(astext_type=sa.Text()), nullable=False),
        sa.Column("created_at", postgresql.TIMESTAMP(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.ForeignKeyConstraint(
            ["album_id"], ["albums.id"], name=op.f("analysis_results_album_id_fkey"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("album_id", "kind", "params_key", name=op.f("analysis_results_pkey")),
    )
    op.create_table(
        "faces",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=False), nullable=False),
        sa.Column("sha256", sa.Text(collation="C"), nullable=False),
        sa.Column("model", sa.Text(), nullable=False),
        sa.Column("ordinal", sa.SmallInteger(), nullable=False),
        sa.Column("bbox", postgresql.ARRAY(sa.REAL()), nullable=False),
        sa.Column("score", sa.Double(), nullable=False),
        sa.Column("quality", sa.Double(), nullable=False),
        sa.Column("landmarks", sa.LargeBinary(), nullable=False),
        sa.Column("vector", sa.LargeBinary(), nullable=False),
        sa.ForeignKeyConstraint(
            ["sha256", "model"], ["face_scans.sha256", "face_scans.model"], name="faces_scan_fkey", ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("faces_pkey")),
        sa.UniqueConstraint("sha256", "model", "ordinal", name=op.f("faces_sha256_model_ordinal_key")),
    )
    op.create_table(
        "jobs",
        sa.Column("id", sa.Text(collation="C"), nullable=False),
        sa.Column("user_id", sa.Text(collation="C"), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("album_id", sa.Text(collation="C"), nullable=True),
        sa.Column("payload", postgresql.JSON(astext_type=sa.Text()), nullable=False),
        sa.Column("priority", sa.SmallInteger(), server_default=sa.text("0"), nullable=False),
        sa.Column("status", sa.Text(), server_default=sa.text("'queued'"), nullable=False),
        sa.Column("progress", sa.Double(), server_default=sa.text("0"), nullable=False),
        sa.Column("eta_s", sa.Double(), nullable=True),
        sa.Column("attempt", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("max_attempts", sa.Integer(), nullable=False),
        sa.Column("lease_until", postgresql.TIMESTAMP(timezone=True), nullable=True),
        sa.Column("worker", sa.Text(), nullable=True),
        sa.Column("cancel_requested", sa.Boolean(), server_default=sa.text("false"), nullable=False),
        sa.Column("result", postgresql.JSON(none_as_null=True, astext_type=sa.Text()), nullable=True),
        sa.Column("problem", postgresql.JSON(none_as_null=True, astext_type=sa.Text()), nullable=True),
        sa.Column("run_after", postgresql.TIMESTAMP(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("dedupe_key", sa.Text(), nullable=True),
        sa.Column("started_at", postgresql.TIMESTAMP(timezone=True), nullable=True),
        sa.Column("finished_at", postgresql.TIMESTAMP(timezone=True), nullable=True),
        sa.Column("created_at", postgresql.TIMESTAMP(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.CheckConstraint("(status = 'running') = (lease_until IS NOT NULL)", name=op.f("jobs_lease_check")),
        sa.CheckConstraint(
            "status IN ('queued', 'running', 'succeeded', 'failed', 'cancelled')", name=op.f("jobs_status_check")
        ),
        sa.CheckConstraint("progress >= 0 AND progress <= 1", name=op.f("jobs_progress_check")),
        sa.ForeignKeyConstraint(["album_id"], ["albums.id"], name=op.f("jobs_album_id_fkey"), ondelete="CASCADE"),
        sa.ForeignKeyConstraint(["user_id"], ["users.id"], name=op.f("jobs_user_id_fkey"), ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("id", name=op.f("jobs_pkey")),
    )
    op.create_index(op.f("jobs_album_id_idx"), "jobs", ["album_id"], unique=False)
    op.create_index(
        "jobs_dedupe_key",
        "jobs",
        ["user_id", "dedupe_key"],
        unique=True,
        postgresql_where=sa.text("status IN ('queued', 'running')"),
    )
    op.create_index(
        "jobs_finished_idx", "jobs", ["finished_at"], unique=False, postgresql_where=sa.text("finished_at IS NOT NULL")
    )
    op.create_index(
        "jobs_lease_idx", "jobs", ["lease_until"], unique=False, postgresql_where=sa.text("status = 'running'")
    )
    op.create_index(
        "jobs_one_running_key",
        "jobs",
        ["album_id", "kind"],
        unique=True,
        postgresql_where=sa.text("status = 'running'"),
    )
    op.create_index(
        "jobs_queued_idx", "jobs", ["run_after"], unique=False, postgresql_where=sa.text("status = 'queued'")
    )
    op.create_index(op.f("jobs_user_id_started_at_idx"), "jobs", ["user_id", "started_at"], unique=False)
    op.create_table(
        "persons",
        sa.Column("id", sa.Text(collation="C"), nullable=False),
        sa.Column("album_id", sa.Text(collation="C"), nullable=False),
        sa.Column("label", sa.Integer(), nullable=False),
        sa.ForeignKeyConstraint(["album_id"], ["albums.id"], name=op.f("persons_album_id_fkey"), ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("id", name=op.f("persons_pkey")),
        sa.UniqueConstraint("album_id", "label", name=op.f("persons_album_id_label_key")),
    )
    op.create_table(
        "person_faces",
        sa.Column("album_id", sa.Text(collation="C"), nullable=False),
        sa.Column("face_id", sa.BigInteger(), nullable=False),
        sa.Column("person_id", sa.Text(collation="C"), nullable=True),
        sa.ForeignKeyConstraint(
            ["album_id"], ["albums.id"], name=op.f("person_faces_album_id_fkey"), ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(["face_id"], ["faces.id"], name=op.f("person_faces_face_id_fkey"), ondelete="CASCADE"),
        sa.ForeignKeyConstraint(
            ["person_id"], ["persons.id"], name=op.f("person_faces_person_id_fkey"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("album_id", "face_id", name=op.f("person_faces_pkey")),
    )
    op.create_index(op.f("person_faces_face_id_idx"), "person_faces", ["face_id"], unique=False)
    op.create_index(op.f("person_faces_person_id_idx"), "person_faces", ["person_id"], unique=False)

    # Vectors do not compress: kept outside the row as they are, they are written and read faster.
    op.execute("ALTER TABLE picture_vectors ALTER COLUMN vectors SET STORAGE EXTERNAL")
    op.execute("ALTER TABLE faces ALTER COLUMN vector SET STORAGE EXTERNAL")
    op.execute("ALTER TABLE faces ALTER COLUMN landmarks SET STORAGE EXTERNAL")
    # Everything belongs to this user while authentication is off.
    op.execute("INSERT INTO users (id, username, email) VALUES ('usr_local', 'local', 'local@localhost')")


def downgrade() -> None:
    for table in reversed(TABLES):
        op.drop_table(table)
