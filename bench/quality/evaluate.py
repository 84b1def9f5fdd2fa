"""Quality figures on labelled images, `make eval DATA=folder`, over HTTP against a server of its own.

Prints a table, writes `out/eval.json` and `out/eval_mistakes.png`, a contact sheet of what went wrong. The folder holds
`faces`, `neardup`, `tags` and `hard`, each with a `labels.csv` whose first column is a path below the set's folder;
`portraits` is made of `faces` and `tags`.
"""

from __future__ import annotations

import argparse
import csv
import json
import platform
import sys
import time
from collections import defaultdict
from pathlib import Path
from typing import Any

import httpx
from rich.console import Console

from bench.quality.contact_sheet import Mistake, write_contact_sheet
from bench.quality.metrics import bcubed, normalised_tag, pairs_of, pairwise
from bench.quality.portrait_finders import http_finder
from bench.quality.portraits import measure
from bench.quality.targets import print_table
from bench.server import Server, running_server

OUT = Path("out")
SETS = ("faces", "portraits", "neardup", "tags", "hard")
_TIMEOUT = httpx.Timeout(900.0)
Rows = list[dict[str, str]]


class Set:
    """One labelled set and its images on the server."""

    def __init__(self, folder: Path, client: httpx.Client) -> None:
        self.folder = folder
        self.name = folder.name
        self._client = client
        with (folder / "labels.csv").open(newline="", encoding="utf-8") as file:
            self.rows: Rows = list(csv.DictReader(file))
        self.path_of: dict[str, str] = {}

    def upload_and_embed(self) -> None:
        for start in range(0, len(self.rows), 32):
            batch = self.rows[start : start + 32]
            files = [
                ("file", (str(place), (self.folder / row["path"]).read_bytes())) for place, row in enumerate(batch)
            ]
            answer = self._client.post("/images", files=files).raise_for_status().json()
            refused = {int(entry["filename"]) for entry in answer["rejected"]}
            kept = [row["path"] for place, row in enumerate(batch) if place not in refused]
            self.path_of |= {image["url"]: path for image, path in zip(answer["images"], kept, strict=True)}
        self._finished("/albums/embeddings", {"images": list(self.path_of), "album_id": self.name})

    def ask(self, route: str, **body: Any) -> dict[str, Any]:
        """Request a detailed result of the whole album."""
        return self._finished(f"/albums/{route}?detail=true", {"album_id": self.name, **body})

    def _finished(self, route: str, body: dict[str, Any]) -> dict[str, Any]:
        response = self._client.post(route, json=body).raise_for_status()
        while response.status_code == 202 or "status" in response.json():
            job = response.json()
            if job["status"] not in {"queued", "running"}:
                if job["status"] != "succeeded":
                    raise RuntimeError(f"{route}: {job['problem']}")
                return dict(job["result"])
            time.sleep(0.2)
            response = self._client.get(f"/jobs/{job['id']}").raise_for_status()
        return dict(response.json())


def people(pictures: Set) -> tuple[dict[str, float], list[Mistake]]:
    """Score people. The label belongs to the face nearest the centre: an image counts under the person of that face."""
    answer = pictures.ask("clusters")
    size = {url: pictures_size(pictures.folder / path) for url, path in pictures.path_of.items()}
    nearest: dict[str, tuple[float, str]] = {}
    everybody: dict[str, set[str]] = defaultdict(set)
    for person in answer["people"]:
        for face in person["faces"]:
            path = pictures.path_of[face["image"]]
            everybody[path].add(person["id"])
            width, height = size[face["image"]]
            x1, y1, x2, y2 = face["bbox"]
            distance = ((x1 + x2 - width) ** 2 + (y1 + y2 - height) ** 2) ** 0.5
            nearest[path] = min(nearest.get(path, (distance, person["id"])), (distance, person["id"]))
    labels = {row["path"]: row["label"] for row in pictures.rows}
    central = {path: {person} for path, (_, person) in nearest.items()}
    figures = {
        "bcubed_f": bcubed(labels, central).f,
        "pairwise_f": pairwise(labels, central).f,
        "bcubed_f_all_faces": bcubed(labels, everybody).f,
        "pairwise_f_all_faces": pairwise(labels, everybody).f,
        "pictures_without_person": float(len(labels) - len(central)),
    }
    mistakes = []
    groups: dict[str, list[str]] = defaultdict(list)
    for path, persons in central.items():
        groups[next(iter(persons))].append(path)
    for paths in groups.values():
        if len({labels[path] for path in paths}) > 1:
            mistakes.append(Mistake("people: merged", [pictures.folder / path for path in paths]))
    split = defaultdict(set)
    for path, label in labels.items():
        split[label].add(next(iter(central.get(path, {"none"}))))
    for label, found in split.items():
        if len(found) > 1:
            mistakes.append(
                Mistake("people: split", [pictures.folder / path for path in labels if labels[path] == label])
            )
    return figures, mistakes


