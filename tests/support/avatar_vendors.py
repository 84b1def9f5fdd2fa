"""Vendors that make avatars, each with a server on this machine whose drawings and failures tests choose."""

from __future__ import annotations

import contextlib
import io
from base64 import b64decode, b64encode, urlsafe_b64decode
from dataclasses import dataclass
from typing import Any, ClassVar, Protocol

import google.oauth2.credentials
import numpy as np
from pydantic import SecretStr
from werkzeug.formparser import FormDataParser

from configs.settings import Avatars, Providers, Settings
from deployments.algorithms.images.decoding import decode
from deployments.contracts.arrays import Gray, Image
from deployments.providers import AvatarProvider, open_avatar_provider
from deployments.providers.vertex import VertexArtist
from tests.contract.providers.test_gemini import says
from tests.support.vendor_server import Reply, VendorRequest, VendorServer


@dataclass(frozen=True)
class SentEdit:
    """An edit that a vendor was sent."""

    image: Image
    paint: Gray | None
    """Mask, white where to paint, whichever way round the vendor has it. None: the vendor is sent no mask."""
    words: str


class AvatarVendor(Protocol):
    engine: str
    credential: str
    looks_for_faces: bool

    def draws(self, picture: bytes) -> None:
        """Answer every request with this file."""
        ...

    def fails(self, how: str) -> None:
        """Fail by `quota`, `down`, `broken`, `credentials` or `picture` (refused)."""
        ...

    def filters(self) -> None:
        """Answer as after a safety filter that removed the image."""
        ...

    def garbles(self, body: bytes) -> None: ...

    def sent(self) -> SentEdit: ...

    def open(self, timeout_s: float = 10, **settings: Any) -> AvatarProvider: ...


class _Vendor:
    engine: ClassVar[str]
    statuses: ClassVar[dict[str, tuple[int, Any]]]
    looks_for_faces = False

    def __init__(self, server: VendorServer) -> None:
        self.server = server

    def fails(self, how: str) -> None:
        self.server.always(*self.statuses[how])

    def garbles(self, body: bytes) -> None:
        self.server.always(body=body)

    def known(self) -> dict[str, Any]:
        raise NotImplementedError

    def settings(self, timeout_s: float, settings: dict[str, Any]) -> Settings:
        return Settings(providers=Providers(**(self.known() | settings)), avatars=Avatars(engine_timeout_s=timeout_s))

    def open(self, timeout_s: float = 10, **settings: Any) -> AvatarProvider:
        return open_avatar_provider(self.engine, self.settings(timeout_s, settings))


class _Google(_Vendor):
    engine, credential = "vertex", "GOOGLE_APPLICATION_CREDENTIALS"
    statuses: ClassVar = {
        how: (status, {"error": {"code": status, "message": "busy at /secret/path", "status": name}})
        for how, status, name in [
            ("quota", 429, "RESOURCE_EXHAUSTED"),
            ("down", 503, "UNAVAILABLE"),
            ("broken", 500, "INTERNAL"),
            ("credentials", 401, "UNAUTHENTICATED"),
            ("picture", 400, "INVALID_ARGUMENT"),
        ]
    }
    model: ClassVar[str]

    def known(self) -> dict[str, Any]:
        return {"vertex_project": "album", "vertex_base_url": self.server.url, "vertex_edit_model": self.model}

    def open(self, timeout_s: float = 10, **settings: Any) -> AvatarProvider:
        providers = self.settings(timeout_s, settings).providers
        return VertexArtist(providers, timeout_s, google.oauth2.credentials.Credentials("token-1"))


class Imagen(_Google):
    model = "imagen-3.0-capability-001"

    def draws(self, picture: bytes) -> None:
        made = {"mimeType": "image/png", "bytesBase64Encoded": b64encode(picture).decode()}
        self.server.always(json={"predictions": [made]})

    def filters(self) -> None:
        self.server.always(json={"predictions": [{"raiFilteredReason": "Filtered for violence."}]})

    def sent(self) -> SentEdit:
        [instance] = self.server.requests[0].json["instances"]
        photograph, mask = instance["referenceImages"]
        assert mask["maskImageConfig"]["maskMode"] == "MASK_MODE_USER_PROVIDED"
        pictures = [
            decode(b64decode(image["referenceImage"]["bytesBase64Encoded"]), 4096) for image in (photograph, mask)
        ]
        return SentEdit(pictures[0], pictures[1][..., 0], instance["prompt"])


class GeminiImage(_Google):
    model = "gemini-2.5-flash-image"

    def draws(self, picture: bytes) -> None:
        self.server.always(json=says({"inlineData": {"mimeType": "image/png", "data": b64encode(picture).decode()}}))

    def filters(self) -> None:
        self.server.always(json={"candidates": [{"finishReason": "IMAGE_SAFETY", "index": 0}]})

    def sent(self) -> SentEdit:
        picture, words = self.server.requests[0].json["contents"][0]["parts"]
        return SentEdit(decode(urlsafe_b64decode(picture["inlineData"]["data"]), 4096), None, words["text"])


