"""Vendors that find faces, each with a server on this machine whose faces and failures tests choose."""

from __future__ import annotations

from base64 import b64decode
from typing import Any, ClassVar, Protocol

import grpc
from google.cloud import vision

from configs.settings import Providers, SegmentationOptions, Settings
from deployments.providers import FaceProvider, open_face_provider
from tests.support.face_truth import FaceAsSeen, TrueFace, as_rekognition, as_vision
from tests.support.vendor_server import VendorServer
from tests.support.vision_server import VisionServer


class FaceVendor(Protocol):
    engine: str
    credential: str
    """Name in the message about refused credentials."""

    def sees(self, size: tuple[int, int], *faces: FaceAsSeen) -> None: ...

    def fails(self, how: str) -> None:
        """Fail by `quota`, `down`, `broken`, `credentials` or `picture` (refused)."""
        ...

    def hangs(self) -> None: ...

    def garbles(self, how: str) -> None:
        """Garble answers: `empty`, `bytes` (no message at all), `no chin` (a landmark is missing), `nan`, `no box`."""
        ...

    def calls(self) -> list[bytes]:
        """Images that the vendor was sent."""
        ...

    def settings(self) -> dict[str, Any]: ...


GARBLES = ["empty", "bytes", "no chin", "nan", "no box"]
A_FACE = TrueFace((60.0, 40.0), 30.0).told()


class GoogleVision:
    engine, credential = "vision", "GOOGLE_APPLICATION_CREDENTIALS"
    _STATUSES: ClassVar = {
        "quota": grpc.StatusCode.RESOURCE_EXHAUSTED,
        "down": grpc.StatusCode.UNAVAILABLE,
        "broken": grpc.StatusCode.INTERNAL,
        "credentials": grpc.StatusCode.UNAUTHENTICATED,
        "picture": grpc.StatusCode.INVALID_ARGUMENT,
    }

    def __init__(self, server: VisionServer) -> None:
        self._server = server

    def sees(self, size: tuple[int, int], *faces: FaceAsSeen) -> None:
        self._server.faces(*map(as_vision, faces))

    def fails(self, how: str) -> None:
        self._server.fail(self._STATUSES[how], "busy at /secret/path")

    def hangs(self) -> None:
        self._server.hang()

    def garbles(self, how: str) -> None:
        face = as_vision(A_FACE)
        if how == "no chin":
            chin = vision.FaceAnnotation.Landmark.Type.CHIN_GNATHION
            face.landmarks = [landmark for landmark in face.landmarks if landmark.type_ != chin]
        if how == "nan":
            face.landmarks[0].position.x = float("nan")
        if how == "no box":
            face.fd_bounding_poly = face.bounding_poly = vision.BoundingPoly()
        self._server.faces(face)
        if how == "empty":
            self._server.say_nothing()
        if how == "bytes":
            self._server.garble(b"\xff\xff busy")

    def calls(self) -> list[bytes]:
        return [request.requests[0].image.content for request in self._server.requests]

    def settings(self) -> dict[str, Any]:
        return {"vision_endpoint": self._server.endpoint}


class AmazonRekognition:
    engine, credential = "rekognition", "AWS_ACCESS_KEY_ID"
    _ERRORS: ClassVar = {
        "quota": (400, "ThrottlingException"),
        "down": (503, "ServiceUnavailable"),
        "broken": (500, "InternalServerError"),
        "credentials": (400, "UnrecognizedClientException"),
        "picture": (400, "InvalidImageFormatException"),
    }

    def __init__(self, server: VendorServer) -> None:
        self._server = server

    def sees(self, size: tuple[int, int], *faces: FaceAsSeen) -> None:
        self._answers({"FaceDetails": [as_rekognition(face, size) for face in faces]})

    def fails(self, how: str) -> None:
        status, code = self._ERRORS[how]
        body = {"__type": f"com.amazonaws.rekognition#{code}", "Message": "busy at /secret/path", "Code": code}
        self._server.always(status, body, **{"Content-Type": "application/x-amz-json-1.1"})

    def hangs(self) -> None:
        self._server.hang()

    def garbles(self, how: str) -> None:
        face = as_rekognition(A_FACE, (128, 96))
        if how == "no chin":
            face["Landmarks"] = [mark for mark in face["Landmarks"] if mark["Type"] != "chinBottom"]
        if how == "nan":
            face["Landmarks"][0]["X"] = float("nan")
        if how == "no box":
            del face["BoundingBox"]
        self._answers({} if how == "empty" else {"FaceDetails": [face]})
        if how == "bytes":
            self._server.always(body=b"\xff\xff busy")

    def calls(self) -> list[bytes]:
        return [b64decode(request.json["Image"]["Bytes"]) for request in self._server.requests]

    def settings(self) -> dict[str, Any]:
        return {"rekognition_region": "eu-west-1", "rekognition_endpoint_url": self._server.url}

    def _answers(self, answer: dict[str, Any]) -> None:
        self._server.always(json=answer, **{"Content-Type": "application/x-amz-json-1.1"})


def opened(vendor: FaceVendor, timeout_s: float = 10, **settings: Any) -> FaceProvider:
    """Open the vendor's provider as the product does."""
    return open_face_provider(
        vendor.engine,
        Settings(
            providers=Providers(**(vendor.settings() | settings)),
            segmentation=SegmentationOptions(engine_timeout_s=timeout_s),
        ),
    )
