"""The web app: its one page for browsers that open `/`, and the files that this loads.

The bundle is small and read once, so that no path of a request is ever a path of a file. Its sources are in `web/`.
"""

from __future__ import annotations

import hashlib
import mimetypes
import re
from base64 import b64encode
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from fastapi import APIRouter, Request
from fastapi.responses import RedirectResponse, Response

from deployments.errors import NotFound
from serve_app.api.files import is_known

router = APIRouter(include_in_schema=False)

FOLDER = Path(__file__).parent.parent / "web"
"""Where `make web` puts what it builds."""
ASSETS = "/app/"
"""Path of the files of the page; most are named by their content."""
_PAGE = "index.html"
_HASHED = "app/immutable/"
_INLINE_SCRIPT = re.compile(rb"<script[^>]*>(.*?)</script>", re.DOTALL)
_TYPES = {".js": "text/javascript", ".css": "text/css", ".html": "text/html", ".json": "application/json"}


@dataclass(frozen=True, slots=True)
class BundledFile:
    """A file of the bundle, with the headers of its answer."""

    content: bytes
    tag: str
    headers: Mapping[str, str]

    def answer(self, request: Request) -> Response:
        """Answer with the file, or 304 where the browser has it."""
        if is_known(request, self.tag):
            return Response(None, 304, self.headers)
        return Response(self.content, 200, self.headers)


@router.get("/")
async def open_app(request: Request) -> Response:
    """Show the app to a browser, and lead whoever else opens the server's address to the documentation."""
    page = load_bundle(FOLDER).get(_PAGE)
    if page is None or "text/html" not in request.headers.get("accept", ""):
        location = f"{request.scope.get('root_path', '')}/docs"
        return RedirectResponse(location, headers={"Vary": "Accept"})
    return page.answer(request)


@router.get(f"{ASSETS}{{name:path}}")
async def get_asset(name: str, request: Request) -> Response:
    """Read a file that the page loads."""
    file = load_bundle(FOLDER).get(f"{ASSETS.removeprefix('/')}{name}")
    if file is None:
        raise NotFound("The app has no such file.")
    return file.answer(request)


@cache
def load_bundle(folder: Path) -> dict[str, BundledFile]:
    """Read the bundle: path below the folder -> file. Empty where it was not built."""
    files = (path for path in sorted(folder.rglob("*")) if path.is_file())
    return {path.relative_to(folder).as_posix(): _read(path, folder) for path in files}


def _read(path: Path, folder: Path) -> BundledFile:
    content, name = path.read_bytes(), path.relative_to(folder).as_posix()
    kind = _TYPES.get(path.suffix) or mimetypes.guess_type(path.name)[0] or "application/octet-stream"
    is_hashed = name.startswith(_HASHED)
    tag = hashlib.sha256(content).hexdigest()[:32]
    headers = {
        "Content-Type": f"{kind}; charset=utf-8" if kind.startswith("text/") else kind,
        "ETag": f'"{tag}"',
        "Cache-Control": "public, max-age=31536000, immutable" if is_hashed else "no-cache",
        "X-Content-Type-Options": "nosniff",
        "Referrer-Policy": "no-referrer",
    }
    if name == _PAGE:
        headers |= {"Content-Security-Policy": _policy(content), "X-Frame-Options": "DENY", "Vary": "Accept"}
    return BundledFile(content, tag, headers)


def _policy(page: bytes) -> str:
    """Make the policy of the page: everything from this server, and of inline scripts just those that it has.

    Framework and grid place elements by `style`, which can load nothing here.
    """
    scripts = (hashlib.sha256(script).digest() for script in _INLINE_SCRIPT.findall(page) if script)
    hashes = " ".join(f"'sha256-{b64encode(digest).decode()}'" for digest in scripts)
    return "; ".join(
        (
            "default-src 'none'",
            f"script-src 'self' {hashes}".rstrip(),
            "style-src 'self'",
            "style-src-attr 'unsafe-inline'",
            "img-src 'self' blob: data:",
            "connect-src 'self'",
            "base-uri 'none'",
            "form-action 'self'",
            "frame-ancestors 'none'",
        )
    )
