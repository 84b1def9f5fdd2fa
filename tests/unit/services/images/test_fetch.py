"""Fetching from real servers on this machine: what a hostile or broken one may do, and what it may not reach."""

import asyncio
import datetime
import hashlib
import ipaddress
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from configs.settings import Fetch, Limits
from deployments.errors import ImageError
from serve_app.services.images.fetch import Fetched, Fetcher, resolve
from tests.support.builders import an_image, encoded

PICTURE = encoded(an_image())
PathHandler = Callable[[str, asyncio.StreamWriter], Awaitable[None]]


class FileServer:
    """An HTTP server of a few lines that can misbehave in any way; it remembers what it was asked."""

    def __init__(self, port: int, requests: list[str]) -> None:
        self.port = port
        self.requests = requests

    def url(self, path: str = "/a.jpg", host: str = "pictures.example", scheme: str = "http") -> str:
        return f"{scheme}://{host}:{self.port}{path}"


@asynccontextmanager
async def serving(answer: bytes | PathHandler, tls: ssl.SSLContext | None = None) -> AsyncIterator[FileServer]:
    requests: list[str] = []
    tasks: set[asyncio.Task[None]] = set()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if task := asyncio.current_task():
            tasks.add(task)
        try:
            request = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
            requests.append(request)
            if isinstance(answer, bytes):
                writer.write(answer)
                await writer.drain()
            else:
                await answer(request, writer)
        except (ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
            pass
        finally:
            writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0, ssl=tls)
    try:
        yield FileServer(server.sockets[0].getsockname()[1], requests)
    finally:
        server.close()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def response(body: bytes = PICTURE, status: str = "200 OK", *headers: str, length: int | None = None) -> bytes:
    size = len(body) if length is None else length
    lines = [f"HTTP/1.1 {status}", f"Content-Length: {size}", "Connection: close", *headers]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


def redirect(to: str, status: str = "302 Found") -> bytes:
    return response(b"", status, f"Location: {to}")


@asynccontextmanager
async def fetching(
    names: dict[str, list[str]] | None = None,
    tls: ssl.SSLContext | None = None,
    max_bytes: int = 100_000,
    **settings: object,
) -> AsyncIterator[Fetcher]:
    """A fetcher that may open this machine, and a resolver that knows only the given names."""
    known = {"pictures.example": ["127.0.0.1"], **(names or {})}

    async def resolver(host: str, port: int) -> list[str]:
        if host not in known:
            raise OSError("no such host")
        return known[host]

    options = {"allowed_hosts": ["pictures.example"], "timeout_s": 5.0, **settings}
    limits = Limits(max_file_bytes=max_bytes)
    fetcher = Fetcher(Fetch.model_validate(options), limits, resolver=resolver, ssl_context=tls)
    try:
        yield fetcher
    finally:
        await fetcher.aclose()


async def _code(fetcher: Fetcher, url: str) -> str:
    with pytest.raises(ImageError) as caught:
        await fetcher.fetch(url)
    assert "127.0.0.1" not in caught.value.message
    return caught.value.code


async def test_a_picture_is_fetched_with_its_hash_and_the_type_that_was_claimed() -> None:
    async with (
        serving(response(PICTURE, "200 OK", "Content-Type: Image/JPEG; charset=x")) as server,
        fetching() as fetcher,
    ):
        fetched = await fetcher.fetch(server.url())
    assert fetched == Fetched(PICTURE, hashlib.sha256(PICTURE).hexdigest(), "image/jpeg")


