"""Object stores on this machine: moto's S3, an emulator of Google's, and servers that misbehave."""

from __future__ import annotations

import asyncio
import json
import uuid
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import boto3
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from gcp_storage_emulator.server import create_server
from google.auth.credentials import AnonymousCredentials
from google.cloud import storage as google_storage
from moto.server import ThreadedMotoServer

BUCKET = "darkroom-tests"
ACCESS_KEY = "AKIATESTTESTTESTTEST"
ENDPOINT_SETTING = {"s3": "s3_endpoint_url", "gs": "gcs_endpoint_url"}
"""Field of `StorageOptions` with the endpoint, by scheme."""


@contextmanager
def s3_server() -> Iterator[str]:
    """Run moto's S3 with the bucket `BUCKET`. -> its endpoint"""
    server = ThreadedMotoServer("127.0.0.1", 0, verbose=False)
    server.start()
    try:
        endpoint = "http://{}:{}".format(*server.get_host_and_port())
        client = s3_client(endpoint)
        client.create_bucket(Bucket=BUCKET)
        client.close()
        yield endpoint
    finally:
        server.stop()


@contextmanager
def gcs_server() -> Iterator[str]:
    """Run the emulator of Cloud Storage with the bucket `BUCKET`. -> its endpoint"""
    with create_server("127.0.0.1", 0, in_memory=True, default_bucket=BUCKET) as server:
        yield f"http://127.0.0.1:{server._api._httpd.server_port}"


def s3_client(endpoint: str) -> Any:
    return boto3.client(
        "s3", endpoint_url=endpoint, region_name="us-east-1", aws_access_key_id="test", aws_secret_access_key="test"
    )


def gcs_client(endpoint: str) -> google_storage.Client:
    credentials = AnonymousCredentials()
    return google_storage.Client(project=None, credentials=credentials, client_options={"api_endpoint": endpoint})


def isolate_credentials(monkeypatch: pytest.MonkeyPatch) -> None:
    """Set invented keys, and hide those of the account that runs the tests."""
    for variable in ("AWS_PROFILE", "AWS_SESSION_TOKEN", "AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_S3", "AWS_REGION"):
        monkeypatch.delenv(variable, raising=False)
    for variable in ("AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE", "GOOGLE_APPLICATION_CREDENTIALS"):
        monkeypatch.setenv(variable, "/nowhere")
    monkeypatch.delenv("STORAGE_EMULATOR_HOST", raising=False)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", ACCESS_KEY)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret-of-the-tests")


def write_service_account(path: Path) -> None:
    """Write a key file in Google's format, with a key of our own."""
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    pem = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    ).decode()
    account = {
        "type": "service_account",
        "project_id": "tests",
        "private_key_id": uuid.uuid4().hex,
        "private_key": pem,
        "client_email": "darkroom@tests.iam.gserviceaccount.com",
        "client_id": "1",
        "token_uri": "http://127.0.0.1:9/token",
    }
    path.write_text(json.dumps(account))


def http(status: str, body: bytes = b"", *headers: str, length: int | None = None) -> bytes:
    """Make an HTTP answer; with another `length` than its body has, it breaks off."""
    lines = [f"HTTP/1.1 {status}", f"Content-Length: {len(body) if length is None else length}", *headers]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


@dataclass
class Misbehaving:
    """Server that gives its answers in turn, the last one for ever; None: it reads and never answers."""

    endpoint: str
    requests: list[str] = field(default_factory=list)
    connections: int = 0


Answers = Sequence[bytes | None]


@asynccontextmanager
async def misbehaving(answers: Answers | Callable[[str], bytes]) -> AsyncIterator[Misbehaving]:
    """Run a misbehaving server.

    An answer that breaks off ends its connection, others keep it open. Callable answers get the request.
    """
    server: Misbehaving
    left = iter(()) if callable(answers) else iter(answers)
    last: bytes | None = None
    tasks: set[asyncio.Task[None]] = set()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal last
        if task := asyncio.current_task():
            tasks.add(task)
        server.connections += 1
        try:
            while True:
                request = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
                server.requests.append(request)
                answer = answers(request) if callable(answers) else next(left, last)
                last = answer
                if answer is None:
                    await reader.read()
                    return
                writer.write(answer)
                await writer.drain()
                head, _, body = answer.partition(b"\r\n\r\n")
                if f"Content-Length: {len(body)}".encode() not in head:
                    return
        except (ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
            pass
        finally:
            writer.close()
            server.connections -= 1

    listening = await asyncio.start_server(serve, "127.0.0.1", 0)
    server = Misbehaving(f"http://127.0.0.1:{listening.sockets[0].getsockname()[1]}")
    try:
        yield server
    finally:
        listening.close()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks)
        await listening.wait_closed()
