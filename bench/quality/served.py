"""Labelled sets on a server: people, copies, tags and hard files, asked for over HTTP."""

from __future__ import annotations

import csv
import time
from collections import defaultdict
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

import httpx
from PIL import Image

from bench.quality.contact_sheet import Mistake
from bench.quality.figures import Figure, Figures, bcubed_f, pairwise_f, rate
from bench.quality.metrics import normalised_tag, pairs_of
from bench.server import Server

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


def people(pictures: Set) -> tuple[Figures, list[Mistake]]:
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
        "bcubed_f": bcubed_f(labels, central),
        "pairwise_f": pairwise_f(labels, central),
        "bcubed_f_all_faces": bcubed_f(labels, everybody),
        "pairwise_f_all_faces": pairwise_f(labels, everybody),
        "pictures_without_person": Figure.exact(len(labels) - len(central)),
    }
    return figures, people_mistakes(labels, central, pictures.folder)


def people_mistakes(labels: dict[str, str], clusters: Mapping[str, Collection[object]], folder: Path) -> list[Mistake]:
    """List the groups of several people, and the people of several groups."""
    groups: dict[str, list[str]] = defaultdict(list)
    split: dict[str, set[str]] = defaultdict(set)
    for path, label in labels.items():
        person = next(iter(clusters.get(path, ())), None)
        split[label].add(str(person))
        if person is not None:
            groups[str(person)].append(path)
    merged = [paths for paths in groups.values() if len({labels[path] for path in paths}) > 1]
    several = [[path for path in labels if labels[path] == label] for label, found in split.items() if len(found) > 1]
    return [
        Mistake(f"people: {what}", [folder / path for path in paths])
        for what, of in (("merged", merged), ("split", several))
        for paths in of
    ]


def pictures_size(path: Path) -> tuple[int, int]:
    with Image.open(path) as image:
        return image.size


def duplicates(pictures: Set) -> tuple[Figures, list[Mistake]]:
    """Score pairs of copies, with groups as units; a burst's pairs are left out, since people disagree on them."""
    answer = pictures.ask("duplicates", level="copy")
    together = pairs_of([[pictures.path_of[url] for url in group] for group in answer["duplicates"].values()])
    info = {row["path"]: row for row in pictures.rows}
    counts: dict[str, list[float]] = {row["label"]: [0.0, 0.0] for row in pictures.rows}
    scenes: set[str] = set()
    mistakes = []
    for pair in together:
        a, b = sorted(pair)
        same = info[a]["label"] == info[b]["label"]
        if same and info[a]["kind"] == "burst":
            continue
        for path in (a, b):
            counts[info[path]["label"]][0] += same / 2
            counts[info[path]["label"]][1] += 0.5
        if not same:
            scenes |= {info[a]["scene"]} if info[a]["scene"] == info[b]["scene"] else set()
            mistakes.append(Mistake("copy: wrong pair", [pictures.folder / a, pictures.folder / b]))
    recall, missed = _recall(pictures, together)
    precision = rate(*zip(*counts.values(), strict=True))
    return {"pair_precision": precision, "scenes_merged": Figure.exact(len(scenes)), **recall}, mistakes + missed


def _recall(pictures: Set, together: set[frozenset[str]]) -> tuple[Figures, list[Mistake]]:
    """Score how many copies share a group with their original: by difficulty, and by kind of edit."""
    found: dict[str, dict[str, list[bool]]] = defaultdict(lambda: defaultdict(list))
    mistakes = []
    for label, members in _groups(pictures.rows).items():
        original = _original(members)
        for row in members:
            if row is original or row["kind"] != "copy" or row["difficulty"] not in {"easy", "medium", "hard"}:
                continue
            hit = frozenset((original["path"], row["path"])) in together
            found[f"recall_{row['difficulty']}"][label].append(hit)
            found[f"recall of {row['transform']}"][label].append(hit)
            if not hit:
                paths = [pictures.folder / original["path"], pictures.folder / row["path"]]
                mistakes.append(Mistake(f"copy: missed {row['transform']} of {label}", paths))
    return {
        name: rate([sum(hits) for hits in groups.values()], [len(hits) for hits in groups.values()])
        for name, groups in sorted(found.items())
    }, mistakes


def _groups(rows: Rows) -> dict[str, Rows]:
    groups: dict[str, Rows] = defaultdict(list)
    for row in rows:
        groups[row["label"]].append(row)
    return {label: members for label, members in groups.items() if len(members) > 1}


def _original(members: Rows) -> dict[str, str]:
    names = ("original", "exif_orientation_1", "frame0", "hdr_NO")
    marked = [row for row in members if row["difficulty"] == "-"]
    return (marked or [row for row in members if row["transform"] in names] or members)[0]


def tags(pictures: Set) -> tuple[Figures, list[Mistake]]:
    """Score tags: top five of all ranked, and precision of those reported by default, among the labels of the set."""
    reported = pictures.ask("tags")["scores"]
    ranked = pictures.ask("tags", threshold=0.0, top_k=5)["scores"]
    vocabulary = {normalised_tag(row["label"]) for row in pictures.rows}
    url_of = {path: url for url, path in pictures.path_of.items()}
    hits: list[bool] = []
    right: list[int] = []
    given: list[int] = []
    mistakes = []
    for row in pictures.rows:
        true = {normalised_tag(tag) for tag in (row["label"], *row["also_true"].split(";")) if tag.strip()}
        best = [normalised_tag(tag) for tag in ranked.get(url_of[row["path"]], {})]
        hit = bool(true & set(best))
        hits.append(hit)
        if not hit:
            mistakes.append(Mistake(f"tags: {row['label']}? {', '.join(best[:3])}", [pictures.folder / row["path"]]))
        tags = {normalised_tag(tag) for tag in reported.get(url_of[row["path"]], {})} & vocabulary
        given.append(len(tags))
        right.append(len(tags & true))
        mistakes += [Mistake(f"tags: not {tag}", [pictures.folder / row["path"]]) for tag in sorted(tags - true)]
    top5 = rate(hits, [1] * len(hits))
    return {"top5_hit": top5, "precision": rate(right, given), "reported": Figure.exact(sum(given))}, mistakes


_VERDICTS = {
    "ok": {"accepted"},
    "reject": {"rejected"},
    "reject_or_partial": {"accepted", "rejected"},
    "either": {"accepted", "rejected"},
    "reject_or_downscale": {"accepted", "rejected"},
}


def hard(pictures: Set, client: httpx.Client, server: Server) -> tuple[Figures, list[Mistake]]:
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
        "answers_5xx": crashes,
        "analyses_failed": len(failures),
        "processes_lost": lost,
        "slowest_s": slowest,
        "peak_memory_mb": server.peak_bytes / 2**20,
    }
    return {name: Figure.exact(value) for name, value in figures.items()}, mistakes


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
