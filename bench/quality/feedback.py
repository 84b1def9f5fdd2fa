"""What users said of tags and of made images, as figures: `make eval ARGS='--feedback postgresql+asyncpg://...'`.

Of tags that the model gave counts what was said by `POST /feedback` and, where nothing was, what `PATCH /images/{id}`
added or took away. Images are the units of intervals of tags, requests those of styles.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable

from sqlalchemy import text

from bench.quality.figures import Figure, Figures, rate
from serve_app.store.session import Database

_TAGS = text("""
    SELECT image_id, tag, coalesce(feedback.is_right, image_tags.verdict) AS is_right,
        coalesce(feedback.score, image_tags.score) IS NOT NULL AS is_given
    FROM image_tags FULL JOIN feedback USING (image_id, tag)
    WHERE image_id IS NOT NULL AND coalesce(feedback.is_right, image_tags.verdict) IS NOT NULL
""")
_MADE = text("""
    SELECT kind, coalesce(parameters ->> 'style_name', parameters ->> 'animal', '') AS what, engine, is_right
    FROM feedback JOIN generations ON generations.id = history_id
""")


async def measure(database_url: str) -> Figures:
    """Read what users said. -> shares of right answers, and how many tags the model did not give that are right"""
    database = Database(database_url, application_name="darkroom eval")
    try:
        async with database.transaction() as session:
            tags = (await session.execute(_TAGS)).all()
            made = (await session.execute(_MADE)).all()
    finally:
        await database.close()
    given = [row for row in tags if row.is_given]
    figures = {"tags: right": _share((row.image_id, row.is_right) for row in given)}
    for tag in sorted({row.tag for row in given}):
        figures[f"tag {tag}: right"] = _share((row.image_id, row.is_right) for row in given if row.tag == tag)
    figures["tags: missed"] = Figure.exact(sum(row.is_right and not row.is_given for row in tags))
    of_kind = defaultdict(list)
    for place, row in enumerate(made):
        of_kind[f"{row.kind} {row.what} by {row.engine}".replace("  ", " ")].append((str(place), row.is_right))
    return figures | {f"{name}: right": _share(said) for name, said in sorted(of_kind.items())}


def _share(said: Iterable[tuple[str, bool]]) -> Figure:
    """Estimate how many are right. `said`: unit and whether it is right."""
    by_unit: dict[str, list[bool]] = defaultdict(list)
    for unit, is_right in said:
        by_unit[unit].append(is_right)
    return rate([sum(answers) for answers in by_unit.values()], [len(answers) for answers in by_unit.values()])