def pictures_size(path: Path) -> tuple[int, int]:
    from PIL import Image

    with Image.open(path) as image:
        return image.size


def duplicates(pictures: Set) -> tuple[dict[str, float], list[Mistake]]:
    """Score pairs of copies; a burst's pairs are left out, since people disagree on them."""
    answer = pictures.ask("duplicates", level="copy")
    together = pairs_of([[pictures.path_of[url] for url in group] for group in answer["duplicates"].values()])
    info = {row["path"]: row for row in pictures.rows}
    right = wrong = 0
    scenes: set[str] = set()
    mistakes = []
    for pair in together:
        a, b = sorted(pair)
        if info[a]["label"] == info[b]["label"]:
            right += info[a]["kind"] != "burst"
            continue
        wrong += 1
        same_scene = info[a]["scene"] == info[b]["scene"]
        scenes |= {info[a]["scene"]} if same_scene else set()
        mistakes.append(Mistake("copy: wrong pair", [pictures.folder / a, pictures.folder / b]))
    found: dict[str, list[bool]] = defaultdict(list)
    for label, members in _groups(pictures.rows).items():
        original = _original(members)
        for row in members:
            if row is original or row["kind"] != "copy" or row["difficulty"] not in {"easy", "medium", "hard"}:
                continue
            hit = frozenset((original["path"], row["path"])) in together
            found[row["difficulty"]].append(hit)
            if not hit:
                paths = [pictures.folder / original["path"], pictures.folder / row["path"]]
                mistakes.append(Mistake(f"copy: missed {row['transform']} of {label}", paths))
    recall = {f"recall_{level}": sum(hits) / len(hits) for level, hits in sorted(found.items())}
    precision = right / (right + wrong) if right + wrong else 1.0
    return {"pair_precision": precision, "scenes_merged": float(len(scenes)), **recall}, mistakes


def _groups(rows: Rows) -> dict[str, Rows]:
    groups: dict[str, Rows] = defaultdict(list)
    for row in rows:
        groups[row["label"]].append(row)
    return {label: members for label, members in groups.items() if len(members) > 1}


def _original(members: Rows) -> dict[str, str]:
    names = ("original", "exif_orientation_1", "frame0", "hdr_NO")
    marked = [row for row in members if row["difficulty"] == "-"]
    return (marked or [row for row in members if row["transform"] in names] or members)[0]


def tags(pictures: Set) -> tuple[dict[str, float], list[Mistake]]:
    """Score tags: top five of all ranked, and precision of those reported by default, among the labels of the set."""
    reported = pictures.ask("tags")["scores"]
    ranked = pictures.ask("tags", threshold=0.0, top_k=5)["scores"]
    vocabulary = {normalised_tag(row["label"]) for row in pictures.rows}
    url_of = {path: url for url, path in pictures.path_of.items()}
    hits = right = given = 0
    mistakes = []
    for row in pictures.rows:
        true = {normalised_tag(tag) for tag in (row["label"], *row["also_true"].split(";")) if tag.strip()}
        best = [normalised_tag(tag) for tag in ranked.get(url_of[row["path"]], {})]
        hit = bool(true & set(best))
        hits += hit
        if not hit:
            mistakes.append(Mistake(f"tags: {row['label']}? {', '.join(best[:3])}", [pictures.folder / row["path"]]))
        for tag in {normalised_tag(tag) for tag in reported.get(url_of[row["path"]], {})} & vocabulary:
            given += 1
            right += tag in true
            if tag not in true:
                mistakes.append(Mistake(f"tags: not {tag}", [pictures.folder / row["path"]]))
    precision = right / given if given else 1.0
    return {"top5_hit": hits / len(pictures.rows), "precision": precision, "reported": float(given)}, mistakes


_VERDICTS = {
    "ok": {"accepted"},
    "reject": {"rejected"},
    "reject_or_partial": {"accepted", "rejected"},
    "either": {"accepted", "rejected"},
    "reject_or_downscale": {"accepted", "rejected"},
}


