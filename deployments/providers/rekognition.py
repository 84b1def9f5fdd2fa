"""Amazon Rekognition provider: faces with landmarks."""

from __future__ import annotations

import asyncio
from typing import Any

import cv2
import numpy as np

from configs.settings import Providers
from deployments.contracts.arrays import Image
from deployments.contracts.portraits import Point, SegmentedFace
from deployments.errors import ProviderUnavailable
from deployments.providers.aws import AwsClient
from deployments.providers.landmarks import FoundFace, shape_face
from deployments.providers.policy import SENSELESS, check_paid_call, malformed, preview_within

_VENDOR = "Amazon Rekognition"
_REGION = "DARKROOM_PROVIDERS__REKOGNITION_REGION"
_MIN_PX, _MAX_PX, _MAX_BYTES = 80, 3840, 5 * 2**20
"""Shortest and longest side, and bytes, of an image in a request; the longest side keeps it under 15 megapixels."""
_NAMES = {
    "eyeLeft": "left_eye",
    "eyeRight": "right_eye",
    "nose": "nose_tip",
    "mouthLeft": "mouth_left",
    "mouthRight": "mouth_right",
    "mouthUp": "upper_lip",
    "mouthDown": "lower_lip",
    "chinBottom": "chin",
    "upperJawlineLeft": "left_ear",
    "upperJawlineRight": "right_ear",
    "midJawlineLeft": "left_jaw",
    "midJawlineRight": "right_jaw",
    "leftEyeLeft": "left_eye_outer",
    "leftEyeRight": "left_eye_inner",
    "leftEyeUp": "left_eye_top",
    "leftEyeDown": "left_eye_bottom",
    "rightEyeLeft": "right_eye_inner",
    "rightEyeRight": "right_eye_outer",
    "rightEyeUp": "right_eye_top",
    "rightEyeDown": "right_eye_bottom",
    "leftEyeBrowUp": "left_brow",
    "rightEyeBrowUp": "right_brow",
    "noseLeft": "nose_left",
    "noseRight": "nose_right",
}
"""Rekognition's landmarks by our names. Its left is the viewer's in the upright face, as ours is."""


class RekognitionFaces:
    """Face provider over Amazon Rekognition."""

    def __init__(self, settings: Providers, timeout_s: float) -> None:
        """Open the client. Raises `ProviderUnavailable` without the SDK, a region or credentials."""
        self._settings = settings
        self._aws = AwsClient(
            _VENDOR,
            "rekognition",
            settings.rekognition_region,
            _REGION,
            settings.rekognition_endpoint_url,
            timeout_s,
            keyless="local",
        )

    async def find_faces(self, image: Image) -> list[SegmentedFace]:
        check_paid_call(self._settings, _VENDOR, self._settings.rekognition_endpoint_url)
        jpeg = await asyncio.to_thread(_encode, image)
        answer = await self._aws.call(
            lambda client: client.detect_faces(Image={"Bytes": jpeg}, Attributes=["ALL"])  # the default: five landmarks
        )
        details = answer.get("FaceDetails")
        if not isinstance(details, list):
            raise malformed(_VENDOR)
        height, width = image.shape[:2]
        faces = [shape_face(_found(face, width, height), _VENDOR) for face in details]
        return sorted(faces, key=lambda face: -face.score)

    async def aclose(self) -> None:
        await self._aws.aclose()


def _encode(image: Image) -> bytes:
    """Encode an image at a size that Rekognition takes; places in its answer are shares of width and height, whatever
    the size.

    Raises `ProviderUnavailable` for an image that is too long and thin for it; other engines may take it.
    """
    shortest = min(image.shape[:2])
    if max(image.shape[:2]) * _MIN_PX > shortest * _MAX_PX:
        raise ProviderUnavailable(f"{_VENDOR} takes no picture as long and thin as this one.")
    if shortest < _MIN_PX:
        scale = _MIN_PX / shortest
        size = (np.ceil(image.shape[1] * scale).astype(int), np.ceil(image.shape[0] * scale).astype(int))
        image = np.asarray(cv2.resize(image, size, interpolation=cv2.INTER_CUBIC), np.uint8)
    return preview_within(image, _MAX_PX, _MAX_BYTES)[0]


def _found(face: Any, width: int, height: int) -> FoundFace:
    """Convert Rekognition's face: its roll is clockwise and its yaw to the viewer's right, as ours are; its pitch is
    upwards."""
    try:
        box, pose = face["BoundingBox"], face["Pose"]
        left, top = box["Left"] * width, box["Top"] * height
        points: dict[str, Point] = {
            _NAMES[mark["Type"]]: (mark["X"] * width, mark["Y"] * height)
            for mark in face["Landmarks"]
            if mark["Type"] in _NAMES
        }
        return FoundFace(
            bbox=(left, top, left + box["Width"] * width, top + box["Height"] * height),
            score=face["Confidence"] / 100,
            points=points,
            roll=pose["Roll"],
            yaw=pose["Yaw"],
            pitch=-pose["Pitch"],
        )
    except SENSELESS as error:
        raise malformed(_VENDOR) from error
