"""Decisions about groups of duplicates, beside the corrections that remember them; tags of users are found."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0025"
down_revision = "0024"
branch_labels = None
depends_on = None
compatible_from = "0009"
"""Oldest revision whose code runs on this schema (docs/adr/0010)."""

_ID = sa.Text(collation="C")
_KINDS = "'must', 'cannot', 'name', 'hide', 'not_duplicate', 'tag'"
_NOTE = """
    CREATE FUNCTION note_duplicate_groups() RETURNS trigger LANGUAGE plpgsql AS $$
    DECLARE changed record;
    BEGIN
        changed := coalesce(NEW, OLD);
        PERFORM note_event(changed.user_id, 'duplicate', changed.id, changed.album_id, false)
            WHERE EXISTS (SELECT FROM albums WHERE id = changed.album_id);
        RETURN NULL;
    END $$
"""


def _allow(kinds: str) -> None:
    op.drop_constraint(op.f("corrections_kind_check"), "corrections")
    op.create_check_constraint(op.f("corrections_kind_check"), "corrections", f"kind IN ({kinds})")


def upgrade() -> None:
    _allow(f"{_KINDS}, 'resolve'")
    op.create_table(
        "duplicate_groups",
        sa.Column("seq", sa.BigInteger(), sa.Identity(), nullable=False),
        sa.Column("album_id", _ID, nullable=False),
        sa.Column("id", _ID, nullable=False),
        sa.Column("user_id", _ID, nullable=False),
        sa.Column("status", sa.Text(), nullable=False),
        sa.Column("action_id", _ID, nullable=False),
        sa.Column("found", postgresql.JSON(), nullable=False),
        sa.Column("created_at", sa.TIMESTAMP(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.CheckConstraint("status IN ('resolved', 'dismissed')", name=op.f("duplicate_groups_status_check")),
        sa.ForeignKeyConstraint(
            ["album_id"], ["albums.id"], name=op.f("duplicate_groups_album_id_fkey"), ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(
            ["user_id"], ["users.id"], name=op.f("duplicate_groups_user_id_fkey"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("album_id", "id", name=op.f("duplicate_groups_pkey")),
    )
    op.create_index(op.f("duplicate_groups_album_id_status_seq_idx"), "duplicate_groups", ["album_id", "status", "seq"])
    op.create_index(op.f("duplicate_groups_action_id_idx"), "duplicate_groups", ["action_id"])
    op.create_index(op.f("duplicate_groups_user_id_idx"), "duplicate_groups", ["user_id"])
    op.create_index("image_tags_own_idx", "image_tags", ["tag", "image_id"], postgresql_where=sa.text("verdict"))
    op.execute(_NOTE)
    op.execute(
        "CREATE TRIGGER note_event AFTER INSERT OR DELETE ON duplicate_groups "
        "FOR EACH ROW EXECUTE FUNCTION note_duplicate_groups()"
    )


def downgrade() -> None:
    op.execute("DROP TRIGGER note_event ON duplicate_groups")
    op.execute("DROP FUNCTION note_duplicate_groups")
    op.drop_table("duplicate_groups")
    op.drop_index("image_tags_own_idx", "image_tags")
    op.execute("DELETE FROM corrections WHERE kind = 'resolve'")
    _allow(_KINDS)
