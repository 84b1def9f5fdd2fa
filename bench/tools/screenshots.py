"""Pictures of every page of the web app: `make screenshots` writes them to out/screenshots, four to docs/web.jpg.

A server without Ray has the photographs that scikit-image ships and edited copies of some. Each page that the app's
navigation leads to is drawn in both languages and colour schemes, and so are a plan, a person, an album, a picture and
the tags of several.
"""

from __future__ import annotations

import asyncio
import shutil
import sys
import tempfile
from pathlib import Path
from typing import Any

import httpx
import skimage
from PIL import Image
from playwright.async_api import Browser, Error, expect

from bench.gallery.album import album
from bench.report import no_arguments
from serve_app.store import migrate
from serve_app.store.embedded.server import ensure_running
from tests.support.app_process import AppProcess, a_server
from tests.support.builders import encoded
from tests.support.visits import HOW_TO_INSTALL, a_visit, chromium, find_chromium, routes_of

TARGET = Path("out/screenshots")
SHEET = Path("docs/web.jpg")
_FOUR = ("library-en-light", "duplicates-en-light", "styles-of-a-picture-en-light", "avatars-of-a-picture-en-dark")
_SHEET_PX = 800
"""Width of each of the four."""
ALBUM = "Summer"
LANGUAGES, SCHEMES = ("en-US", "ko-KR"), ("light", "dark")
_WINDOW: Any = {"width": 1280, "height": 860}
_STUDIOS = {
    "/styles": {"en-US": "Watercolor", "ko-KR": "수채화"},
    "/avatars": {"en-US": "Fox", "ko-KR": "여우"},
}
_PREVIEWS_MS = 600_000
"""Patience with the previews of all styles."""
_TRIES = 5
"""On a busy machine the browser gives up waiting for a frame of its own page."""
_OTHERS = "brick.png coins.png grass.png gravel.png hubble_deep_field.jpg moon.png page.png retina.jpg".split()
_TWICE = ("retina", "hubble_deep_field")
_THROWN_AWAY = ("brick", "coins", "moon")


def main() -> int:
    no_arguments(__doc__)
    if find_chromium() is None:
        sys.stderr.write(f"{HOW_TO_INSTALL}\n")
        return 1
    shutil.rmtree(TARGET, ignore_errors=True)
    TARGET.mkdir(parents=True)
    asyncio.run(_draw_all())
    _lay_out()
    return 0


def _lay_out() -> None:
    """Lay out the four that the README shows."""
    height = _SHEET_PX * _WINDOW["height"] // _WINDOW["width"]
    sheet = Image.new("RGB", (2 * _SHEET_PX + 8, 2 * height + 8), "#888")
    for place, name in enumerate(_FOUR):
        with Image.open(TARGET / f"{name}.png") as shot:
            small = shot.convert("RGB").resize((_SHEET_PX, height), Image.Resampling.LANCZOS)
        sheet.paste(small, (place % 2 * (_SHEET_PX + 8), place // 2 * (height + 8)))
    sheet.save(SHEET, quality=88)


async def _draw_all() -> None:
    with tempfile.TemporaryDirectory(prefix="darkroom-") as folder, ensure_running(Path(folder)) as postgres:
        await migrate.upgrade(postgres.dsn)
        async with a_server(postgres.dsn, Path(folder, "data"), "real") as server, chromium() as browser:
            await _fill(server)
            for language in LANGUAGES:
                for scheme in SCHEMES:
                    await _draw(browser, server, language, scheme)


async def _fill(server: AppProcess) -> None:
    """Send the photographs, and let them be analysed."""
    folder = Path(skimage.__file__).parent / "data"
    pictures = album() | {name.split(".")[0]: Image.open(folder / name).convert("RGB") for name in _OTHERS}
    files = [("file", (f"{name}.jpg", encoded(picture, quality=92))) for name, picture in pictures.items()]
    # The same pictures in other bytes.
    files += [("file", (f"{name} again.jpg", encoded(pictures[name], quality=92, progressive=True))) for name in _TWICE]
    async with server.client() as client:
        stored = (await _post(client, "images", files=files))["images"]
        body = {"album_id": ALBUM}
        await _post(client, "albums/embeddings", json={**body, "images": [image["url"] for image in stored]})
        await _post(client, "albums/tags", json=body)
        await _post(client, "albums/duplicates", json={**body, "level": "copy"})
        await _post(client, "albums/clusters", json={**body, "min_images": 1, "bystanders": False})
        old = [("file", (f"{name}.jpg", encoded(pictures[name].rotate(180)))) for name in _THROWN_AWAY]
        thrown = (await _post(client, "images", files=old))["images"]
        await _post(client, "images/batch", json={"ids": [image["id"] for image in thrown], "action": "trash"})


async def _post(client: httpx.AsyncClient, path: str, **content: Any) -> dict[str, Any]:
    answer = (await client.post(f"/api/v1/{path}", **content)).raise_for_status()
    return dict(answer.json())


async def _draw(browser: Browser, server: AppProcess, language: str, scheme: str) -> None:
    async with a_visit(browser, server.url, locale=language, color_scheme=scheme, viewport=_WINDOW) as visit:
        page = await visit.open()

        async def shoot(name: str) -> None:
            await page.evaluate("scrollTo(0, 0)")
            await visit.settle(page)
            for tries in range(1, _TRIES + 1):
                try:
                    await page.screenshot(path=TARGET / f"{name}-{language[:2]}-{scheme}.png")
                    return
                except Error:
                    if tries == _TRIES:
                        raise

        for route in await routes_of(page):
            await visit.show(page, route)
            await shoot(route.strip("/") or "library")
        await visit.show(page, "/")
        for place in (0, 1):
            await page.get_by_role("listitem").get_by_role("checkbox").nth(place).check()
        await page.locator("button[aria-expanded=false]").first.click()
        await expect(page.get_by_role("combobox").last).to_be_visible()
        await shoot("tags-of-several")
        for route, made in _STUDIOS.items():
            await visit.show(page, route)
            await page.get_by_role("button", name="astronaut.jpg").click()
            await page.get_by_role("button", name=made[language]).first.click()
            await expect(page.get_by_role("slider").first).to_be_visible()
            things = await page.locator("main li button").count()
            await expect(page.locator("main li button img")).to_have_count(things, timeout=_PREVIEWS_MS)
            await shoot(f"{route.strip('/')}-of-a-picture")
        await visit.show(page, "/duplicates")
        await page.locator("button.all").click()
        await expect(page.get_by_role("dialog")).to_be_visible()
        await shoot("duplicates-at-once")
        await page.keyboard.press("Escape")
        await visit.show(page, "/people")
        await page.get_by_role("main").get_by_role("listitem").get_by_role("link").first.click()
        await expect(page.get_by_role("listitem").get_by_role("img").first).to_be_visible()
        await shoot("person")
        await visit.show(page, "/albums")
        await page.get_by_role("link", name=ALBUM).click()
        await expect(page.get_by_role("listitem").get_by_role("img").first).to_be_visible()
        await shoot("album")
        await page.get_by_role("button", name="astronaut.jpg").click()
        await expect(page.get_by_role("dialog")).to_be_visible()
        await shoot("picture")


if __name__ == "__main__":
    sys.exit(main())
