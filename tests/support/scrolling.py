"""Scrolling through the library of the web app, and what it costs."""

from __future__ import annotations

from dataclasses import dataclass

from playwright.async_api import Page, expect

TILES = "main [role=listitem]"
_TO_THE_END = """async (tiles) => {
  const frame = () => new Promise(requestAnimationFrame);
  let most = 0;
  for (let still = 0; still < 30; ) {
    const before = document.documentElement.scrollHeight;
    scrollTo(0, before);
    await frame();
    await frame();
    most = Math.max(most, document.querySelectorAll(tiles).length);
    const goesOn = document.querySelector('main [role=status]') || document.documentElement.scrollHeight > before;
    still = goesOn ? 0 : still + 1;
  }
  return most;
}"""
"""Scroll down as pictures come, until none has come for thirty times. -> the most tiles that there were at once"""
_BY_SCREENS = """async ([tiles, screens]) => {
  const frame = () => new Promise(requestAnimationFrame);
  let most = 0;
  scrollTo(0, 0);
  await frame();
  for (let done = 0; done < screens; done++) {
    scrollBy(0, innerHeight);
    await frame();
    await frame();
    const shown = [...document.querySelectorAll(`${tiles} img`)].filter((one) => {
      const { top, bottom } = one.getBoundingClientRect();
      return bottom > 0 && top < innerHeight;
    });
    await Promise.all(shown.map((one) => one.decode()));
    most = Math.max(most, document.querySelectorAll(tiles).length);
  }
  return most;
}"""
"""Scroll from the top by so many screens, each with its pictures. -> the most tiles that there were at once"""


@dataclass(frozen=True, slots=True)
class Cost:
    """What a scrolled screen took of the page's main thread, in milliseconds of its processor, and the tiles there."""

    most_tiles: int
    script_ms: float
    whole_ms: float
    """Scripts, styles, layout and painting."""


async def open_library(page: Page, url: str) -> None:
    """Open the library, and wait for its first picture."""
    await page.goto(f"{url}/#/")
    await expect(page.locator(TILES).first).to_be_visible()


async def scroll_to_the_end(page: Page) -> int:
    """Scroll until all pictures have been listed. -> the most tiles in the document at any moment"""
    return int(await page.evaluate(_TO_THE_END, TILES))


async def scroll(page: Page, screens: int) -> Cost:
    """Scroll from the top by so many screens."""
    session = await page.context.new_cdp_session(page)
    await session.send("Performance.enable")

    async def metrics() -> dict[str, float]:
        answer = await session.send("Performance.getMetrics")
        return {one["name"]: one["value"] for one in answer["metrics"]}

    before = await metrics()
    most = int(await page.evaluate(_BY_SCREENS, [TILES, screens]))
    after = await metrics()
    await session.detach()
    script, whole = (1000 * (after[name] - before[name]) / screens for name in ("ScriptDuration", "TaskDuration"))
    return Cost(most, script, whole)
