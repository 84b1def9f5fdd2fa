"""Google Cloud Vision provider: faces with landmarks, over gRPC."""

from __future__ import annotations

import asyncio
from typing import Any

import numpy as np

from configs.settings import Providers
from deployments.contracts.arrays import Image, Vectors
from deployments.contracts.portraits import Point, SegmentedFace
from deployments.errors import ProviderError, ProviderTimeout, ProviderUnavailable
from deployments.providers.landmarks import FoundFace, shape_face
from deployments.providers.policy import (
    check_paid_call,
    error_of_status,
    is_loopback,
    malformed,
    missing_credentials,
    missing_extra,
    preview_within,
    within,
)

_VENDOR = "Cloud Vision"
_CREDENTIALS = "GOOGLE_APPLICATION_CREDENTIALS"
_KEYLESS = "local"
_MAX_FACES = 100
"""Faces in an answer; without a number it returns ten."""
_MAX_PX, _MAX_BYTES = 4096, 7 * 2**20
"""Longest side and bytes of an image; a request may hold 10 MB."""
_NAMES = {
    "LEFT_EYE": "left_eye",
    "RIGHT_EYE": "right_eye",
    "NOSE_TIP": "nose_tip",
    "MOUTH_LEFT": "mouth_left",
    "MOUTH_RIGHT": "mouth_right",
    "UPPER_LIP": "upper_lip",
    "LOWER_LIP": "lower_lip",
    "CHIN_GNATHION": "chin",
    "LEFT_EAR_TRAGION": "left_ear",
    "RIGHT_EAR_TRAGION": "right_ear",
    "LEFT_EYE_LEFT_CORNER": "left_eye_outer",
    "LEFT_EYE_RIGHT_CORNER": "left_eye_inner",
    "LEFT_EYE_TOP_BOUNDARY": "left_eye_top",
    "LEFT_EYE_BOTTOM_BOUNDARY": "left_eye_bottom",
    "RIGHT_EYE_LEFT_CORNER": "right_eye_inner",
    "RIGHT_EYE_RIGHT_CORNER": "right_eye_outer",
    "RIGHT_EYE_TOP_BOUNDARY": "right_eye_top",
    "RIGHT_EYE_BOTTOM_BOUNDARY": "right_eye_bottom",
    "LEFT_EYEBROW_UPPER_MIDPOINT": "left_brow",
    "RIGHT_EYEBROW_UPPER_MIDPOINT": "right_brow",
    "MIDPOINT_BETWEEN_EYES": "nose_bridge",
    "NOSE_BOTTOM_CENTER": "nose_bottom",
    "NOSE_BOTTOM_LEFT": "nose_left",
    "NOSE_BOTTOM_RIGHT": "nose_right",
    "CHIN_LEFT_GONION": "left_jaw",
    "CHIN_RIGHT_GONION": "right_jaw",
}
"""Vision's landmarks by our names. Its left is the viewer's, as ours is."""


