"""Forms that are read within bounds: what is over one is not kept, in memory or in a file."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import aclosing

from fastapi import Request
from starlette.datastructures import FormData, Headers, UploadFile
from starlette.exceptions import HTTPException
from starlette.formparsers import MultiPartException, MultiPartParser

from configs.settings import Limits
from deployments.errors import PayloadTooLarge


class BoundedForm(MultiPartParser):
    """Parser of a multipart body.

    Of a file it keeps `max_file_bytes` and one byte more, by which whoever reads the file sees that it is too large and
    rejects it alone. Texts have `max_json_bytes` together; above it the body is refused with `PayloadTooLarge`.
    """

    def __init__(
        self,
        headers: Headers,
        stream: AsyncGenerator[bytes, None],
        limits: Limits,
        *,
        max_files: float,
        max_fields: float,
        max_part_size: int,
    ) -> None:
        super().__init__(headers, stream, max_files=max_files, max_fields=max_fields, max_part_size=max_part_size)
        self._limits = limits
        self._room = 0
        """Bytes that are still kept of the present file."""
        self._texts = 0
        """Bytes of all texts."""

    def on_part_begin(self) -> None:
        self._room = self._limits.max_file_bytes + 1
        super().on_part_begin()

    def on_part_data(self, data: bytes, start: int, end: int) -> None:
        is_text = self._current_part.file is None
        if not is_text:
            end = min(end, start + self._room)
            self._room -= end - start
        if end > start:
            super().on_part_data(data, start, end)  # a text that is too long by itself has a complaint of its own
        if is_text:
            self._texts += end - start
            if self._texts > self._limits.max_json_bytes:
                raise PayloadTooLarge(f"The texts of the form have more than {self._limits.max_json_bytes} bytes.")

    async def parse(self) -> FormData:
        """Parse the body. A file that broke off is no part of the form; Starlette leaves it open."""
        form = await super().parse()
        whole = {id(value.file) for _, value in self.items if isinstance(value, UploadFile)}
        for file in self._files_to_close_on_error:
            if id(file) not in whole:
                file.close()
        return form


class BoundedRequest(Request):
    """A request whose form is read by `BoundedForm`."""

    def __init__(self, request: Request, limits: Limits) -> None:
        super().__init__(request.scope, request.receive, request._send)
        self._limits = limits

    async def _get_form(
        self, *, max_files: float = 1000, max_fields: float = 1000, max_part_size: int = 2**20
    ) -> FormData:
        kind = self.headers.get("content-type", "").partition(";")[0].strip().lower()
        if self._form is None and kind == "multipart/form-data":
            bounds = {"max_files": max_files, "max_fields": max_fields}
            try:
                async with aclosing(self.stream()) as stream:
                    parser = BoundedForm(self.headers, stream, self._limits, max_part_size=max_part_size, **bounds)
                    self._form = await parser.parse()
            except MultiPartException as error:
                raise HTTPException(400, error.message) from None
        return await super()._get_form(max_files=max_files, max_fields=max_fields, max_part_size=max_part_size)
