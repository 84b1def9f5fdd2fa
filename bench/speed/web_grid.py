"""Scrolling in the web app with many pictures against few: `python -m bench.speed.web_grid [--sizes 500 10000]`.

It needs Chromium (Debian's package `chromium`). Two servers have libraries of so many pictures of twenty contents;
both are scrolled to the end, so that all pictures are known to the page, and then by screens in turn. Times are those
of the page's main thread, as Chromium counts them.
"""

from __future__ import annotations

import argparse
import asyncio
import statistics
import tempfile
from contextlib import AsyncExitStack
from pathlib import Path

from playwright.async_api import Page

from bench.report import Report
from serve_app.store import migrate
from serve_app.store.embedded.server import ensure_running
from tests.support.app_process import a_server
from tests.support.large_library import fill_library
from tests.support.scrolling import Cost, open_library, scroll, scroll_to_the_end
from tests.support.visits import a_visit, chromium

_ROUNDS = 15
_SCREENS = 20
_FEW_TILES = 300


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sizes", type=int, nargs=2, default=[500, 10_000])
    few, many = parser.parse_args().sizes
    costs = asyncio.run(_measure(few, many))
    report = Report("web_grid")
    medians = {}
    for size in (few, many):
        scripts, whole = ([getattr(one, name) for one in costs[size]] for name in ("script_ms", "whole_ms"))
        medians[size] = statistics.median(scripts), statistics.median(whole)
        report.add(f"{size} pictures: scripts of a screen", medians[size][0], "ms")
        report.add("  all of a screen", medians[size][1], "ms")
        tiles = max(one.most_tiles for one in costs[size])
        report.add("  most tiles", tiles, "", target=_FEW_TILES, at_most=True)
    report.add(f"scripts with {many} of with {few}", medians[many][0] / medians[few][0], "")
    report.add(f"all with {many} of with {few}", medians[many][1] / medians[few][1], "", target=1.2, at_most=True)
    report.finish()


async def _measure(*sizes: int) -> dict[int, list[Cost]]:
    """Measure each size in each round. -> size -> costs"""
    async with AsyncExitStack() as opened:
        folder = Path(opened.enter_context(tempfile.TemporaryDirectory(prefix="darkroom-")))
        postgres = opened.enter_context(ensure_running(folder))
        await migrate.upgrade(postgres.dsn)
        browser = await opened.enter_async_context(chromium())
        pages: dict[int, Page] = {}
        for size in sizes:
            server = await opened.enter_async_context(a_server(postgres.dsn, folder / str(size)))
            await fill_library(server, size)
            visit = await opened.enter_async_context(a_visit(browser, server.url))
            pages[size] = await visit.context.new_page()
            await open_library(pages[size], server.url)
            await scroll_to_the_end(pages[size])
        costs: dict[int, list[Cost]] = {size: [] for size in sizes}
        for number in range(_ROUNDS + 1):
            for size, page in pages.items():
                await page.bring_to_front()
                cost = await scroll(page, _SCREENS)
                if number:  # the first is a rehearsal
                    costs[size].append(cost)
        return costs


if __name__ == "__main__":
    main()
