"""Bodies and answers about people and faces."""

from __future__ import annotations

import re
from datetime import UTC, date, datetime, timedelta
from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, StringConstraints, model_validator

from serve_app.api.schemas.common import AlbumId, Body
from serve_app.services.people.decisions import PersonChange
from serve_app.services.people.service import Answer, FaceSort

LONGEST_NAME = 200
PersonId = Annotated[str, StringConstraints(pattern="^per_[0-9a-z]{1,40}$")]
FaceId = Annotated[str, StringConstraints(pattern="^fac_[0-9a-z]{1,40}$")]
PersonName = Annotated[
    str, StringConstraints(strip_whitespace=True, min_length=1, max_length=LONGEST_NAME, pattern=r"^[^\x00-\x1f\x7f]+$")
]
_DATE = re.compile(r"\d{4}-\d\d-\d\d")
PERSON, OTHER = "per_01m80cz1v7d3kx8n4q2b6w9shm", "per_01m80d0r5c1mz6v3n8k4t7x2qa"
FACE = "fac_000000000001v"


def _written(value: object) -> object:
    if not isinstance(value, date) and not (isinstance(value, str) and _DATE.fullmatch(value)):
        raise ValueError("write a date as 2026-03-01")
    return value


def _past(value: date) -> date:
    if not date(1000, 1, 1) <= value <= datetime.now(UTC).date() + timedelta(days=1):
        raise ValueError("a date between the year 1000 and today is needed")
    return value


BirthDate = Annotated[date, BeforeValidator(_written), AfterValidator(_past)]


def _crop_size(size: int) -> int:
    if size not in (128, 256, 512):
        raise ValueError("there are crops of 128, 256 and 512 pixels")
    return size


CropSize = Annotated[int, AfterValidator(_crop_size), Field(json_schema_extra={"enum": [128, 256, 512]})]


class PeopleQuery(Body):
    """Which people."""

    album_id: AlbumId | None = Field(None, description="only who is in this album; counts and cover are of it then")
    named: bool | None = Field(None, description="only those who have a name, or who have none")
    hidden: bool = Field(False, description="those that are hidden, instead of those that are not")
    limit: int = Field(100, ge=1, le=500)
    cursor: str | None = Field(None, max_length=200, description="`next_cursor` of the page before")


class FacesQuery(Body):
    sort: FaceSort = Field("likeness", description="those most like the person first, or the latest photograph")
    limit: int = Field(100, ge=1, le=500)
    cursor: str | None = Field(None, max_length=200, description="`next_cursor` of the page before, in the same order")


class PersonImagesQuery(Body):
    limit: int = Field(100, ge=1, le=500)
    cursor: str | None = Field(None, max_length=200, description="`next_cursor` of the page before")


class CropQuery(Body):
    size: CropSize = Field(256, description="pixels of each side; a small face is not enlarged")
    format: Literal["webp", "jpeg"] = "webp"


class CoverView(BaseModel):
    """The face that a person is shown by."""

    face_id: str = Field(examples=[FACE])
    url: str = Field(description="of a square crop", examples=[f"/api/v1/faces/{FACE}/crop?size=256"])


class PersonView(BaseModel):
    """A person in your images, in whatever albums."""

    id: str = Field(description="stays the same when images come and go", examples=[PERSON])
    name: str | None = Field(examples=["Eva"])
    hidden: bool = Field(examples=[False])
    birth_date: date | None = Field(examples=["1990-05-17"])
    face_count: int
    image_count: int
    cover: CoverView | None = Field(description="null: no face of it is to be seen now")
    updated_at: datetime


class PeopleList(BaseModel):
    items: list[PersonView] = Field(description="those with the most faces first")
    next_cursor: str | None


class ChangedPerson(PersonView):
    correction_id: str | None = Field(
        description="`DELETE /corrections/{id}` takes it back; null: nothing was changed",
        examples=["cor_01m80cw92wytpj416mh8yyxn5m"],
    )


