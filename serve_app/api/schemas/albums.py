"""Bodies of requests for embeddings and analyses. Field names are fixed by the HTTP contract."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import AfterValidator, ConfigDict, Field, StringConstraints, model_validator

from deployments.contracts.albums import DuplicateLevel
from serve_app.api.schemas.common import AlbumId, Body, ImageRef, Label
from serve_app.services.albums.duplicate_decisions import MERGED, Merged
from serve_app.services.images.references import EXAMPLE_REF


class EmbeddingsRequest(Body):
    model_config = ConfigDict(json_schema_extra={"example": {"images": [EXAMPLE_REF], "album_id": "summer"}})

    images: list[ImageRef] = Field(min_length=1)
    album_id: AlbumId | None = None


Title = Annotated[
    str, StringConstraints(strip_whitespace=True, min_length=1, max_length=200, pattern=r"^[^\x00-\x1f\x7f]+$")
]


def _no_id_of_ours(album_id: str) -> str:
    if album_id.startswith("alb_"):
        raise ValueError("what begins with `alb_` is an id that the server gives")
    return album_id


class NewAlbum(Body):
    model_config = ConfigDict(json_schema_extra={"example": {"album_id": "summer", "title": "Summer at the sea"}})

    album_id: Annotated[AlbumId, AfterValidator(_no_id_of_ours)] | None = Field(
        None, description="your name for it in paths, which does not begin with `alb_`; left out: an id of ours"
    )
    title: Title | None = Field(None, description="what people read in place of `album_id`")


class AlbumPatch(Body):
    model_config = ConfigDict(json_schema_extra={"example": {"title": "Summer at the sea"}})

    title: Title | None = Field(description="null: none")


class ImageRefs(Body):
    model_config = ConfigDict(json_schema_extra={"example": {"images": [EXAMPLE_REF]}})

    images: list[ImageRef] = Field(min_length=1)


class AnalysisRequest(Body):
    """Either the images themselves or an album that was embedded before."""

    images: list[ImageRef] | None = Field(None, min_length=1)
    album_id: AlbumId | None = None

    @model_validator(mode="after")
    def _one_of_two(self) -> AnalysisRequest:
        if (self.images is None) == (self.album_id is None):
            raise ValueError("give either `images` or `album_id`")
        return self


class TagsRequest(AnalysisRequest):
    model_config = ConfigDict(json_schema_extra={"example": {"album_id": "summer", "top_k": 5}})

    labels: list[Label] | None = Field(None, min_length=1, max_length=200, description="your own vocabulary")
    top_k: int | None = Field(None, ge=1, le=100, description="at most so many tags an image")
    threshold: float | None = Field(None, ge=0, le=1, description="least probability of a tag")


class DuplicatesRequest(AnalysisRequest):
    model_config = ConfigDict(json_schema_extra={"example": {"album_id": "summer", "level": "copy"}})

    level: DuplicateLevel = Field(
        "copy",
        description="exact: same bytes or same pixels. copy: edited copies too. similar: shots of one moment too",
    )


_ImageId = Annotated[str, StringConstraints(pattern="^img_[0-9a-z]{1,64}$")]


class ResolveRequest(Body):
    model_config = ConfigDict(
        json_schema_extra={
            "example": {"keep": ["img_01m80cw92wytpj416mh8yyxn5m"], "trash": ["img_01m80cx3q0b8yh2k7m1f4nd9ra"]}
        }
    )

    keep: list[_ImageId] = Field(min_length=1, max_length=1000, description="with `trash` all members of the group")
    trash: list[_ImageId] = Field(min_length=1, max_length=1000)
    merge: list[Merged] = Field(list(MERGED), max_length=3, description="what the kept take over from those that go")


class ResolveAllRequest(Body):
    model_config = ConfigDict(json_schema_extra={"example": {"level": "exact", "dry_run": True}})

    level: DuplicateLevel | None = Field(
        "exact", description="of the search whose groups are resolved; null: the latest one"
    )
    only: DuplicateLevel | None = Field(None, description="of its groups those of this level alone; null: all")
    rule: Literal["suggested"] = Field("suggested", description="keep of each group what the search suggests")
    dry_run: bool = Field(False, description="tell what would be done, and do nothing")
    plan: str | None = Field(
        None, pattern="^[0-9a-f]{32}$", description="of a dry run: do just that, or nothing where groups have changed"
    )
    merge: list[Merged] = Field(list(MERGED), max_length=3, description="what the kept take over from those that go")


class ClustersRequest(AnalysisRequest):
    model_config = ConfigDict(json_schema_extra={"example": {"album_id": "summer", "min_images": 2}})

    min_images: int = Field(1, ge=1, le=1_000_000, description="leave out people seen in fewer images")
    bystanders: bool = Field(
        False,
        description="also people seen in one image only and there by chance: far behind, cut off, poor or tiny",
    )


class QualityRequest(AnalysisRequest):
    model_config = ConfigDict(json_schema_extra={"example": {"album_id": "summer"}})


class TextsRequest(AnalysisRequest):
    model_config = ConfigDict(json_schema_extra={"example": {"album_id": "papers", "min_score": 0.8}})

    min_score: float | None = Field(
        None, ge=0.5, le=1, description="least `text_score` of a line; default: a setting of the server"
    )
    likely_only: bool = Field(
        False, description="only images that look as if something were written there, as analyses in the background do"
    )