async def test_the_request_names_the_host_and_carries_nothing_of_ours(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    monkeypatch.setenv("ALL_PROXY", "http://127.0.0.1:9")
    async with serving(response()) as server, fetching() as fetcher:
        await fetcher.fetch(server.url("/a.jpg?size=2#part"))
    request = server.requests[0]
    assert request.startswith("GET /a.jpg?size=2 HTTP/1.1\r\n")
    assert f"\r\nHost: pictures.example:{server.port}\r\n" in request
    assert "accept-encoding: identity" in request.lower()
    assert "cookie" not in request.lower()
    assert "authorization" not in request.lower()


async def test_a_chunked_body_of_unknown_length_is_read() -> None:
    body = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n6\r\n world\r\n0\r\n\r\n"
    async with serving(body) as server, fetching() as fetcher:
        assert (await fetcher.fetch(server.url())).data == b"hello world"


async def test_a_private_address_is_refused_without_a_connection() -> None:
    async with serving(response()) as server, fetching({"inner.example": ["127.0.0.1"]}) as fetcher:
        assert await _code(fetcher, server.url(host="inner.example")) == "forbidden_address"
        assert (
            await _code(fetcher, f"http://127.0.0.1:{server.port}/") == "fetch_failed"
        )  # this resolver knows no numbers
    assert server.requests == []


async def test_the_real_resolver_reads_addresses_and_the_guard_refuses_them() -> None:
    fetcher = Fetcher(Fetch(), Limits(), resolver=resolve)
    for url in (
        "http://127.0.0.1:1/",
        "http://localhost:1/",
        "http://[::1]:1/",
        "http://169.254.169.254/latest/meta-data",
    ):
        assert await _code(fetcher, url) == "forbidden_address"
    await fetcher.aclose()


async def test_an_allowed_network_may_be_fetched_from() -> None:
    async with (
        serving(response()) as server,
        fetching({"inner.example": ["127.0.0.1"]}, allowed_networks=["127.0.0.0/8"]) as fetcher,
    ):
        assert (await fetcher.fetch(server.url(host="inner.example"))).data == PICTURE


async def test_a_name_that_changes_its_address_is_connected_to_where_it_was_checked() -> None:
    """DNS rebinding: a second look-up would point into the private network."""
    asked: list[str] = []

    async def resolver(host: str, port: int) -> list[str]:
        asked.append(host)
        return ["127.0.0.1"] if len(asked) == 1 else ["127.0.0.2"]

    settings = Fetch(allowed_networks=("127.0.0.1/32",))
    async with serving(response()) as server:
        fetcher = Fetcher(settings, Limits(), resolver=resolver)
        assert (await fetcher.fetch(server.url())).data == PICTURE
        assert await _code(fetcher, server.url()) == "forbidden_address"
        await fetcher.aclose()
    assert asked == ["pictures.example"] * 2


async def test_the_next_address_is_tried_when_one_is_dead() -> None:
    async with (
        serving(response()) as server,
        fetching({"pictures.example": ["127.0.0.9", "127.0.0.1"]}) as fetcher,
    ):
        assert (await fetcher.fetch(server.url())).data == PICTURE


@pytest.mark.parametrize("status", ["301 Moved", "302 Found", "303 See Other", "307 Temporary", "308 Permanent"])
async def test_redirects_are_followed(status: str) -> None:
    async def answer(request: str, writer: asyncio.StreamWriter) -> None:
        writer.write(redirect("../b.jpg?x", status) if "/dir/a.jpg" in request else response())

    async with serving(answer) as server, fetching() as fetcher:
        assert (await fetcher.fetch(server.url("/dir/a.jpg"))).data == PICTURE
    assert server.requests[1].startswith("GET /b.jpg?x ")


@pytest.mark.parametrize(
    "to",
    [
        "http://169.254.169.254/latest/meta-data/",
        "http://inner.example/",
        "//inner.example/",
        "http://2130706433/",
        "http://user:pass@pictures.example/",
        "file:///etc/passwd",
        "gopher://pictures.example/",
        "http://[",
    ],
)
async def test_a_redirect_is_checked_like_the_first_url(to: str) -> None:
    names = {"inner.example": ["10.0.0.1"], "169.254.169.254": ["169.254.169.254"]}
    async with serving(redirect(to)) as server, fetching(names) as fetcher:
        assert await _code(fetcher, server.url()) == "forbidden_address"
    assert len(server.requests) == 1


@pytest.mark.parametrize("to", ["", "?", "/a.jpg"])
async def test_a_redirect_to_itself_or_to_nothing_ends(to: str) -> None:
    async with serving(redirect(to)) as server, fetching(max_redirects=3) as fetcher:
        assert await _code(fetcher, server.url()) == "fetch_failed"
    assert len(server.requests) <= 4


@pytest.mark.parametrize(
    ("status", "code"),
    [
        ("404 Not Found", "not_found"),
        ("410 Gone", "not_found"),
        ("403 Forbidden", "fetch_failed"),
        ("500 Oops", "fetch_failed"),
        ("204 No Content", "fetch_failed"),
        ("206 Partial Content", "fetch_failed"),
    ],
)
async def test_another_status_is_not_a_picture(status: str, code: str) -> None:
    async with serving(response(b"x", status)) as server, fetching() as fetcher:
        assert await _code(fetcher, server.url()) == code


async def test_an_empty_body_is_empty() -> None:
    async with serving(response(b"")) as server, fetching() as fetcher:
        assert await _code(fetcher, server.url()) == "empty"


async def test_an_announced_size_over_the_limit_is_refused_before_the_body() -> None:
    async with serving(response(b"", length=100_001)) as server, fetching() as fetcher:
        assert await _code(fetcher, server.url()) == "too_large"


async def test_a_body_of_exactly_the_limit_is_taken() -> None:
    async with serving(response(bytes(100_000))) as server, fetching() as fetcher:
        assert len((await fetcher.fetch(server.url())).data) == 100_000


async def test_an_endless_body_is_cut_off_at_the_limit() -> None:
    sent = 0

    async def answer(request: str, writer: asyncio.StreamWriter) -> None:
        nonlocal sent
        writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        while not writer.is_closing():
            writer.write(b"10000\r\n" + bytes(65536) + b"\r\n")
            sent += 65536
            await writer.drain()

    async with serving(answer) as server, fetching() as fetcher:
        assert await _code(fetcher, server.url()) == "too_large"
    assert sent < 50_000_000


@pytest.mark.parametrize("length", [10, 10**30])
async def test_a_length_that_lies_is_an_error(length: int) -> None:
    async with serving(response(b"only this", length=length)) as server, fetching() as fetcher:
        assert await _code(fetcher, server.url()) in {"fetch_failed", "too_large"}


async def test_a_compressed_body_is_refused_and_never_unpacked() -> None:
    async with serving(response(b"\x1f\x8b", "200 OK", "Content-Encoding: gzip")) as server, fetching() as fetcher:
        assert await _code(fetcher, server.url()) == "fetch_failed"


@pytest.mark.parametrize(
    "beginning", [b"", b"HTTP/1.1 200 OK\r\nX: ", b"HTTP/1.1 200 OK\r\nContent-Length: 99999\r\n\r\n"]
)
async def test_a_server_that_goes_on_forever_meets_the_deadline(beginning: bytes) -> None:
    async def answer(request: str, writer: asyncio.StreamWriter) -> None:
        writer.write(beginning)
        while beginning and not writer.is_closing():
            writer.write(b"a")  # now and then a byte, so that no timeout between two bytes expires
            await writer.drain()
            await asyncio.sleep(0.01)
        await asyncio.Event().wait()

    async with serving(answer) as server, fetching(timeout_s=0.2) as fetcher:
        assert await _code(fetcher, server.url()) == "fetch_failed"


async def test_a_resolver_that_never_answers_meets_the_deadline() -> None:
    async def resolver(host: str, port: int) -> list[str]:
        await asyncio.Event().wait()
        return []

    fetcher = Fetcher(Fetch(connect_timeout_s=0.05), Limits(), resolver=resolver)
    assert await _code(fetcher, "http://pictures.example/") == "fetch_failed"
    await fetcher.aclose()


@pytest.mark.parametrize("garbage", [b"", b"SSH-2.0-OpenSSH\r\n", b"HTTP/1.1 999999 X\r\n\r\n", b"\0" * 100])
async def test_a_server_that_speaks_something_else_is_an_error(garbage: bytes) -> None:
    async with serving(garbage) as server, fetching() as fetcher:
        assert await _code(fetcher, server.url()) == "fetch_failed"


async def test_headers_without_end_are_an_error() -> None:
    async with serving(b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 200_000) as server, fetching() as fetcher:
        assert await _code(fetcher, server.url()) == "fetch_failed"


async def test_a_closed_port_and_an_unknown_name_are_errors() -> None:
    async with serving(b"") as server:
        pass
    async with fetching() as fetcher:
        assert await _code(fetcher, server.url()) == "fetch_failed"
        assert await _code(fetcher, "http://unknown.example/") == "fetch_failed"


async def test_no_more_files_are_fetched_at_once_than_the_setting_says() -> None:
    at_once, most = 0, 0
    full = asyncio.Event()

    async def answer(request: str, writer: asyncio.StreamWriter) -> None:
        nonlocal at_once, most
        at_once += 1
        most = max(most, at_once)
        if at_once == 2:
            full.set()
        await full.wait()
        writer.write(response())
        await writer.drain()
        at_once -= 1

    async with serving(answer) as server, fetching(concurrency=2) as fetcher:
        await asyncio.gather(*(fetcher.fetch(server.url()) for _ in range(6)))
    assert most == 2


def self_signed(name: str, folder: Path) -> tuple[ssl.SSLContext, ssl.SSLContext]:
    """Contexts of a server with a self-signed certificate for `name`, and of a client that trusts it."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    now = datetime.datetime.now(datetime.UTC)
    names: list[x509.GeneralName] = [x509.DNSName(name), x509.IPAddress(ipaddress.ip_address("127.0.0.99"))]
    certificate = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName(names), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    pem = certificate.public_bytes(serialization.Encoding.PEM)
    secret = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    (folder / "server.pem").write_bytes(pem + secret)
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(folder / "server.pem")
    return server, ssl.create_default_context(cadata=pem.decode())


async def test_tls_is_verified_against_the_name_and_not_the_address(tmp_path: Path) -> None:
    server_side, client_side = self_signed("pictures.example", tmp_path)
    seen: list[str | None] = []
    server_side.sni_callback = lambda _socket, name, _context: seen.append(name)
    names = {"other.example": ["127.0.0.1"]}
    hosts = ["pictures.example", "other.example"]
    async with (
        serving(response(), server_side) as server,
        fetching(names, client_side, allowed_hosts=hosts) as fetcher,
    ):
        assert (await fetcher.fetch(server.url(scheme="https"))).data == PICTURE
        assert await _code(fetcher, server.url(scheme="https", host="other.example")) == "fetch_failed"
    assert seen == ["pictures.example", "other.example"]


async def test_a_certificate_of_an_unknown_authority_is_refused(tmp_path: Path) -> None:
    server_side, _ = self_signed("pictures.example", tmp_path)
    async with serving(response(), server_side) as server, fetching() as fetcher:
        assert await _code(fetcher, server.url(scheme="https")) == "fetch_failed"


async def test_a_redirect_from_https_to_http_is_not_followed(tmp_path: Path) -> None:
    server_side, client_side = self_signed("pictures.example", tmp_path)
    async with serving(response()) as plain, serving(redirect(plain.url()), server_side) as server:
        async with fetching(tls=client_side) as fetcher:
            assert await _code(fetcher, server.url(scheme="https")) == "fetch_failed"
    assert plain.requests == []
