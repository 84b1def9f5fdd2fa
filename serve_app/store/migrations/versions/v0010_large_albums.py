"""Large albums: counts of their images kept up by the database, pages of images by index, results stored by parts.

Only adds: replicas of the version before keep `analysis_results`, which this one still reads, and the counts are right
whoever writes the images.
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None
compatible_from = "0009"
"""The oldest revision whose code runs on this schema."""

_STATUSES = ("pending", "embedded", "failed")
_COUNTS = ", ".join(f"count(*) FILTER (WHERE status = '{status}') AS {status}" for status in _STATUSES)


def _change(sign: str, table: str) -> str:
    changed = ", ".join(f"{status}_count = {status}_count {sign} {status}" for status in _STATUSES)
    counted = f"SELECT album_id, {_COUNTS} FROM {table} GROUP BY album_id"  # noqa: S608 (our own names)
    return f"UPDATE albums SET {changed} FROM ({counted}) AS counted WHERE albums.id = album_id"  # noqa: S608


_COUNT = f"""
    CREATE FUNCTION count_album_images() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN
        IF TG_OP <> 'INSERT' THEN {_change("-", "removed")}; END IF;
        IF TG_OP <> 'DELETE' THEN {_change("+", "added")}; END IF;
        RETURN NULL;
    END $$
"""
_TRIGGERS = {
    "INSERT": "NEW TABLE AS added",
    "DELETE": "OLD TABLE AS removed",
    "UPDATE": "OLD TABLE AS removed NEW TABLE AS added",
}


def upgrade() -> None:
    for status in _STATUSES:
        op.add_column("albums", sa.Column(f"{status}_count", sa.Integer(), server_default=sa.text("0"), nullable=False))
    # Until the end of the migration nobody adds an image that would be counted twice or not at all.
    op.execute("LOCK TABLE album_images IN SHARE ROW EXCLUSIVE MODE")
    op.execute(_COUNT)
    for event, tables in _TRIGGERS.items():
        op.execute(
            f"CREATE TRIGGER count_{event.lower()} AFTER {event} ON album_images REFERENCING {tables} "
            "FOR EACH STATEMENT EXECUTE FUNCTION count_album_images()"
        )
    op.execute(_change("+", "album_images"))
    op.create_index("album_images_album_id_id_idx", "album_images", ["album_id", "id"])
    op.create_table(
        "results",
        sa.Column("id", sa.BigInteger(), sa.Identity(), nullable=False),
        sa.Column("album_id", sa.Text(collation="C"), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("params_key", sa.Text(), nullable=False),
        sa.Column("album_version", sa.Integer(), nullable=False),
        sa.Column("payload", postgresql.JSON(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.ForeignKeyConstraint(["album_id"], ["albums.id"], name="results_album_id_fkey", ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("id", name="results_pkey"),
        sa.UniqueConstraint("album_id", "kind", "params_key", name="results_album_id_kind_params_key_key"),
    )
    op.create_table(
        "result_parts",
        sa.Column("result_id", sa.BigInteger(), nullable=False),
        sa.Column("section", sa.Text(), nullable=False),
        sa.Column("last_key", sa.Text(collation="C"), nullable=False),
        sa.Column("size", sa.Integer(), nullable=False),
        sa.Column("digest", sa.LargeBinary(), nullable=False),
        sa.Column("entries", postgresql.JSON(), nullable=False),
        sa.ForeignKeyConstraint(["result_id"], ["results.id"], name="result_parts_result_id_fkey", ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("result_id", "section", "last_key", name="result_parts_pkey"),
    )


def downgrade() -> None:
    op.drop_table("result_parts")
    op.drop_table("results")
    op.drop_index("album_images_album_id_id_idx", "album_images")
    for event in _TRIGGERS:
        op.execute(f"DROP TRIGGER count_{event.lower()} ON album_images")
    op.execute("DROP FUNCTION count_album_images")
    for status in _STATUSES:
        op.drop_column("albums", f"{status}_count")
