"""Cloud Vision on the loopback interface: gRPC with the published messages, answered as the test says.

It answers in threads of its own, so that clients in this process and in others may use it.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import grpc
from google.cloud import vision

Answer = Callable[[vision.BatchAnnotateImagesRequest], "vision.BatchAnnotateImagesResponse | bytes"]


class VisionServer:
    def __init__(self) -> None:
        self.requests: list[vision.BatchAnnotateImagesRequest] = []
        self.endpoint = ""
        self.answer: Answer = lambda request: vision.BatchAnnotateImagesResponse()
        """Bytes are sent as they are."""
        self.failure: tuple[grpc.StatusCode, str] | None = None
        self.hangs = False

    def annotates(self, *faces: vision.FaceAnnotation) -> None:
        self._answer_with(vision.AnnotateImageResponse(face_annotations=list(faces)))

    def refuses(self, code: int, message: str) -> None:
        """The call succeeds, and says that it could not do the picture; `code` is one of google.rpc.Code."""
        self._answer_with(vision.AnnotateImageResponse(error={"code": code, "message": message}))

    @contextmanager
    def serving(self) -> Iterator[VisionServer]:
        threads = ThreadPoolExecutor(8)
        server = grpc.server(threads, options=[("grpc.max_receive_message_length", 10 * 2**20)])
        handler = grpc.unary_unary_rpc_method_handler(
            self._annotate,
            request_deserializer=vision.BatchAnnotateImagesRequest.deserialize,
            response_serializer=_serialize,
        )
        methods = {"BatchAnnotateImages": handler}
        server.add_generic_rpc_handlers(
            (grpc.method_handlers_generic_handler("google.cloud.vision.v1.ImageAnnotator", methods),)
        )
        self.endpoint = f"127.0.0.1:{server.add_insecure_port('127.0.0.1:0')}"
        server.start()
        try:
            yield self
        finally:
            server.stop(grace=None).wait(20)
            threads.shutdown()

    def _answer_with(self, one: vision.AnnotateImageResponse) -> None:
        self.answer = lambda request: vision.BatchAnnotateImagesResponse(responses=[one])

    def _annotate(
        self, request: vision.BatchAnnotateImagesRequest, context: grpc.ServicerContext
    ) -> vision.BatchAnnotateImagesResponse | bytes:
        self.requests.append(request)
        ended = threading.Event()
        if self.hangs and context.add_callback(ended.set):  # false where it has ended already
            ended.wait()
        if self.failure:
            context.abort(*self.failure)
        return self.answer(request)


def _serialize(answer: vision.BatchAnnotateImagesResponse | bytes) -> bytes:
    return answer if isinstance(answer, bytes) else bytes(vision.BatchAnnotateImagesResponse.serialize(answer))
