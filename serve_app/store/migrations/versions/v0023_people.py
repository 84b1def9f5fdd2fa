"""People of users, who span albums, with the faces that corrections moved and the questions that would help.

Only adds: older versions group the faces of albums as before and know of no people beyond them.
"""

import sqlalchemy as sa
from alembic import op

revision = "0023"
down_revision = "0022"
branch_labels = None
depends_on = None
compatible_from = "0009"
"""Oldest revision whose code runs on this schema (docs/adr/0010)."""

_ID = sa.Text(collation="C")
_TIME = sa.TIMESTAMP(timezone=True)
_NOTE = """
    CREATE FUNCTION note_people() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
        IF TG_OP = 'DELETE' THEN
            PERFORM note_event(OLD.user_id, 'person', OLD.id, NULL, true);
        ELSIF TG_OP = 'INSERT' OR OLD.revision <> NEW.revision THEN
            PERFORM note_event(NEW.user_id, 'person', NEW.id, NULL, NEW.merged_into IS NOT NULL);
        END IF;
        RETURN NULL;
    END $$
"""


def _reference(column: str, table: str, target: str, action: str) -> sa.ForeignKeyConstraint:
    name = op.f(f"{table}_{column}_fkey")
    return sa.ForeignKeyConstraint([column], [target], name=name, ondelete=action)


def upgrade() -> None:
    op.add_column("users", sa.Column("people_revision", sa.BigInteger(), server_default=sa.text("0"), nullable=False))
    op.create_table(
        "people",
        sa.Column("id", _ID, nullable=False),
        sa.Column("user_id", _ID, nullable=False),
        sa.Column("label", sa.Integer(), nullable=False),
        sa.Column("name", sa.Text()),
        sa.Column("hidden", sa.Boolean(), server_default=sa.text("false"), nullable=False),
        sa.Column("birth_date", sa.Date()),
        sa.Column("cover_face_id", sa.BigInteger()),
        sa.Column("size", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("revision", sa.BigInteger(), server_default=sa.text("0"), nullable=False),
        sa.Column("merged_into", _ID),
        sa.Column("updated_at", _TIME, server_default=sa.text("now()"), nullable=False),
        sa.Column("created_at", _TIME, server_default=sa.text("now()"), nullable=False),
        _reference("user_id", "people", "users.id", "CASCADE"),
        _reference("cover_face_id", "people", "faces.id", "SET NULL"),
        _reference("merged_into", "people", "people.id", "CASCADE"),
        sa.PrimaryKeyConstraint("id", name=op.f("people_pkey")),
        sa.UniqueConstraint("user_id", "label", name=op.f("people_user_id_label_key")),
    )
    op.create_index("people_size_idx", "people", ["user_id", sa.text("size DESC"), "id"])
    op.create_table(
        "people_faces",
        sa.Column("user_id", _ID, nullable=False),
        sa.Column("face_id", sa.BigInteger(), nullable=False),
        sa.Column("person_id", _ID),
        _reference("user_id", "people_faces", "users.id", "CASCADE"),
        _reference("face_id", "people_faces", "faces.id", "CASCADE"),
        _reference("person_id", "people_faces", "people.id", "SET NULL"),
        sa.PrimaryKeyConstraint("user_id", "face_id", name=op.f("people_faces_pkey")),
    )
    op.create_table(
        "people_moves",
        sa.Column("action_id", _ID, nullable=False),
        sa.Column("face_id", sa.BigInteger(), nullable=False),
        sa.Column("user_id", _ID, nullable=False),
        sa.Column("from_id", _ID),
        sa.Column("to_id", _ID),
        _reference("face_id", "people_moves", "faces.id", "CASCADE"),
        _reference("user_id", "people_moves", "users.id", "CASCADE"),
        _reference("from_id", "people_moves", "people.id", "SET NULL"),
        _reference("to_id", "people_moves", "people.id", "SET NULL"),
        sa.PrimaryKeyConstraint("action_id", "face_id", name=op.f("people_moves_pkey")),
    )
    op.create_table(
        "people_suggestions",
        sa.Column("user_id", _ID, nullable=False),
        sa.Column("id", _ID, nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("face_id", sa.BigInteger(), nullable=False),
        sa.Column("other_id", sa.BigInteger(), nullable=False),
        sa.Column("likeness", sa.Double(), nullable=False),
        sa.Column("doubt", sa.Double(), nullable=False),
        sa.Column("skipped_at", _TIME),
        _reference("user_id", "people_suggestions", "users.id", "CASCADE"),
        _reference("face_id", "people_suggestions", "faces.id", "CASCADE"),
        _reference("other_id", "people_suggestions", "faces.id", "CASCADE"),
        sa.PrimaryKeyConstraint("user_id", "id", name=op.f("people_suggestions_pkey")),
    )
    for table, columns in (
        ("people", ["merged_into"]),
        ("people", ["cover_face_id"]),
        ("people_faces", ["face_id"]),
        ("people_faces", ["person_id"]),
        ("people_moves", ["face_id"]),
        ("people_moves", ["user_id"]),
        ("people_moves", ["from_id"]),
        ("people_moves", ["to_id"]),
        ("people_suggestions", ["user_id", "doubt"]),
        ("people_suggestions", ["face_id"]),
        ("people_suggestions", ["other_id"]),
    ):
        op.create_index(op.f(f"{table}_{'_'.join(columns)}_idx"), table, columns)
    op.execute(_NOTE)
    op.execute(
        "CREATE TRIGGER note_event AFTER INSERT OR DELETE OR UPDATE OF revision ON people "
        "FOR EACH ROW EXECUTE FUNCTION note_people()"
    )


def downgrade() -> None:
    op.execute("DROP TRIGGER note_event ON people")
    op.execute("DROP FUNCTION note_people")
    for table in ("people_suggestions", "people_moves", "people_faces", "people"):
        op.drop_table(table)
    op.drop_column("users", "people_revision")
