"""Object store of Google Cloud Storage, through google-cloud-storage."""

from __future__ import annotations

import contextlib
import io
import itertools
import os
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import structlog

from configs.settings import StorageOptions
from deployments.errors import NotFound, Unavailable
from serve_app.storage.connections import close_connections
from serve_app.storage.protocols import FirstChunk

log = structlog.get_logger(__name__)

_SCOPE = "https://www.googleapis.com/auth/devstorage.read_write"
_SIGNING_SCOPE = "https://www.googleapis.com/auth/iam"
_PASSING = frozenset({408, 429, 500, 502, 503, 504})
_REFUSALS = frozenset({401, 403})


class GcsStore:
    """Google Cloud Storage with the application default credentials.

    They need the role Storage Object User on the bucket. Signed URLs need a service account as well: with its key file
    they are made here, without one (on Google's machines) by a call to IAM, for which the account needs the role
    Service Account Token Creator on itself.
    """

    def __init__(self, options: StorageOptions) -> None:
        """Raises `Unavailable` when the library is missing or no credentials are found."""
        try:
            import google.auth
            import requests
            from google.api_core import exceptions
            from google.api_core.retry import Retry
            from google.auth import exceptions as auth_exceptions
            from google.auth.credentials import AnonymousCredentials
            from google.cloud import storage
            from google.cloud.storage.exceptions import DataCorruption
            from urllib3.exceptions import HTTPError
        except ImportError as error:
            raise Unavailable("Storage on Google Cloud needs the extra: pip install 'darkroom[cloud]'") from error
        # Otherwise the library asks for the bucket's description in a thread of its own, to label traces with it.
        os.environ.setdefault("DISABLE_GCS_PYTHON_CLIENT_OTEL_BUCKET_METADATA", "true")
        self._options = options
        self._auth, self._retry = google.auth, Retry
        self._api_error, self._auth_error = exceptions.GoogleAPIError, auth_exceptions
        self._broken = (requests.RequestException, HTTPError, DataCorruption)
        endpoint = options.gcs_endpoint_url or os.environ.get("STORAGE_EMULATOR_HOST") or None
        emulator = endpoint is not None and not endpoint.startswith("https://")
        with self._translated():
            credentials = AnonymousCredentials() if emulator else google.auth.default(scopes=[_SCOPE])[0]
            self._client = storage.Client(
                project=None,  # we name buckets, and these belong to one already
                credentials=credentials,
                client_options={"api_endpoint": endpoint} if endpoint else None,
            )
        self._adapter = requests.adapters.HTTPAdapter(pool_maxsize=options.concurrency)
        self._client._http.mount("https://", self._adapter)  # Google's own samples do the same
        self._client._http.mount("http://", self._adapter)
        self._signing_credentials: Any = None

    def open(self, bucket: str, name: str, length: int) -> FirstChunk:
        with self._translated():
            blob = self._client.bucket(bucket).get_blob(name, **self._waits())
        if blob is None:
            self._raise_missing(bucket)
        size, version = int(blob.size), str(blob.generation)
        return FirstChunk(size, self.read(bucket, name, 0, min(size, length), version) if size else b"", version)

    def read(self, bucket: str, name: str, start: int, stop: int, version: str) -> bytes:
        with self._translated():
            data: bytes = self._blob(bucket, name).download_as_bytes(
                start=start,
                end=stop - 1,
                raw_download=True,  # as it was stored
                if_generation_match=int(version),
                **self._waits(),
            )
        return data

    def write(self, bucket: str, name: str, source: bytes | Path, content_type: str, cache_control: str) -> None:
        size = len(source) if isinstance(source, bytes) else source.stat().st_size
        with self._translated(), contextlib.ExitStack() as opened:
            present = self._client.bucket(bucket).get_blob(name, **self._waits())
            if present is not None and present.size == size:
                return
            body = io.BytesIO(source) if isinstance(source, bytes) else opened.enter_context(source.open("rb"))
            blob = self._blob(bucket, name)
            blob.cache_control = cache_control
            try:
                blob.upload_from_file(body, rewind=True, size=size, content_type=content_type, **self._waits())
            except self._api_error as error:
                if _status(error) == 404:
                    raise _no_bucket() from error
                raise

    def exists(self, bucket: str, name: str) -> bool:
        with self._translated():
            if self._blob(bucket, name).exists(**self._waits()):
                return True
        with contextlib.suppress(NotFound):
            self._raise_missing(bucket)
        return False

    def remove(self, bucket: str, name: str) -> None:
        try:
            with self._translated():
                self._blob(bucket, name).delete(**self._waits())
        except NotFound:
            with contextlib.suppress(NotFound):
                self._raise_missing(bucket)

    def sign(self, bucket: str, name: str, ttl_s: int) -> str:
        with self._translated():
            url: str = self._blob(bucket, name).generate_signed_url(
                version="v4",
                expiration=timedelta(seconds=ttl_s),
                api_access_endpoint=self._options.presign_endpoint_url or self._client.api_endpoint,
                **self._signer(),
            )
        return url

    def close(self) -> None:
        close_connections(self._adapter.poolmanager, *self._adapter.proxy_manager.values())
        self._client.close()

    def _blob(self, bucket: str, name: str) -> Any:
        return self._client.bucket(bucket).blob(name)

    def _raise_missing(self, bucket: str) -> None:
        """Raise `NotFound` for a missing object, `Unavailable` when it is the bucket that is missing."""
        try:
            with self._translated():
                self._client.get_bucket(bucket, **self._waits())
        except NotFound as error:
            raise _no_bucket() from error
        except Unavailable:
            pass  # reading objects does not imply reading what describes their bucket
        raise NotFound("No such file")

    def _waits(self) -> dict[str, Any]:
        """Timeouts and retries of one call."""
        options = self._options
        tries = itertools.count(1)
        retry = self._retry(
            predicate=lambda error: self._passes(error) and next(tries) < options.attempts,
            initial=0.2,
            maximum=5.0,
            timeout=options.deadline_s,
        )
        return {"timeout": (options.connect_timeout_s, options.read_timeout_s), "retry": retry}

    def _passes(self, error: BaseException) -> bool:
        """Whether the same call may succeed in a moment."""
        return isinstance(error, (*self._broken, self._auth_error.TransportError)) or _status(error) in _PASSING

    def _signer(self) -> dict[str, Any]:
        if self._signing_credentials is None:
            self._signing_credentials = self._auth.default(scopes=[_SCOPE, _SIGNING_SCOPE])[0]
        credentials = self._signing_credentials
        if isinstance(credentials, self._auth.credentials.Signing):
            return {"credentials": credentials}
        account = getattr(credentials, "service_account_email", None)
        if account is None:
            raise Unavailable("Signed URLs need a service account (DARKROOM_STORAGE__URLS=presigned)")
        from google.auth.transport.requests import Request

        if not credentials.valid:
            credentials.refresh(Request())
        return {
            "credentials": credentials,
            "service_account_email": credentials.service_account_email,
            "access_token": credentials.token,
        }

    @contextlib.contextmanager
    def _translated(self) -> Iterator[None]:
        """Translate Google's errors into ours, with messages that name neither hosts nor keys."""
        try:
            yield
        except self._auth_error.TransportError as error:
            raise _unreachable(error) from error
        except self._auth_error.GoogleAuthError as error:
            log.warning("storage credentials cannot be used", error=type(error).__name__)
            raise Unavailable(
                "No usable Google credentials were found for the storage: the library looks for "
                "GOOGLE_APPLICATION_CREDENTIALS, gcloud's own, a service account of the machine"
            ) from error
        except self._api_error as error:
            status = _status(error)
            if status == 404:
                raise NotFound("No such file") from error
            log.warning("storage refused a call", status=status, error=type(error).__name__)
            if status in _REFUSALS:
                raise Unavailable(
                    "The storage refuses this server's Google credentials, or the bucket does not permit the call "
                    "(DARKROOM_STORAGE_URL)"
                ) from error
            if status == 412:
                raise Unavailable("The file changed while it was read") from error
            raise Unavailable(
                f"The storage answered with status {status} (DARKROOM_STORAGE__GCS_ENDPOINT_URL)"
            ) from error
        except self._broken as error:
            raise _unreachable(error) from error


def _unreachable(error: BaseException) -> Unavailable:
    log.warning("storage out of reach", error=type(error).__name__)
    return Unavailable("The storage cannot be reached (DARKROOM_STORAGE__GCS_ENDPOINT_URL)")


def _no_bucket() -> Unavailable:
    return Unavailable("The storage has no such bucket (DARKROOM_STORAGE_URL)")


def _status(error: BaseException) -> int:
    """HTTP status of one of the library's errors; 0 for none."""
    code = getattr(error, "code", None)
    response = getattr(error, "response", None)
    return int(code if isinstance(code, int) else getattr(response, "status_code", None) or 0)
