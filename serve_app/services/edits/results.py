"""Results of edits, and the styles and animals that there are. Field names are fixed by the HTTP contract."""

from __future__ import annotations

from pydantic import BaseModel, Field

from deployments.contracts.portraits import AvatarMode, SegmentedFace, SegmentTarget
from serve_app.services.jobs.results import FileUrl, JobResult, is_none

Box = tuple[float, float, float, float]


class StyleEntry(BaseModel):
    name: str
    title: str
    description: str
    engines: list[str] = Field(description="tried in this order")


class StyleList(BaseModel):
    styles: list[StyleEntry]


class StyleResult(JobResult):
    image_url: FileUrl
    style_name: str
    engine: str = Field(description="the one that made the image")
    prompt: str
    seed: int
    history_id: str
    warnings: list[str] | None = Field(
        None, exclude_if=is_none, description="what was left out, or done otherwise than asked"
    )


class FaceShape(BaseModel):
    bbox: Box = Field(description="x1, y1, x2, y2 in pixels of the upright original; may reach over its border")
    score: float
    landmarks: dict[str, tuple[float, float]] = Field(
        description="x, y in the same pixels; left and right are the viewer's",
        examples=[{"left_eye": [210.5, 118.0], "right_eye": [254.0, 116.5]}],
    )
    roll: float = Field(description="degrees clockwise")
    yaw: float = Field(description="degrees to the viewer's right")
    pitch: float = Field(description="degrees down")

    @classmethod
    def of(cls, face: SegmentedFace) -> FaceShape:
        """Describe a face that is in pixels of the original, rounded."""
        return cls(
            bbox=_rounded(face.bbox),
            score=round(face.score, 3),
            landmarks={name: (round(x, 1), round(y, 1)) for name, (x, y) in face.landmarks.items()},
            roll=round(face.roll, 1),
            yaw=round(face.yaw, 1),
            pitch=round(face.pitch, 1),
        )


class SegmentationResult(JobResult):
    faces: list[FaceShape] = Field(description="the most confident first")
    target: SegmentTarget
    engine: str = Field(description="the one that found them")
    mask_url: FileUrl = Field(
        description="8-bit PNG of the upright original's size, 255: it; goes by itself after a while"
    )
    cutout_url: FileUrl = Field(description="RGBA PNG of the same size and the same life")
    warnings: list[str] | None = Field(None, exclude_if=is_none)


class AnimalEntry(BaseModel):
    name: str
    title: str
    description: str
    engines: list[str] = Field(description="tried in this order")
    modes: list[AvatarMode]


class AnimalList(BaseModel):
    animals: list[AnimalEntry]


class ChangedFace(BaseModel):
    bbox: Box = Field(description="x1, y1, x2, y2 in pixels of the upright original")
    score: float

    @classmethod
    def of(cls, face: SegmentedFace) -> ChangedFace:
        """Describe a face that is in pixels of the original, rounded."""
        return cls(bbox=_rounded(face.bbox), score=round(face.score, 3))


class AvatarResult(JobResult):
    image_url: FileUrl
    animal: str
    mode: AvatarMode
    engine: str = Field(description="the one that made the image")
    seed: int
    history_id: str
    faces: list[ChangedFace] = Field(description="those that were changed")
    warnings: list[str] | None = Field(
        None, exclude_if=is_none, description="what was left out, or done otherwise than asked"
    )


def _rounded(box: Box) -> Box:
    x1, y1, x2, y2 = box
    return round(x1, 1), round(y1, 1), round(x2, 1), round(y2, 1)
