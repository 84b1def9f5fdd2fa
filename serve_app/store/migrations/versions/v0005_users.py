"""Unique user names and e-mail addresses whatever the case and width of their letters."""

import unicodedata

import sqlalchemy as sa
from alembic import op
from alembic.util import CommandError

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

_NAMES = ("username", "email")


def upgrade() -> None:
    users = sa.table("users", *(sa.column(name) for name in ("id", *_NAMES, *(f"{one}_folded" for one in _NAMES))))
    for name in _NAMES:
        op.add_column("users", sa.Column(f"{name}_folded", sa.Text(), nullable=True))
    connection = op.get_bind()
    owners: dict[tuple[str, str], str] = {}
    twins: list[str] = []
    for row in connection.execute(sa.select(users.c.id, users.c.username, users.c.email).order_by(users.c.id)).all():
        folded = {f"{name}_folded": _fold(getattr(row, name)) for name in _NAMES}
        connection.execute(sa.update(users).where(users.c.id == row.id).values(folded))
        for item in folded.items():
            if (owner := owners.setdefault(item, row.id)) != row.id:
                twins.append(f"{owner} and {row.id}")
    if twins:
        raise CommandError(f"names or addresses of users differ in case only, rename one of each: {', '.join(twins)}")
    for name in _NAMES:
        op.alter_column("users", f"{name}_folded", nullable=False)
        op.create_unique_constraint(op.f(f"users_{name}_folded_key"), "users", [f"{name}_folded"])
        op.drop_constraint(op.f(f"users_{name}_key"), "users")


def downgrade() -> None:
    for name in _NAMES:
        op.create_unique_constraint(op.f(f"users_{name}_key"), "users", [name])
        op.drop_column("users", f"{name}_folded")


def _fold(text: str) -> str:
    """Fold a name as `repositories.users` did at this revision."""
    return unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", text).casefold())
