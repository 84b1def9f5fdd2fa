"""Tables of the server's answers."""

from __future__ import annotations

import sys
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from darkroom_client.cli.names import Names

_SHOWN = 6
_LOOKED_UP = 24
"""Names of a row that are asked for: of more, those of the first are shown."""
_WIDE = 1000


def console() -> Console:
    """Open the console for tables: as wide as the terminal, and in a pipe or a file so wide that no URL is broken."""
    return Console() if sys.stdout.isatty() else Console(width=_WIDE)


def album(
    console: Console,
    name: str,
    count: int,
    names: Names,
    answers: dict[str, Any],
    unusable: list[dict[str, Any]],
) -> None:
    """Print an album: tags, duplicate groups, people, and files that could not be used."""
    console.print(f"\n[bold]{escape(name)}[/]: {count} pictures", highlight=False)

    tags = sorted(answers["tags"]["tags"].items(), key=lambda entry: (-len(entry[1]), entry[0]))
    table = _table("Tags", "tag", "pictures", "")
    for tag, images in tags:
        table.add_row(escape(tag), str(len(images)), _listed(images, names))
    _print(console, table, "no tags")

    table = _table("Duplicates", "group", "keep", "the others")
    kept = {group["group"]: group for group in answers["duplicates"].get("groups") or []}
    for group, images in answers["duplicates"]["duplicates"].items():
        keep = kept.get(group, {"keep": images[0], "keep_reason": ""})
        others = [image for image in images if image != keep["keep"]]
        reason = f" [dim]({escape(keep['keep_reason'])})[/]" if keep["keep_reason"] else ""
        table.add_row(
            group.removeprefix("duplicate_group_"), escape(names[keep["keep"]]) + reason, _listed(others, names)
        )
    _print(console, table, "no duplicates")

    table = _table("People", "person", "pictures", "")
    for person, images in answers["people"]["people_clusters"].items():
        table.add_row(person, str(len(images)), _listed(images, names))
    _print(console, table, "no people")

    if unusable:
        table = _table("Not used", "file", "code", "why")
        for entry in unusable:
            file = entry.get("filename") or names[entry["image"]]
            table.add_row(escape(str(file)), str(entry["code"]), escape(str(entry["detail"])))
        _print(console, table, "")


def styles(console: Console, listed: list[dict[str, Any]]) -> None:
    """Print styles with the engines that make them."""
    table = _table("Styles", "style", "what it looks like", "engines")
    for style in listed:
        table.add_row(escape(style["name"]), escape(style["description"]), ", ".join(style["engines"]))
    _print(console, table, "no styles")


def animals(console: Console, listed: list[dict[str, Any]]) -> None:
    """Print animals with the engines that draw them."""
    table = _table("Animals", "animal", "what it looks like", "engines")
    for animal in listed:
        table.add_row(escape(animal["name"]), escape(animal["description"]), ", ".join(animal["engines"]))
    _print(console, table, "no animals")


def faces(console: Console, found: list[dict[str, Any]]) -> None:
    """Print the faces of a segmentation."""
    table = _table("Faces", "score", "from", "to", "roll", "yaw", "pitch")
    for face in found:
        x1, y1, x2, y2 = (f"{value:.0f}" for value in face["bbox"])
        angles = (f"{face[name]:z.0f}°" for name in ("roll", "yaw", "pitch"))
        table.add_row(f"{face['score']:.2f}", f"{x1}, {y1}", f"{x2}, {y2}", *angles)
    _print(console, table, "no faces")


def albums(console: Console, items: list[dict[str, Any]]) -> None:
    """Print albums."""
    table = _table("Albums", "album", "pictures", "updated")
    for item in items:
        table.add_row(escape(item["album_id"]), str(item["image_count"]), _time(item["updated_at"]))
    _print(console, table, "no albums")


def users(console: Console, items: list[dict[str, Any]]) -> None:
    """Print users."""
    table = _table("Users", "id", "name", "e-mail", "since")
    for item in items:
        table.add_row(item["id"], escape(item["username"]), escape(item["email"]), _time(item["created_at"]))
    _print(console, table, "no users")


