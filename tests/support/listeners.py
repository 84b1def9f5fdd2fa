"""Listening sockets of a process tree, and their answers to requests without a token."""

from __future__ import annotations

import contextlib
import ipaddress
import socket
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import grpc
import httpx
import psutil

PORTS_OF_RAY = (
    "/ray.rpc.JobInfoGcsService/GetAllJobInfo",
    "/ray.rpc.InternalKVGcsService/InternalKVKeys",
    "/ray.rpc.NodeManagerService/GetNodeStats",
    "/ray.rpc.ObjectManagerService/FreeObjects",
    "/ray.rpc.CoreWorkerService/PushTask",
    "/ray.rpc.ReporterService/GetTraceback",
    "/ray.rpc.LogService/ListLogs",
    "/ray.serve.ASGIService/HandleRequest",
)
"""Method of each service that a process of Ray serves by gRPC."""
_WAIT_S = 10.0


@dataclass(frozen=True)
class ListeningSocket:
    process: str
    host: str
    port: int

    @property
    def is_loopback(self) -> bool:
        address: Any = ipaddress.ip_address(self.host)
        return bool((getattr(address, "ipv4_mapped", None) or address).is_loopback)

    @property
    def address(self) -> str:
        """Address that a neighbour would call: this machine's own for a socket on all of them."""
        address: Any = ipaddress.ip_address(self.host)
        mapped = getattr(address, "ipv4_mapped", None) or address
        host = own_address() if mapped.is_unspecified else str(mapped)
        return f"[{host}]:{self.port}" if ":" in host else f"{host}:{self.port}"


def listeners(processes: Iterable[psutil.Process]) -> list[ListeningSocket]:
    found: set[ListeningSocket] = set()
    for process in processes:
        with contextlib.suppress(psutil.Error):
            name = " ".join(process.cmdline())[:60]
            for connection in process.net_connections(kind="tcp"):
                if connection.status == psutil.CONN_LISTEN:
                    found.add(ListeningSocket(name, connection.laddr.ip, connection.laddr.port))
    return sorted(found, key=lambda each: each.port)


def own_address() -> str:
    """Find an address of this machine that is not loopback, or loopback where it has none."""
    for addresses in psutil.net_if_addrs().values():
        for address in addresses:
            if address.family == socket.AF_INET and not ipaddress.ip_address(address.address).is_loopback:
                return str(address.address)
    return "127.0.0.1"


def http_status(listener: ListeningSocket, method: str, path: str, **options: Any) -> int | None:
    """Request by HTTP. -> the status; None: the socket does not speak HTTP/1.1"""
    try:
        return httpx.request(
            method, f"http://{listener.address}{path}", timeout=_WAIT_S, trust_env=False, **options
        ).status_code
    except httpx.HTTPError:
        return None


def grpc_codes(listener: ListeningSocket) -> set[str]:
    """Call Ray's methods with an empty message and no token. -> their status codes"""
    codes: set[str] = set()
    with grpc.insecure_channel(listener.address, options=[("grpc.enable_http_proxy", 0)]) as channel:
        for method in PORTS_OF_RAY:
            try:
                channel.unary_unary(method)(b"", timeout=_WAIT_S)
                codes.add("OK")
            except grpc.RpcError as error:
                codes.add(error.code().name)
    return codes


def assert_no_command_without_token(found: Iterable[ListeningSocket]) -> None:
    """Assert that no socket takes a job, and no method of Ray answers, without the token; some of each ask for it."""
    jobs = {
        (each, route): http_status(each, "POST", route, json={"entrypoint": "id"})
        for each in found
        for route in ("/api/job_agent/jobs/", "/api/jobs/")
    }
    assert {key: status for key, status in jobs.items() if status is not None and status < 400} == {}
    assert 401 in jobs.values(), "the agent that takes jobs is among them"
    answers = {each: grpc_codes(each) for each in found}
    assert {each: codes for each, codes in answers.items() if "OK" in codes} == {}
    assert sum("UNAUTHENTICATED" in codes for codes in answers.values()) >= 4, answers
