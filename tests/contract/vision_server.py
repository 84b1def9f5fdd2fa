"""Cloud Vision on the loopback interface: gRPC with the published messages, answered as the test says."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import grpc.aio
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
        one = vision.AnnotateImageResponse(face_annotations=list(faces))
        self.answer = lambda request: vision.BatchAnnotateImagesResponse(responses=[one])

    @asynccontextmanager
    async def serving(self) -> AsyncIterator[VisionServer]:
        server = grpc.aio.server(options=[("grpc.max_receive_message_length", 10 * 2**20)])
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
        await server.start()
        try:
            yield self
        finally:
            await server.stop(grace=None)

    async def _annotate(self, request: vision.BatchAnnotateImagesRequest, context: Any) -> Any:
        self.requests.append(request)
        if self.hangs:
            await asyncio.Event().wait()
        if self.failure:
            await context.abort(*self.failure)
        return self.answer(request)


def _serialize(answer: vision.BatchAnnotateImagesResponse | bytes) -> bytes:
    return answer if isinstance(answer, bytes) else bytes(vision.BatchAnnotateImagesResponse.serialize(answer))
