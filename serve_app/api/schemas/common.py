"""Types that several schemas share."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

ImageRef = Annotated[str, StringConstraints(min_length=1, max_length=8192)]


AlbumId = Annotated[str, StringConstraints(min_length=1, max_length=200, pattern=r"^[^\x00-\x1f\x7f]+$")]


Label = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=100, pattern=r"^[^\x00]+$")]


StyleName = Annotated[str, StringConstraints(min_length=1, max_length=100, pattern=r"^[^\x00]+$")]


Prompt = Annotated[str, StringConstraints(max_length=4000, pattern=r"^[^\x00]*$")]


EXAMPLE_REF = "http://127.0.0.1:8000/api/v1/files/img_0198c3f2a1b27c3d.jpg"


class Body(BaseModel):
    """A request body: an unknown field is a mistake worth telling."""

    model_config = ConfigDict(extra="forbid")


class Failed(BaseModel):
    """A picture that could not be used, and why."""

    image: str
    code: str = Field(examples=["fetch_failed"])
    detail: str
