"""Vendor on the loopback interface, which answers requests as the test says and records them."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


@dataclass(frozen=True)
class VendorRequest:
    method: str
    path: str
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


@dataclass(frozen=True)
class Reply:
    status: int = 200
    json: Any = None
    body: bytes | None = None
    """Body of the reply, in place of `json`."""
    headers: dict[str, str] = field(default_factory=dict)


HANG = "hang"
"""Reply that does not come."""
DRIP = "drip"
"""Reply that comes byte by byte, until the test sets another reply."""
VendorAnswer = Callable[[VendorRequest], Reply | str]


class VendorServer:
    def __init__(self) -> None:
        self.requests: list[VendorRequest] = []
        self.answer: VendorAnswer = lambda request: Reply(500)
        self.url = ""
        self._released = threading.Event()

    def always(self, status: int = 200, json: Any = None, body: bytes | None = None, **headers: str) -> None:
        """Set one reply to all requests."""
        self.answer = lambda request: Reply(status, json, body, headers)

    def hang(self) -> None:
        self.answer = lambda request: HANG

    def drip(self) -> None:
        self.answer = lambda request: DRIP

    @contextmanager
    def serving(self) -> Iterator[VendorServer]:
        server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        server.daemon_threads = True
        self.url = f"http://127.0.0.1:{server.server_address[1]}"
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield self
        finally:
            self._released.set()
            server.shutdown()
            thread.join()
            server.server_close()

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        vendor = self

        class VendorHandler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                size = int(self.headers.get("content-length", 0))
                headers = {name.lower(): value for name, value in self.headers.items()}
                request = VendorRequest(self.command, self.path, headers, self.rfile.read(size))
                vendor.requests.append(request)
                answer = vendor.answer
                reply = answer(request)
                if isinstance(reply, str):
                    self.close_connection = True
                    if reply == DRIP:
                        self.drip(answer)
                    else:
                        vendor._released.wait(20)
                    return
                body = reply.body if reply.body is not None else json.dumps(reply.json).encode()
                self.send_response(reply.status)
                for name, value in ({"Content-Type": "application/json"} | reply.headers).items():
                    self.send_header(name, value)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def drip(self, answer: VendorAnswer) -> None:
                self.send_response(200)
                self.send_header("Content-Length", "100000")
                self.end_headers()
                with suppress(OSError):  # the client went away
                    while vendor.answer is answer and not vendor._released.wait(0.1):
                        self.wfile.write(b" ")

            do_GET = do_POST

            def log_message(self, *_: Any) -> None: ...

        return VendorHandler