class _BedrockServer(_Vendor):
    engine, credential = "bedrock", "AWS_ACCESS_KEY_ID"
    statuses: ClassVar = {
        "quota": (429, {"message": "busy at /secret/path", "__type": "ThrottlingException"}),
        "down": (503, {"message": "busy at /secret/path", "__type": "ServiceUnavailableException"}),
        "broken": (500, {"message": "busy at /secret/path", "__type": "InternalServerException"}),
        "credentials": (403, {"message": "no", "__type": "AccessDeniedException"}),
        "picture": (400, {"message": "Malformed input", "__type": "ValidationException"}),
    }
    model: ClassVar[str]

    def fails(self, how: str) -> None:
        status, body = self.statuses[how]
        self.server.always(status, body, **{"x-amzn-ErrorType": body["__type"]})

    def known(self) -> dict[str, Any]:
        region = {"bedrock_region": "us-west-2", "bedrock_endpoint_url": self.server.url}
        return region | {"bedrock_inpaint_model": self.model}


class Stability(_BedrockServer):
    model = "us.stability.stable-image-inpaint-v1:0"

    def draws(self, picture: bytes) -> None:
        self.server.always(json={"seeds": [6], "finish_reasons": [None], "images": [b64encode(picture).decode()]})

    def filters(self) -> None:
        self.server.always(json={"finish_reasons": ["Filter reason: output image"]})

    def sent(self) -> SentEdit:
        body = self.server.requests[0].json
        return SentEdit(
            decode(b64decode(body["image"]), 4096), decode(b64decode(body["mask"]), 4096)[..., 0], body["prompt"]
        )


class NovaCanvas(_BedrockServer):
    model = "amazon.nova-canvas-v1:0"

    def draws(self, picture: bytes) -> None:
        self.server.always(json={"images": [b64encode(picture).decode()]})

    def filters(self) -> None:
        blocked = "All of the generated images have been blocked by our content filters."
        self.server.always(json={"images": [], "error": blocked})

    def sent(self) -> SentEdit:
        body = self.server.requests[0].json
        assert body["taskType"] == "INPAINTING"
        params = body["inPaintingParams"]
        mask = decode(b64decode(params["maskImage"]), 4096)[..., 0]
        return SentEdit(decode(b64decode(params["image"]), 4096), np.asarray(255 - mask), params["text"])


class Deployed(_Vendor):
    engine, credential = "cloud_function", "DARKROOM_PROVIDERS__CLOUD_FUNCTION_TOKEN"
    looks_for_faces = True
    statuses: ClassVar = {
        "quota": (429, {"error": "busy at /secret/path"}),
        "down": (503, {"error": "busy at /secret/path"}),
        "broken": (500, {"error": "busy at /secret/path"}),
        "credentials": (403, {"error": "no"}),
        "picture": (400, {"error": "The file is no picture."}),
    }

    def known(self) -> dict[str, Any]:
        return {"cloud_function_url": f"{self.server.url}/generate", "cloud_function_token": SecretStr("token-1")}

    def draws(self, picture: bytes) -> None:
        self.links(f"{self.server.url}/made.png", Reply(body=picture, headers={"Content-Type": "image/png"}))

    def links(self, link: Any, picture: Reply | str) -> None:
        """Answer with a link, and a fetch of the link with `picture`."""
        self.server.answer = lambda request: Reply(json={"image_url": link}) if request.method == "POST" else picture

    def filters(self) -> None:
        refused = {"error": "The safety filter of the image model refused the picture.", "code": "refused"}
        self.server.always(422, refused)

    def finds_nobody(self) -> None:
        self.server.always(400, {"error": "No faces were found in the picture.", "code": "no-face"})

    def sent(self) -> SentEdit:
        fields, file = self.form(self.server.requests[0])
        assert fields["mode"] in ("character", "overlay")
        return SentEdit(decode(file, 4096), None, fields["animal"])

    @staticmethod
    def form(request: VendorRequest) -> tuple[dict[str, str], bytes]:
        mimetype, _, boundary = request.headers["content-type"].partition("; boundary=")
        _, fields, files = FormDataParser().parse(
            io.BytesIO(request.body), mimetype, len(request.body), {"boundary": boundary}
        )
        with contextlib.closing(files["file"]) as file:
            return dict(fields.items()), file.read()


AVATAR_VENDORS: dict[str, type[Any]] = {
    "imagen": Imagen,
    "gemini": GeminiImage,
    "stability": Stability,
    "nova": NovaCanvas,
    "cloud_function": Deployed,
}