def hard(pictures: Set, client: httpx.Client, server: Server) -> tuple[dict[str, float], list[Mistake]]:
    """Score hard files: the verdict on the upload, the upright size, the time, that whatever is accepted passes every
    analysis, and that every process survives."""
    before = {process.pid for process in server.processes()}
    right = crashes = 0
    slowest = 0.0
    mistakes = []
    for row in pictures.rows:
        started = time.monotonic()
        path = pictures.folder / row["path"]
        response = client.post("/images", files=[("file", (path.name, path.read_bytes()))])
        slowest = max(slowest, time.monotonic() - started)
        crashes += response.status_code >= 500
        verdict = {2: "accepted", 4: "rejected"}.get(response.status_code // 100, "crash")
        good = verdict in _VERDICTS[row["label"]]
        if good and verdict == "accepted" and row["width"] and row["label"] in {"ok", "either"}:
            image = response.json()["images"][0]
            good = (str(image["width"]), str(image["height"])) == (row["width"], row["height"])
        right += good
        if not good:
            mistakes.append(Mistake(f"hard: {row['path']} was {verdict}, not {row['label']}", []))
    failures = _failed_analyses(pictures)
    mistakes += [Mistake(f"hard: {failure}", []) for failure in failures]
    lost = len(before - {process.pid for process in server.processes()})
    server.memory_bytes()
    figures = {
        "verdicts_right": right / len(pictures.rows),
        "answers_5xx": float(crashes),
        "analyses_failed": float(len(failures)),
        "processes_lost": float(lost),
        "slowest_s": slowest,
        "peak_memory_mb": server.peak_bytes / 2**20,
    }
    return figures, mistakes


_ANALYSES: tuple[tuple[str, dict[str, Any]], ...] = (
    ("tags", {}),
    ("quality", {}),
    ("clusters", {}),
    *(("duplicates", {"level": level}) for level in ("exact", "copy", "similar")),
)


def _failed_analyses(pictures: Set) -> list[str]:
    """Send what is accepted through every analysis. -> what failed: whole analyses, and images of those that did not"""
    try:
        pictures.upload_and_embed()
    except (httpx.HTTPError, RuntimeError) as error:
        return [f"embeddings: {error}"]
    failures = []
    for route, body in _ANALYSES:
        try:
            answer = pictures.ask(route, **body)
        except (httpx.HTTPError, RuntimeError) as error:
            failures.append(f"{route}: {error}")
            continue
        for failure in answer["failed"]:
            failures.append(f"{route}: {pictures.path_of[failure['image']]} {failure['code']}")
    return failures


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m bench.quality.evaluate", description=__doc__)
    parser.add_argument("data", type=Path, help="folder with the labelled sets")
    parser.add_argument("--only", nargs="*", default=SETS, help="sets to run")
    arguments = parser.parse_args()
    if not arguments.data.is_dir():
        parser.error(f"{arguments.data} is no folder: make eval DATA=FOLDER")
    results: dict[str, Any] = {"machine": f"{platform.node()} {platform.machine()}"}
    mistakes: list[Mistake] = []
    with running_server() as server, httpx.Client(base_url=f"{server.url}/api/v1", timeout=_TIMEOUT) as client:
        for name in arguments.only:
            started = time.monotonic()
            if name == "portraits":
                figures, wrong = measure(http_finder(client), arguments.data / "faces", arguments.data / "tags")
                results[name] = {"seconds": time.monotonic() - started, **figures}
                mistakes += wrong
                continue
            pictures = Set(arguments.data / name, client)
            if name == "hard":
                figures, wrong = hard(pictures, client, server)
            else:
                pictures.upload_and_embed()
                figures, wrong = {"faces": people, "neardup": duplicates, "tags": tags}[name](pictures)
            results[name] = {"pictures": len(pictures.rows), "seconds": time.monotonic() - started, **figures}
            mistakes += wrong
    OUT.mkdir(exist_ok=True)
    (OUT / "eval.json").write_text(json.dumps(results | {"mistakes": [m.view() for m in mistakes]}, indent=1))
    write_contact_sheet(mistakes, OUT / "eval_mistakes.png")
    missed = print_table(results)
    Console().print(f"{len(mistakes)} mistakes: {OUT / 'eval_mistakes.png'}, figures: {OUT / 'eval.json'}")
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