class PersonPatch(Body):
    """What is left out stays as it is; null takes it away."""

    model_config = ConfigDict(json_schema_extra={"example": {"name": "Eva", "birth_date": "1990-05-17"}})

    name: PersonName | None = None
    birth_date: BirthDate | None = Field(None, description="as 2026-03-01")
    cover_face_id: FaceId | None = Field(None, description="a face of the person's; null: the best one")
    hidden: bool = False

    @property
    def change(self) -> PersonChange:
        sent = frozenset(self.model_fields_set)
        return PersonChange(sent, self.name, self.birth_date, self.cover_face_id, self.hidden)


class MergeRequest(Body):
    model_config = ConfigDict(json_schema_extra={"example": {"people": [OTHER]}})

    people: list[PersonId] = Field(min_length=1, max_length=100, description="who is the same person")


class SplitRequest(Body):
    model_config = ConfigDict(json_schema_extra={"example": {"faces": [FACE]}})

    faces: list[FaceId] = Field(min_length=1, max_length=200, description="faces of the person that are another's")


class AssignRequest(Body):
    """Whose the face is: `person_id` names a person, null says nobody, `new` makes one."""

    model_config = ConfigDict(json_schema_extra={"example": {"person_id": PERSON}})

    person_id: PersonId | None = None
    new: bool = False
    name: PersonName | None = Field(None, description="of the new person")

    @model_validator(mode="after")
    def _one_of_them(self) -> AssignRequest:
        if self.new == ("person_id" in self.model_fields_set):
            raise ValueError("give `person_id` (null: nobody) or `new`, and not both")
        if self.name is not None and not self.new:
            raise ValueError("`name` is of a new person; another's is changed by PATCH")
        return self


class RejectRequest(Body):
    model_config = ConfigDict(json_schema_extra={"example": {"person_id": PERSON}})

    person_id: PersonId = Field(description="who it is not")


class AssignedFace(BaseModel):
    """Whose a face is now."""

    person: PersonView | None = Field(description="null: nobody's")
    correction_id: str | None = Field(examples=["cor_01m80cw92wytpj416mh8yyxn5m"])


class FaceView(BaseModel):
    """A face in one of your images."""

    id: str = Field(examples=[FACE])
    image_id: str = Field(description="the latest image that shows it", examples=["img_01m80cw92wytpj416mh8yyxn5m"])
    bbox: tuple[float, float, float, float] = Field(description="x1, y1, x2, y2 in pixels of the upright original")
    score: float
    quality: float
    person_id: str | None = Field(examples=[PERSON])
    crop: str = Field(description="URL of a square crop", examples=[f"/api/v1/faces/{FACE}/crop?size=256"])


class ImageFaceView(FaceView):
    name: str | None = Field(description="of the person; null: not named yet, or nobody's", examples=["Eva"])


class ImageFaceList(BaseModel):
    items: list[ImageFaceView] = Field(description="from left to right; none before the image was in an album")


class PersonFaceView(FaceView):
    likeness: float | None = Field(
        description="cosine to the mean of the person, in the order of `likeness` only", examples=[0.83]
    )


class FaceList(BaseModel):
    items: list[PersonFaceView]
    next_cursor: str | None


class SuggestionView(BaseModel):
    """A question whose answer helps."""

    id: str = Field(examples=["sug_2cf24dba5fb0a30e26e83b2ac5"])
    kind: Literal["same", "is"] = Field(
        description="same: are these two people one? is: is this face this person's?", examples=["same"]
    )
    people: list[str] | None = Field(description="of `same`: the two", examples=[[PERSON, OTHER]])
    faces: list[str] = Field(
        description="of `same`: a face of each; of `is`: the face and one of the person's", examples=[[FACE, FACE]]
    )
    face: str | None = Field(description="of `is`")
    person: str | None = Field(description="of `is`")
    score: float = Field(description="0 to 1, .5 where the rule decides", examples=[0.49])


class SuggestionList(BaseModel):
    items: list[SuggestionView] = Field(description="those first of which the rule is least sure")


class SuggestionAnswer(Body):
    model_config = ConfigDict(json_schema_extra={"example": {"answer": "yes"}})

    answer: Answer


class Answered(BaseModel):
    """What came of an answer."""

    correction_id: str | None = Field(
        description="null: the question was skipped", examples=["cor_01m80cw92wytpj416mh8yyxn5m"]
    )
