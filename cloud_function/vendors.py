"""Google's three services: Vision finds faces, a Gemini image model on Vertex AI edits, Cloud Storage keeps the result.

Their clients are made at the first request that needs them, once in a process, and are safe to share between threads.
"""

from __future__ import annotations

import logging
import os
import threading
import uuid
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import timedelta
from functools import partial
from typing import Any, TypeVar
from urllib.parse import quote

import google.auth
import grpc
import httpx
import requests
from google import genai
from google.api_core import exceptions as api
from google.auth.credentials import Signing
from google.auth.exceptions import GoogleAuthError, TransportError
from google.cloud import storage, vision
from google.cloud.storage.retry import DEFAULT_RETRY
from google.cloud.vision_v1.services.image_annotator.transports import ImageAnnotatorGrpcTransport
from google.genai import types
from google.oauth2.credentials import Credentials

from errors import Deadline, Refusal, malformed, no_credentials, of_status, too_late, unreachable, unsafe
from pictures import Made, read_made
from settings import Settings, is_loopback

log = logging.getLogger("avatar")
T = TypeVar("T")

_VISION, _VERTEX, _STORAGE = "Cloud Vision", "Vertex AI", "Cloud Storage"
_CONNECT_S = 5.0
_CALLS = 32
"""Calls that one process makes at once. A call that outlived its request holds its place until its own timeout."""
_SIGNING_SCOPES = ["https://www.googleapis.com/auth/devstorage.read_write", "https://www.googleapis.com/auth/iam"]
_REFUSALS = frozenset(
    "SAFETY RECITATION LANGUAGE BLOCKLIST PROHIBITED_CONTENT SPII MODEL_ARMOR "
    "IMAGE_SAFETY IMAGE_PROHIBITED_CONTENT IMAGE_RECITATION".split()
)
"""Finish reasons by which the model refuses; the others are failures."""
_RPC_STATUS = {4: 504, 7: 403, 8: 429, 16: 401}
"""HTTP status by google.rpc.Code, for errors inside an answer of Vision."""
_RPC_INVALID_ARGUMENT = 3


