"""Routes of images and of what is made of them, one method an operation of the OpenAPI document, of its name."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

from darkroom_client._async.http import AsyncHttp, given
from darkroom_client._async.job import RESPOND_ASYNC, AsyncJob, job_of
from darkroom_client._async.waiting import in_thread
from darkroom_client.files import is_reference, key_of, read_file
from darkroom_client.models import (
    AnimalList,
    AvatarResult,
    ImageDetail,
    SegmentationResult,
    StyleList,
    StyleResult,
    Uploads,
)

File = tuple[str, bytes]
"""A name and the bytes."""
Target = Literal["face", "person"]
Mode = Literal["overlay", "character"]


class AsyncPictureRoutes:
    """Routes of images, styles, avatars and segmentations. An image is a reference, or a file that is sent along."""

    _http: AsyncHttp

    async def upload_images(self, files: Sequence[File]) -> Uploads:
        """Store images. Those that cannot be used are listed under `rejected`, also where all are."""
        parts = [("file", file) for file in files]
        answer = (await self._http.send("POST", "/images", files=parts, accept_rejected=True)).json()
        return Uploads.model_validate({"images": [], "rejected": []} | answer)

    async def get_image(self, image_id: str) -> ImageDetail:
        """Describe a stored image."""
        return await self._http.read(ImageDetail, "GET", f"/images/{image_id}")

    async def delete_image(self, image_id: str) -> None:
        """Delete an image, from the albums it is in too."""
        await self._http.send("DELETE", f"/images/{image_id}")

    async def get_file(self, url: str, *, size: int | None = None, format: str | None = None) -> bytes:
        """Read the bytes of a stored image, or of a thumbnail of it. `url`: as answers name it, or its last part."""
        query = given(size=size, format=format)
        return (await self._http.send("GET", f"/files/{key_of(url)}", params=query, follow_redirects=True)).content

    async def list_styles(self) -> StyleList:
        """List the styles, and the engines that are tried for each."""
        return await self._http.read(StyleList, "GET", "/styles")

    async def make_style(
        self,
        image_url: str,
        style_name: str,
        *,
        prompt: str | None = None,
        negative_prompt: str | None = None,
        strength: float | None = None,
        seed: int | None = None,
        engine: str | None = None,
    ) -> AsyncJob[StyleResult]:
        """Make an image in a style."""
        options = given(prompt=prompt, negative_prompt=negative_prompt, strength=strength, seed=seed, engine=engine)
        body = {"image_url": image_url, "style_name": style_name} | options
        response = await self._http.send("POST", "/style", json=body, headers=RESPOND_ASYNC)
        return job_of(self._http, StyleResult, response)

    async def list_animals(self) -> AnimalList:
        """List the animals, and the engines that are tried for each."""
        return await self._http.read(AnimalList, "GET", "/animals")

    async def make_avatar(
        self,
        picture: str | Path,
        animal: str,
        *,
        mode: Mode | None = None,
        prompt: str | None = None,
        negative_prompt: str | None = None,
        strength: float | None = None,
        seed: int | None = None,
        engine: str | None = None,
    ) -> AsyncJob[AvatarResult]:
        """Make everybody in the image an animal."""
        options = given(
            mode=mode, prompt=prompt, negative_prompt=negative_prompt, strength=strength, seed=seed, engine=engine
        )
        return await self._of_picture(AvatarResult, "/avatars", picture, {"animal": animal} | options)

    async def segment(
        self, picture: str | Path, *, target: Target | None = None, engine: str | None = None
    ) -> AsyncJob[SegmentationResult]:
        """Find faces with their landmarks, and make a mask and a cut-out of the faces or of the people."""
        return await self._of_picture(
            SegmentationResult, "/segmentations", picture, given(target=target, engine=engine)
        )

    async def _of_picture(self, result: Any, path: str, picture: str | Path, fields: dict[str, Any]) -> AsyncJob[Any]:
        """Send a reference as JSON, a file as a form."""
        if is_reference(picture):
            body: dict[str, Any] = {"json": {"image_url": str(picture)} | fields}
        else:
            body = {"files": {"file": await in_thread(read_file, Path(picture))}, "data": fields}
        return job_of(self._http, result, await self._http.send("POST", path, headers=RESPOND_ASYNC, **body))