def history(console: Console, entries: list[dict[str, Any]]) -> None:
    """Print history entries."""
    table = _table("History", "when", "what", "status", "by", "seconds", "picture, or what went wrong")
    for entry in entries:
        seconds = "" if entry["duration"] is None else f"{entry['duration']:.1f}"
        outcome = entry["output_url"] or (entry["problem"] or {}).get("detail", "")
        told = (entry["kind"], entry["status"], entry["engine"] or "", seconds, escape(outcome))
        table.add_row(_time(entry["created_at"]), *told)
    _print(console, table, "nothing was made")


def hits(console: Console, found: list[tuple[str, float, str]]) -> None:
    """Print search results: album, score, name of the picture."""
    table = _table("Found", "score", "picture", "album")
    for album_id, score, name in found:
        table.add_row(f"{score:.2f}", escape(name), escape(album_id))
    _print(console, table, "nothing found")


def duplicates(console: Console, groups: list[dict[str, Any]], names: Names) -> None:
    """Print groups of duplicates with the one to keep and why."""
    table = _table("Duplicates", "group", "level", "keep", "why", "the others")
    for number, group in enumerate(groups, 1):
        others = [member["image"] for member in group["members"] if member["image"] != group["keep"]]
        told = (group["level"], escape(names[group["keep"]]), escape(group["keep_reason"]), _listed(others, names))
        table.add_row(str(number), *told)
    _print(console, table, "no duplicates")


def texts(console: Console, found: list[dict[str, Any]], names: Names) -> None:
    """Print what is written in pictures; those that say nothing are left out."""
    table = _table("Texts", "picture", "text")
    for entry in found:
        if entry["text"]:
            table.add_row(escape(names[entry["image"]]), escape(entry["text"].expandtabs(4)))
    _print(console, table, "no text")


def people(console: Console, found: list[tuple[str, int, list[str]]], names: Names) -> None:
    """Print people: name, number of faces, pictures."""
    table = _table("People", "person", "faces", "pictures", "")
    for name, faces, images in found:
        table.add_row(escape(name), str(faces), str(len(images)), _listed(images, names))
    _print(console, table, "no people")


def library_people(console: Console, found: list[dict[str, Any]]) -> None:
    """Print people of all albums: id, name, number of faces and pictures."""
    table = _table("People", "person", "name", "faces", "pictures", "changed")
    for person in found:
        name = escape(person["name"] or "")
        counts = str(person["face_count"]), str(person["image_count"])
        table.add_row(person["id"], name, *counts, _time(person["updated_at"]))
    _print(console, table, "no people")


def jobs(console: Console, found: list[dict[str, Any]]) -> None:
    """Print jobs."""
    table = _table("Jobs", "id", "album", "kind", "status", "done", "since", "what went wrong")
    for job in found:
        wrong = (job["problem"] or {}).get("detail", "")
        told = (job["id"], escape(job["album_id"] or ""), job["kind"], job["status"], f"{job['progress']:.0%}")
        table.add_row(*told, _time(job["created_at"]), escape(wrong))
    _print(console, table, "no jobs")


def job(console: Console, seen: dict[str, Any]) -> None:
    """Print a job's state."""
    eta = "" if seen["eta_s"] is None else f", about {seen['eta_s']:.0f} s left"
    console.print(f"{seen['id']} {seen['kind']}: {seen['status']}, {seen['progress']:.0%}{eta}", highlight=False)
    if waiting := seen.get("waiting"):
        since, again = _time(waiting["since"]), _time(waiting["next_try_at"])
        console.print(f"waits since {since}, next try {again}: {waiting['reason']['detail']}", highlight=False)
    if seen["problem"]:
        console.print(f"{seen['problem']['title']}: {seen['problem']['detail']}", highlight=False)


def _table(title: str, *columns: str) -> Table:
    table = Table(title=title, title_justify="left", title_style="bold", pad_edge=False, box=None)
    for column in columns:
        table.add_column(column, overflow="fold", header_style="dim")
    return table


def _print(console: Console, table: Table, otherwise: str) -> None:
    console.print()
    if table.row_count:
        console.print(table)
    else:
        console.print(otherwise, highlight=False)


def _time(stamp: str) -> str:
    return stamp[:19].replace("T", " ")


def _listed(images: list[str], names: Names) -> str:
    known = sorted(names[image] for image in images[:_LOOKED_UP])
    shown = ", ".join(map(escape, known[:_SHOWN]))
    return shown + (f" [dim]and {len(images) - _SHOWN} more[/]" if len(images) > _SHOWN else "")
