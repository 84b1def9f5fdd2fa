"""What the measurement of a generation's whole path makes of what it has seen."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest

from bench import report as reports
from bench.report import Report
from bench.speed.generation import ENGINE, HTTP, STOCK, Taken, _note, _tell


def test_every_seed_is_drawn_once_and_as_many_at_a_time_as_asked() -> None:
    running = most = 0
    drawn: list[int] = []

    async def draw(seed: int) -> None:
        nonlocal running, most
        running += 1
        most = max(most, running)
        await asyncio.sleep(0)
        running -= 1
        drawn.append(seed)

    taken = Taken()
    asyncio.run(_note(taken, draw, range(7), 3))
    assert (sorted(drawn), most, taken.pictures, len(taken.clock_s)) == (list(range(7)), 3, 7, 1)


def test_the_whole_path_is_told_by_process_and_beside_the_engine(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reports, "OUT", tmp_path)
    report = Report("generation")
    _tell(
        report,
        "one at a time",
        {
            STOCK: Taken(4, [0.1, 0.1], {ENGINE: 0.32}),
            ENGINE: Taken(4, [0.1, 0.2], {ENGINE: 0.4}),
            HTTP: Taken(4, [0.2, 0.3], {"diffusion": 0.5, "database": 0.1, "proxy": 0.2}),
        },
    )
    report.finish()
    found: dict[str, Any] = {
        row["figure"]: row["value"] for row in json.loads((tmp_path / "bench_generation.json").read_text())["figures"]
    }
    assert found["HTTP, processor"] == pytest.approx(200)
    assert found["- database"] == pytest.approx(25)
    assert found["HTTP - engine, processor"] == pytest.approx(100)
    assert found["HTTP / engine, processor"] == pytest.approx(2)
    assert found["HTTP / stock, clock"] == pytest.approx(2.5)
