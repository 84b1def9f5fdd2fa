"""The commands `darkroom users` and `darkroom history`."""

from __future__ import annotations

import argparse
import os
import sys
from typing import Any
from urllib.parse import quote

from rich.console import Console

from serve_app.cli import tables
from serve_app.cli.client import Client

USER_KEY, ADMIN_KEY = "DARKROOM_API_KEY", "DARKROOM_ADMIN_KEY"


def key_for(arguments: argparse.Namespace) -> str | None:
    """Read the key that the command needs from the environment: arguments are visible to every user of the machine."""
    is_admins = getattr(arguments, "for_admin", False) or getattr(arguments, "of_user", None)
    return os.environ.get(ADMIN_KEY if is_admins else USER_KEY)


def add_commands(commands: Any) -> list[argparse.ArgumentParser]:
    """Add the commands' parsers. -> those that can print JSON"""
    users = commands.add_parser("users", help=f"make, list and delete users ({ADMIN_KEY})")
    users.set_defaults(for_admin=True)
    actions = users.add_subparsers(required=True, metavar="ACTION")

    add = actions.add_parser("add", help="make a user, and print the key, which is shown this once")
    add.add_argument("name")
    add.add_argument("email")
    add.set_defaults(run=_add)

    listing = actions.add_parser("list", help="list the users")
    listing.set_defaults(run=_list)

    delete = actions.add_parser("delete", help="delete a user with everything that is the user's")
    delete.add_argument("id")
    delete.set_defaults(run=_delete)

    history = commands.add_parser("history", help="list what was made, the newest first")
    history.add_argument("--user", metavar="ID", dest="of_user", help=f"of this user ({ADMIN_KEY})")
    history.add_argument("--kind", help="only this kind: style, avatar, txt2img, img2img")
    history.add_argument("--limit", type=int, default=50, help="so many entries at most (default: %(default)s)")
    history.set_defaults(run=_history)
    return [add, listing, history]


def _add(client: Client, arguments: argparse.Namespace, err: Console) -> Any:
    made = client.json("POST", "/users", json={"username": arguments.name, "email": arguments.email})
    if arguments.json:
        return made
    err.print(f"Made user {made['username']}, {made['id']}. The key is shown this once:", highlight=False, markup=False)
    sys.stdout.write(f"{made['api_key']}\n")
    return None


def _list(client: Client, arguments: argparse.Namespace, _: Console) -> Any:
    listed = client.items("/users")
    if arguments.json:
        return listed
    tables.users(tables.console(), listed)
    return None


def _delete(client: Client, arguments: argparse.Namespace, err: Console) -> Any:
    client.call("DELETE", f"/users/{quote(arguments.id, safe='')}")
    err.print(f"Deleted user {arguments.id}.", highlight=False, markup=False)


def _history(client: Client, arguments: argparse.Namespace, _: Console) -> Any:
    path = f"/users/{quote(arguments.of_user, safe='')}/history" if arguments.of_user else "/history"
    entries = client.items(path, most=arguments.limit, **({"kind": arguments.kind} if arguments.kind else {}))
    if arguments.json:
        return entries
    tables.history(tables.console(), entries)
    return None
