"""Stored files as answers: conditional requests and byte ranges (RFC 9110)."""

from __future__ import annotations

import re
from datetime import UTC
from email.utils import format_datetime

from fastapi import Request
from fastapi.responses import RedirectResponse, Response, StreamingResponse
from starlette.exceptions import HTTPException
from starlette.responses import FileResponse, MalformedRangeHeader, RangeNotSatisfiable

from serve_app.services.images.service import Elsewhere, FileContent

_CHUNK_BYTES = 2**18
_TAG = re.compile(r'(?:W/)?"([^"]*)"')
_FOREVER = "private, max-age=31536000, immutable"


class _LocalFile(FileResponse):
    """A file of this machine. A `Range` that cannot be read is ignored; one outside the file is a problem, 416."""

    chunk_size = _CHUNK_BYTES  # each is a message through Serve

    @classmethod
    def _parse_range_header(cls, http_range: str, file_size: int) -> list[tuple[int, int]]:
        try:
            return super()._parse_range_header(http_range, file_size)
        except MalformedRangeHeader:
            return []
        except RangeNotSatisfiable:
            headers = {"Content-Range": f"bytes */{file_size}"}
            raise HTTPException(416, f"The file has {file_size} bytes; the range is not in it.", headers) from None

    @classmethod
    def one_range(cls, request: Request, size: int, headers: dict[str, str]) -> tuple[int, int] | None:
        """Parse the one range `(start, stop)` that a request wants; None: the whole file, as for several ranges."""
        wanted, same = request.headers.get("range"), request.headers.get("if-range")
        if wanted is None or same not in (None, headers["ETag"], headers["Last-Modified"]):
            return None
        ranges = cls._parse_range_header(wanted, size)
        return ranges[0] if len(ranges) == 1 else None


async def answer_file(request: Request, file: FileContent | Elsewhere) -> Response:
    """Answer with a file, a part of it, 304 where the client has it already, or a redirect to it."""
    headers = {"ETag": f'"{file.tag}"', "Cache-Control": _FOREVER}
    if is_known(request, file.tag):
        return Response(status_code=304, headers=headers)
    if isinstance(file, Elsewhere):
        return RedirectResponse(file.url, 307, {"Cache-Control": f"private, max-age={file.fresh_s}"})
    headers |= {
        # Not the date of the file, which may have come from another user first.
        "Last-Modified": format_datetime(file.created_at.astimezone(UTC), usegmt=True),
        "Content-Security-Policy": "default-src 'none'",
    }
    if file.path is not None:
        return _LocalFile(file.path, headers=headers, media_type=file.content_type)
    part = _LocalFile.one_range(request, file.size, headers)
    start, stop = part or (0, file.size)
    headers |= {"Accept-Ranges": "bytes", "Content-Length": str(stop - start)}
    if part:
        headers["Content-Range"] = f"bytes {start}-{stop - 1}/{file.size}"
    chunks = await file.open(start, stop)
    return StreamingResponse(chunks, 206 if part else 200, headers, file.content_type)


def is_known(request: Request, tag: str) -> bool:
    """Whether `If-None-Match` names the file of this tag, which is without its quotes."""
    sent = ",".join(request.headers.getlist("if-none-match"))
    return sent.strip() == "*" or tag in _TAG.findall(sent)
