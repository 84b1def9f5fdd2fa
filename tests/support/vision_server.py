"""Cloud Vision on the loopback interface: its gRPC service with the published messages, answering as the test says."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import grpc
from google.cloud import vision

SERVICE = "google.cloud.vision.v1.ImageAnnotator"
VisionAnswer = Callable[[vision.BatchAnnotateImagesRequest, grpc.ServicerContext], vision.AnnotateImageResponse | bytes]
_MAX_BYTES = 10 * 2**20
"""Largest request, Google's limit; gRPC's default is less."""


class VisionServer:
    """Server that answers every image of a request alike; `faces()` and its neighbours set the answer."""

    def __init__(self) -> None:
        self.requests: list[vision.BatchAnnotateImagesRequest] = []
        self.endpoint = ""
        self._released = threading.Event()
        self.faces()

    def faces(self, *faces: vision.FaceAnnotation) -> None:
        """Answer with these faces."""
        self._answer: VisionAnswer = lambda request, context: vision.AnnotateImageResponse(face_annotations=faces)

    def refuse(self, code: int, message: str = "") -> None:
        """Answer with an error for the image: a number of google.rpc.Code."""
        error = {"code": code, "message": message}
        self._answer = lambda request, context: vision.AnnotateImageResponse(error=error)

    def fail(self, code: grpc.StatusCode, message: str = "") -> None:
        """Fail the call itself."""

        def answer(
            request: vision.BatchAnnotateImagesRequest, context: grpc.ServicerContext
        ) -> vision.AnnotateImageResponse:
            context.abort(code, message)
            raise AssertionError("abort raises")

        self._answer = answer

    def say_nothing(self) -> None:
        """Answer without a response for the image."""
        self._answer = lambda request, context: None

    def garble(self, message: bytes) -> None:
        """Send these bytes in place of an answer."""
        self._answer = lambda request, context: message

    def hang(self) -> None:
        """Send no answer before the server ends."""

        def answer(
            request: vision.BatchAnnotateImagesRequest, context: grpc.ServicerContext
        ) -> vision.AnnotateImageResponse:
            context.add_callback(self._released.set)  # the client went away
            self._released.wait(20)
            return vision.AnnotateImageResponse()

        self._released.clear()
        self._answer = answer

    @contextmanager
    def serving(self) -> Iterator[VisionServer]:
        handler = grpc.unary_unary_rpc_method_handler(
            self._annotate,
            request_deserializer=vision.BatchAnnotateImagesRequest.deserialize,
            response_serializer=_serialize,
        )
        server = grpc.server(ThreadPoolExecutor(4), options=[("grpc.max_receive_message_length", _MAX_BYTES)])
        generic = grpc.method_handlers_generic_handler(SERVICE, {"BatchAnnotateImages": handler})
        server.add_generic_rpc_handlers((generic,))
        self.endpoint = f"127.0.0.1:{server.add_insecure_port('127.0.0.1:0')}"
        server.start()
        try:
            yield self
        finally:
            self._released.set()
            server.stop(0).wait(20)

    def _annotate(
        self, request: vision.BatchAnnotateImagesRequest, context: grpc.ServicerContext
    ) -> vision.BatchAnnotateImagesResponse | bytes:
        self.requests.append(request)
        answers = [self._answer(request, context) for _ in request.requests]
        if isinstance(answers[0], bytes):
            return answers[0]
        return vision.BatchAnnotateImagesResponse(responses=[answer for answer in answers if answer is not None])


def _serialize(answer: vision.BatchAnnotateImagesResponse | bytes) -> bytes:
    return answer if isinstance(answer, bytes) else bytes(vision.BatchAnnotateImagesResponse.serialize(answer))


def a_face(x: int = 40, y: int = 30, side: int = 60) -> vision.FaceAnnotation:
    corners = [(x, y), (x + side, y), (x + side, y + side), (x, y + side)]
    polygon = vision.BoundingPoly(vertices=[vision.Vertex(x=x, y=y) for x, y in corners])
    return vision.FaceAnnotation(bounding_poly=polygon, fd_bounding_poly=polygon, detection_confidence=0.9)
