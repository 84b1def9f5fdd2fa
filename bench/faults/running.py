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
    clients: list[Client] = []
    try:
        server.start()
        admin = Client(server.url, admin_key, -1)
        for number in range(users):
            account = {"username": f"user-{number}", "email": f"user-{number}@example.org"}
            made = admin.call("user", "POST", "/users", json=account).json()
            clients.append(Client(server.url, made["api_key"], number))
        admin.close()
        yield clients
        server.stop()
    finally:
        for client in clients:
            client.close()
        server.kill()
