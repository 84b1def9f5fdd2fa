"""A server that asks for keys, with users on it, for faults and load."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from bench.faults.client import Client
from bench.faults.topologies import Topology, make_server
from bench.server import Server


def server_with_keys(topology: Topology, folder: Path, **environment: str) -> tuple[Server, str]:
    """Make a server that asks for keys, not started yet. -> it and the administrator's key"""
    key = secrets.token_urlsafe(24)
    keys = {"DARKROOM_AUTH__MODE": "api_key", "DARKROOM_AUTH__ADMIN_KEY": key}
    return make_server(topology, folder, **keys, **environment), key


@contextmanager
def running(server: Server, admin_key: str, users: int) -> Iterator[list[Client]]:
    """Run a server until the block ends. -> a client for each of so many users"""
    try:
        server.start()
        with users_of(server.url, admin_key, users) as clients:
            yield clients
            server.stop()
    finally:
        server.kill()


@contextmanager
def users_of(url: str, admin_key: str, users: int) -> Iterator[list[Client]]:
    """Make so many users of a server that runs, by names that nobody has. -> a client for each"""
    clients: list[Client] = []
    admin = Client(url, admin_key, -1)
    try:
        for number in range(users):
            name = f"user-{number}-{secrets.token_hex(4)}"
            made = admin.call("user", "POST", "/users", json={"username": name, "email": f"{name}@example.org"}).json()
            clients.append(Client(url, made["api_key"], number))
        yield clients
    finally:
        for client in (admin, *clients):
            client.close()