class VisionFaces:
    """Face provider over Google Cloud Vision."""

    def __init__(self, settings: Providers, timeout_s: float) -> None:
        """Import the SDK; the client is opened at the first call, in the event loop that gRPC binds it to.

        Raises `ProviderUnavailable` when the SDK is not installed.
        """
        try:
            import google.auth
            import grpc.aio
            from google.api_core import exceptions
            from google.auth.exceptions import GoogleAuthError
            from google.cloud import vision
            from google.cloud.vision_v1.services.image_annotator.transports import ImageAnnotatorGrpcAsyncIOTransport
        except ImportError as error:
            raise missing_extra(_VENDOR, _KEYLESS) from error
        self._default_credentials: Any = google.auth.default
        self._auth_error: type[Exception] = GoogleAuthError
        self._exceptions: Any = exceptions
        self._grpc: Any = grpc
        self._vision: Any = vision
        self._transport: Any = ImageAnnotatorGrpcAsyncIOTransport
        self._settings = settings
        self._timeout_s = timeout_s
        self._address = f"grpc://{settings.vision_endpoint}" if settings.vision_endpoint else None
        self._opening = asyncio.Lock()
        self._client: Any = None

    async def find_faces(self, image: Image) -> list[SegmentedFace]:
        check_paid_call(self._settings, _VENDOR, self._address)
        jpeg, scale = await asyncio.to_thread(preview_within, image, _MAX_PX, _MAX_BYTES)
        try:
            async with within(self._timeout_s, _VENDOR):
                answer = await self._annotate(jpeg)
        except self._exceptions.GoogleAPICallError as error:
            raise self._meaning(error) from error
        except self._auth_error as error:
            raise missing_credentials(_VENDOR, _CREDENTIALS, _KEYLESS) from error
        faces = [shape_face(_found(face, scale), _VENDOR) for face in answer.face_annotations]
        return sorted(faces, key=lambda face: -face.score)

    async def aclose(self) -> None:
        if self._client is not None:
            await self._client.transport.close()

    async def _annotate(self, jpeg: bytes) -> Any:
        vision = self._vision
        request = vision.AnnotateImageRequest(
            image=vision.Image(content=jpeg),
            features=[vision.Feature(type_=vision.Feature.Type.FACE_DETECTION, max_results=_MAX_FACES)],
        )
        async with self._opening:
            if self._client is None:
                self._client = await self._open()
        # Its own retries would last minutes.
        batch = await self._client.batch_annotate_images(requests=[request], retry=None, timeout=self._timeout_s)
        if batch is None or not batch.responses:  # None: what gRPC makes of bytes that are no message
            raise malformed(_VENDOR)
        answer = batch.responses[0]
        if answer.error.code:
            raise self._exceptions.from_grpc_status(answer.error.code, answer.error.message)
        return answer

    async def _open(self) -> Any:
        endpoint = self._settings.vision_endpoint
        if self._address and is_loopback(self._address):
            channel = self._grpc.aio.insecure_channel(endpoint, options=[("grpc.enable_http_proxy", 0)])
            transport = self._transport(channel=channel)
        else:
            credentials, _ = await asyncio.to_thread(self._default_credentials, scopes=self._transport.AUTH_SCOPES)
            named = {"host": endpoint} if endpoint else {}
            transport = self._transport(credentials=credentials, **named)
        return self._vision.ImageAnnotatorAsyncClient(transport=transport)

    def _meaning(self, error: Any) -> ProviderError:
        if isinstance(error, self._exceptions.DeadlineExceeded):
            return ProviderTimeout(f"{_VENDOR} took longer than {self._timeout_s:.3g} s.")
        if isinstance(error, self._exceptions.ServiceUnavailable):
            return ProviderUnavailable(f"{_VENDOR} cannot be reached.")
        if isinstance(error, self._exceptions.FailedPrecondition):
            return ProviderUnavailable(f"{_VENDOR} does not serve this account.")
        return error_of_status(_VENDOR, int(error.code or 500), _CREDENTIALS, _KEYLESS)


def _found(face: Any, scale: float) -> FoundFace:
    """Convert Vision's face: its roll is clockwise and its pan to the viewer's right, as ours are; its tilt is
    upwards."""
    skin = _polygon(face.fd_bounding_poly, scale)
    box = skin if len(skin) else _polygon(face.bounding_poly, scale)
    left, top = box.min(axis=0, initial=np.inf)
    right, bottom = box.max(axis=0, initial=-np.inf)
    points: dict[str, Point] = {}
    for landmark in face.landmarks:
        if landmark.type_.name in _NAMES:
            points[_NAMES[landmark.type_.name]] = (landmark.position.x * scale, landmark.position.y * scale)
    return FoundFace(
        bbox=(float(left), float(top), float(right), float(bottom)),
        score=face.detection_confidence,
        points=points,
        roll=face.roll_angle,
        yaw=face.pan_angle,
        pitch=-face.tilt_angle,
        skin=skin,
    )


def _polygon(poly: Any, scale: float) -> Vectors:
    points = [(vertex.x, vertex.y) for vertex in poly.vertices]
    return np.array(points, np.float32).reshape(-1, 2) * np.float32(scale)
