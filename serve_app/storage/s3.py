"""Object store of S3 and of compatible servers (MinIO, Ceph, R2), through boto3."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import structlog

from configs.settings import StorageOptions
from deployments.errors import NotFound, Unavailable
from serve_app.storage.connections import close_connections
from serve_app.storage.protocols import FirstChunk

log = structlog.get_logger(__name__)

_REFUSALS = frozenset({401, 403})


class S3Store:
    """S3 with the credentials of boto3's own chain: variables, shared files, the role of the machine or pod.

    They need GetObject, PutObject and DeleteObject below the folder, and ListBucket on the bucket: without the last S3
    answers 403 for an object that is not there.
    """

    def __init__(self, options: StorageOptions) -> None:
        """Raises `Unavailable` when boto3 is missing or finds its configuration unusable."""
        try:
            import boto3
            from botocore import exceptions
            from botocore.config import Config
            from botocore.parsers import ResponseParserError
        except ImportError as error:
            raise Unavailable("Storage on S3 needs the package boto3: pip install darkroom") from error
        self._exceptions, self._parser_error = exceptions, ResponseParserError
        self._attempts = options.attempts
        with self._translated():
            session = boto3.session.Session()
            self._client = session.client(
                "s3",
                endpoint_url=options.s3_endpoint_url,
                region_name=options.s3_region,
                config=_config(Config, options),
            )
            self._signer = self._client
            if options.presign_endpoint_url:
                # the same, as clients address it
                self._signer = session.client(
                    "s3",
                    endpoint_url=options.presign_endpoint_url,
                    region_name=self._client.meta.region_name,
                    config=_config(Config, options),
                )

    def open(self, bucket: str, name: str, length: int) -> FirstChunk:
        try:
            response, data = self._get(bucket, name, f"bytes=0-{length - 1}")
        except self._exceptions.ClientError as error:
            if _status(error) == 416:  # an empty object has no first byte
                return FirstChunk(0, b"", "")
            raise  # pragma: no cover (`_get` has translated all others)
        total = response.get("ContentRange", "").rpartition("/")[2]
        return FirstChunk(int(total) if total.isdecimal() else len(data), data, response.get("ETag", ""))

    def read(self, bucket: str, name: str, start: int, stop: int, version: str) -> bytes:
        same = {"IfMatch": version} if version else {}
        return self._get(bucket, name, f"bytes={start}-{stop - 1}", **same)[1]

    def write(self, bucket: str, name: str, source: bytes | Path, content_type: str, cache_control: str) -> None:
        size = len(source) if isinstance(source, bytes) else source.stat().st_size
        with self._translated():
            if self._size(bucket, name) == size:
                return
            with contextlib.ExitStack() as opened:
                body = source if isinstance(source, bytes) else opened.enter_context(source.open("rb"))
                self._client.put_object(
                    Bucket=bucket, Key=name, Body=body, ContentType=content_type, CacheControl=cache_control
                )

    def exists(self, bucket: str, name: str) -> bool:
        """Look for the first byte: the answer to HEAD does not tell a missing object from a missing bucket."""
        try:
            self.open(bucket, name, 1)
        except NotFound:
            return False
        return True

    def remove(self, bucket: str, name: str) -> None:
        with self._translated():
            self._client.delete_object(Bucket=bucket, Key=name)

    def sign(self, bucket: str, name: str, ttl_s: int) -> str:
        with self._translated():
            url: str = self._signer.generate_presigned_url(
                "get_object", Params={"Bucket": bucket, "Key": name}, ExpiresIn=ttl_s
            )
        return url

    def close(self) -> None:
        session = self._client._endpoint.http_session
        close_connections(session._manager, *session._proxy_managers.values())
        self._client.close()
        self._signer.close()

    def _get(self, bucket: str, name: str, content_range: str, **conditions: str) -> tuple[dict[str, Any], bytes]:
        """Get a range and read its body. boto3 repeats requests, but not what breaks off while the body is read."""
        for attempt in range(1, self._attempts + 1):
            with self._translated():
                response: dict[str, Any] = self._client.get_object(
                    Bucket=bucket, Key=name, Range=content_range, **conditions
                )
                try:
                    with contextlib.closing(response["Body"]) as body:
                        return response, body.read()
                except self._broken_off():
                    if attempt == self._attempts:
                        raise
        raise AssertionError("unreachable")

    def _size(self, bucket: str, name: str) -> int | None:
        try:
            return int(self._client.head_object(Bucket=bucket, Key=name)["ContentLength"])
        except self._exceptions.ClientError as error:
            if _status(error) == 404:
                return None
            raise

    def _broken_off(self) -> tuple[type[Exception], ...]:
        known = self._exceptions
        return (known.IncompleteReadError, known.ResponseStreamingError, known.ReadTimeoutError)

    @contextlib.contextmanager
    def _translated(self) -> Iterator[None]:
        """Translate boto3's errors into ours, with messages that name neither hosts nor keys."""
        known = self._exceptions
        try:
            yield
        except known.ClientError as error:
            code, status = str(error.response.get("Error", {}).get("Code", "")), _status(error)
            if status == 416:
                raise
            if code == "NoSuchBucket":
                raise Unavailable("The storage has no such bucket (DARKROOM_STORAGE_URL)") from error
            if status == 404:
                raise NotFound("No such file") from error
            log.warning("storage refused a call", status=status, code=code)
            if status in _REFUSALS:
                raise Unavailable(
                    "The storage refuses this server's AWS credentials, or the bucket does not permit the call "
                    "(DARKROOM_STORAGE_URL)"
                ) from error
            if status == 412:
                raise Unavailable("The file changed while it was read") from error
            raise Unavailable(
                f"The storage answered with status {status} (DARKROOM_STORAGE__S3_ENDPOINT_URL)"
            ) from error
        except (known.NoCredentialsError, known.PartialCredentialsError, known.CredentialRetrievalError) as error:
            raise Unavailable(
                "No AWS credentials were found for the storage: boto3 looks for AWS_ACCESS_KEY_ID, shared files, a role"
            ) from error
        except (known.HTTPClientError, known.ConnectionError, known.IncompleteReadError) as error:
            log.warning("storage out of reach", error=type(error).__name__)
            raise Unavailable("The storage cannot be reached (DARKROOM_STORAGE__S3_ENDPOINT_URL)") from error
        except (known.BotoCoreError, self._parser_error, ValueError) as error:
            log.warning("storage cannot be used", error=type(error).__name__)
            raise Unavailable("The storage cannot be used (DARKROOM_STORAGE__S3_*, AWS_*)") from error


def _config(config: type[Any], options: StorageOptions) -> Any:
    elsewhere = options.s3_endpoint_url is not None
    return config(
        connect_timeout=options.connect_timeout_s,
        read_timeout=options.read_timeout_s,
        retries={"total_max_attempts": options.attempts, "mode": "standard"},
        max_pool_connections=options.concurrency,
        signature_version="s3v4",
        tcp_keepalive=True,
        s3={"addressing_style": "path" if elsewhere else "auto"},
        # The checksums that Amazon takes as trailers of a body are unknown to some others.
        request_checksum_calculation="when_required" if elsewhere else "when_supported",
        response_checksum_validation="when_required" if elsewhere else "when_supported",
    )


def _status(error: Any) -> int:
    return int(error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0))
