"""Contracts of segmentation and avatars: inputs, results and errors. Needs only numpy.

Images are `uint8[H, W, 3]`, RGB, upright. Left and right are the viewer's, in the face turned upright. All capabilities
may raise `errors.DeadlineExceeded`, `errors.Overloaded` and `errors.Unavailable`; each names what else.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, Protocol

import numpy as np

from deployments.contracts.arrays import Gray, Image, Vectors
from deployments.contracts.checks import Checkable

LOCAL_SEGMENTATION = "local"
LOCAL_AVATARS = "local"
"""Avatar and segmentation engines that need no vendor."""
DIFFUSION_AVATARS = "diffusers"
"""The avatar engine that works through a `contracts.diffusion.Diffuser`."""

Point = tuple[float, float]
SegmentTarget = Literal["face", "person"]
AvatarMode = Literal["overlay", "character"]
"""overlay: the person's face with the animal's features. character: the animal's head instead of the person's; body and
background stay."""

REQUIRED_LANDMARKS = (
    "left_eye",
    "right_eye",
    "nose_tip",
    "mouth_left",
    "mouth_right",
    "upper_lip",
    "lower_lip",
    "chin",
    "left_temple",
    "right_temple",
)
"""Named points that every engine gives: centres of the eyes, outer middle of the lips, the bottom of the chin, and the
edges of the face at the height of the eyes, before the ears."""
OPTIONAL_LANDMARKS = (
    "left_eye_outer",
    "left_eye_inner",
    "left_eye_top",
    "left_eye_bottom",
    "right_eye_inner",
    "right_eye_outer",
    "right_eye_top",
    "right_eye_bottom",
    "left_brow",
    "right_brow",
    "nose_bridge",
    "nose_bottom",
    "nose_left",
    "nose_right",
    "left_jaw",
    "right_jaw",
    "forehead",
)
"""Named points that an engine adds where it knows them: corners and lids of the eyes, tops of the brows, the point
between the eyes, base and wings of the nose, angles of the jaw, the middle of the forehead below the hair."""


@dataclass(frozen=True, slots=True)
class SegmentedFace:
    """A face with its landmarks, outline and pose."""

    bbox: tuple[float, float, float, float]
    """Box `(x1, y1, x2, y2)`, pixels of the image; may reach over its border."""
    score: float
    """Detection confidence, 0 to 1."""
    landmarks: dict[str, Point]
    """Points in pixels by name: all of `REQUIRED_LANDMARKS`, any of `OPTIONAL_LANDMARKS`."""
    outline: Vectors
    """Polygon around the face from the forehead to the chin, without hair and ears, `float32[N, 2]`."""
    roll: float
    """Degrees clockwise by which the face is turned in the image, -180 to 180."""
    yaw: float
    """Degrees by which it looks to the viewer's right (its nose lies right of its middle), about -90 to 90."""
    pitch: float
    """Degrees by which it looks down, about -90 to 90; 0 where an engine cannot tell."""


@dataclass(frozen=True, slots=True)
class Segmentation:
    """Faces and people of one image."""

    faces: tuple[SegmentedFace, ...]
    """Faces, the most confident first; empty where none was found."""
    face_mask: Gray
    """Skin of faces, `uint8[H, W]`; 255: skin, 0: anything else, between: its soft edge."""
    person_mask: Gray
    """People with hair, clothes and what they hold, `uint8[H, W]`, as `face_mask`."""
    warnings: tuple[str, ...] = ()
    """Parts of the request that were not fulfilled, in words for the client."""


class Segmenter(Checkable, Protocol):
    """Segmentation capability."""

    async def segment_portrait(self, engine: str, image: Image) -> Segmentation:
        """Find faces and make face and person masks by `engine`: `local`, `vision` or `rekognition`.

        No face is no error here. Raises `InvalidRequest` for an unknown engine, `ProviderUnavailable` (technical: the
        next engine may be tried), `ProviderRejected` (logical).
        """
        ...


@dataclass(frozen=True, slots=True)
class AvatarTask:
    """A portrait whose people are to become animals."""

    image: Image
    animal: str
    """Name of an animal of `deployments/assets/animals` that is known to exist."""
    mode: AvatarMode
    segmentation: Segmentation
    """Segmentation of `image` with the faces that are to be changed, at least one."""
    prompt: str = ""
    """Prompt for image models; drawn engines do without."""
    negative_prompt: str = ""
    strength: float = 1.0
    """Distance from the source image, 0 to 1; for drawn engines the opacity."""
    seed: int = 0


@dataclass(frozen=True, slots=True)
class AvatarPicture:
    """Result of an avatar engine."""

    image: Image
    """The image, as large as the request's. Outside of the heads it equals the source, whichever engine made it."""
    changed: tuple[int, ...]
    """Indices of the request's faces that are animals now."""
    warnings: tuple[str, ...] = ()


class AvatarArtist(Checkable, Protocol):
    """Avatar capability: `local` here, vendors elsewhere. The engine `diffusers` works through a `Diffuser`."""

    async def make_avatar(self, engine: str, request: AvatarTask) -> AvatarPicture:
        """Turn people into animals by `engine`: `local`, `vertex`, `bedrock` or `cloud_function`.

        Raises `InvalidRequest` for an unknown engine or animal, `NoFace` where the engine looks for faces itself and
        finds none, `ProviderUnavailable` (technical), `ProviderRejected` (logical).
        """
        ...


class Portraits(Segmenter, AvatarArtist, Protocol):
    """All capabilities that the use cases of segmentation and avatars need."""


def empty_segmentation(image: Image) -> Segmentation:
    """Make the segmentation of an image without people."""
    nothing = np.zeros(image.shape[:2], np.uint8)
    return Segmentation((), nothing, nothing.copy())