class Vendors:
    """Clients of the three services. Every method raises `Refusal`, and takes at most what is left of the deadline."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._clients: dict[str, Any] = {}
        self._lock = threading.Lock()
        self._threads = ThreadPoolExecutor(_CALLS, thread_name_prefix="vendor")
        # Otherwise the library asks for the bucket's description in a thread of its own, to label traces with it.
        os.environ.setdefault("DISABLE_GCS_PYTHON_CLIENT_OTEL_BUCKET_METADATA", "true")

    def count_faces(self, jpeg: bytes, deadline: Deadline) -> int:
        """Count the faces of an image by Vision."""
        return self._call(_VISION, deadline, partial(self._count_faces, jpeg))

    def edit(self, jpeg: bytes, prompt: str, deadline: Deadline) -> Made:
        """Edit an image by the image model."""
        return self._call(_VERTEX, deadline, partial(self._edit, jpeg, prompt))

    def publish(self, made: Made, deadline: Deadline) -> str:
        """Store an image under a name that cannot be guessed; -> its URL."""
        return self._call(_STORAGE, deadline, partial(self._publish, made))

    def _call(self, vendor: str, deadline: Deadline, call: Callable[[float], T]) -> T:
        """Run `call(timeout_s)` in a thread: the SDKs' own timeouts count a packet or a try, not the whole."""

        def translated() -> T:
            with _translated(vendor):
                return call(deadline.left())

        future = self._threads.submit(translated)
        try:
            return future.result(deadline.left())
        except TimeoutError:
            future.cancel()
            raise too_late() from None

    def _count_faces(self, jpeg: bytes, timeout_s: float) -> int:
        client = self._client(_VISION, self._open_vision)
        answer = client.face_detection(
            image=vision.Image(content=jpeg), max_results=self._settings.max_faces, timeout=timeout_s, retry=None
        )
        if code := answer.error.code:
            log.warning("%s refused a picture: code %s", _VISION, code)
            if code == _RPC_INVALID_ARGUMENT:
                raise Refusal(400, f"{_VISION} cannot read the picture.", "corrupt")
            raise of_status(_VISION, _RPC_STATUS.get(code, 502))
        return len(answer.face_annotations)

    def _edit(self, jpeg: bytes, prompt: str, timeout_s: float) -> Made:
        client = self._client(_VERTEX, self._open_vertex)
        answer = client.models.generate_content(
            model=self._settings.model,
            contents=[types.Part.from_bytes(data=jpeg, mime_type="image/jpeg"), prompt],
            config=types.GenerateContentConfig(
                response_modalities=["TEXT", "IMAGE"],
                http_options=types.HttpOptions(timeout=max(1, round(timeout_s * 1000))),
            ),
        )
        if answer.prompt_feedback is not None and answer.prompt_feedback.block_reason is not None:
            raise unsafe()
        candidate = answer.candidates[0]
        if candidate.finish_reason is not None and candidate.finish_reason.name in _REFUSALS:
            raise unsafe()
        for part in candidate.content.parts:
            if part.inline_data is not None and part.inline_data.data:
                return read_made(part.inline_data.data)
        raise malformed(_VERTEX)

    def _publish(self, made: Made, timeout_s: float) -> str:
        client = self._client(_STORAGE, storage.Client)
        blob = client.bucket(self._settings.bucket).blob(f"avatars/{uuid.uuid4().hex}.{made.ending}")
        blob.cache_control = "private, max-age=3600"
        url = self._url(client, blob)  # before the upload: where it cannot be made, nothing is stored
        blob.upload_from_string(
            made.data,
            content_type=made.content_type,
            timeout=(_CONNECT_S, timeout_s),
            retry=DEFAULT_RETRY.with_timeout(timeout_s),  # the name is its own, so a second try does no harm
        )
        return url

    def _url(self, client: Any, blob: Any) -> str:
        if self._settings.urls == "public":
            base = self._settings.public_base_url or f"{client.api_endpoint}/{self._settings.bucket}"
            return f"{base}/{quote(blob.name)}"
        return str(
            blob.generate_signed_url(
                version="v4",
                expiration=timedelta(seconds=self._settings.url_ttl_s),
                api_access_endpoint=client.api_endpoint,
                **self._signer(),
            )
        )

    def _signer(self) -> dict[str, Any]:
        """Choose the signer of URLs: a key file signs here; a service account of the machine has IAM sign, with a
        token."""
        credentials = self._client("signer", partial(google.auth.default, scopes=_SIGNING_SCOPES))[0]
        if isinstance(credentials, Signing):
            return {"credentials": credentials}
        if getattr(credentials, "service_account_email", None) is None:
            log.warning("AVATAR_URLS=signed needs the credentials of a service account")
            raise no_credentials(_STORAGE)
        if not credentials.valid:
            credentials.refresh(google.auth.transport.requests.Request())
        return {"service_account_email": credentials.service_account_email, "access_token": credentials.token}

    def _client(self, name: str, make: Callable[[], Any]) -> Any:
        with self._lock:
            if name not in self._clients:
                self._clients[name] = make()
            return self._clients[name]

    def _open_vision(self) -> vision.ImageAnnotatorClient:
        endpoint = self._settings.vision_endpoint
        if endpoint is not None and is_loopback(endpoint):
            transport = ImageAnnotatorGrpcTransport(channel=grpc.insecure_channel(endpoint))
            return vision.ImageAnnotatorClient(transport=transport)
        return vision.ImageAnnotatorClient(client_options={"api_endpoint": endpoint} if endpoint else None)

    def _open_vertex(self) -> genai.Client:
        base_url = self._settings.vertex_base_url
        local = base_url is not None and is_loopback(base_url)
        return genai.Client(
            vertexai=True,
            project=self._settings.project,
            location=self._settings.location,
            # No token of ours goes to a stand-in.
            credentials=Credentials("none") if local else None,  # type: ignore[no-untyped-call]
            http_options=types.HttpOptions(base_url=base_url, httpx_client=httpx.Client()),
        )


@contextmanager
def _translated(vendor: str) -> Iterator[None]:
    """Turn the SDKs' errors into refusals that name neither hosts nor keys; the log has the rest."""
    try:
        yield
    except Refusal:
        raise
    except (httpx.TimeoutException, requests.Timeout, api.RetryError, TimeoutError):
        raise too_late() from None
    except (api.GoogleAPICallError, genai.errors.APIError) as error:
        log.warning("%s answered %s: %s", vendor, error.code, error.message)
        raise of_status(vendor, int(error.code or 0)) from error
    except (TransportError, httpx.HTTPError, requests.RequestException) as error:
        log.warning("%s cannot be reached: %s", vendor, type(error).__name__)
        raise unreachable(vendor) from error
    except GoogleAuthError as error:
        log.warning("no credentials for %s: %s", vendor, type(error).__name__)
        raise no_credentials(vendor) from error
    except (ValueError, TypeError, LookupError, AttributeError) as error:  # an SDK, over an answer of another shape
        log.warning("%s sent an answer that makes no sense: %s", vendor, type(error).__name__)
        raise malformed(vendor) from error
