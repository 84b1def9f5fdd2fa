"""What became of all that a server acknowledged, and whether its answers are those of an undisturbed one."""

from __future__ import annotations

import hashlib
import io
import time
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from PIL import Image as PillowImage

from bench.faults.client import JOB_ENDS, Client, NotAcknowledged
from bench.faults.journal import AlbumPost, Deletion, Edit, Entry, Picture, Wrong
from bench.faults.pictures import Pictures
from bench.faults.traffic import order_of

_JOBS_S = 180.0
"""Seconds that acknowledged jobs may take to end after the last fault."""
_UNDISTURBED_S = 900.0
"""Seconds for each edit of the undisturbed server, which is sent all of them at once."""
_PEOPLE = {"bystanders": True}


@dataclass
class Acknowledged:
    """All that clients were told is done or will be."""

    pictures: list[Picture] = field(default_factory=list)
    posts: list[AlbumPost] = field(default_factory=list)
    edits: list[Edit] = field(default_factory=list)
    deleted: set[tuple[int, str]] = field(default_factory=set)
    doubtful: set[tuple[int, str]] = field(default_factory=set)
    """Albums whose last post or deletion was not acknowledged: they may be either."""

    def albums(self) -> dict[tuple[int, str], list[AlbumPost]]:
        """Group the posts of albums of which all is known."""
        found: dict[tuple[int, str], list[AlbumPost]] = defaultdict(list)
        for post in self.posts:
            if (post.user, post.album) not in self.deleted | self.doubtful:
                found[post.user, post.album].append(post)
        return dict(found)


@dataclass
class Verdict:
    """What was found, one line a case; all lists must be empty."""

    lost: list[str] = field(default_factory=list)
    failed: list[str] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)


Answers = Mapping[str, Any]
"""What the server says at the end, by subject: `tags of album 0-1`, `style of picture 4` ..."""


def acknowledged(entries: Iterable[Entry]) -> Acknowledged:
    found = Acknowledged()
    for entry in entries:
        match entry:
            case Picture():
                found.pictures.append(entry)
            case AlbumPost(user, album, _, None) | Deletion(user, album, False):
                found.doubtful.add((user, album))
            case AlbumPost():
                found.posts.append(entry)
            case Edit():
                found.edits.append(entry)
            case Deletion(user, album, True):
                found.deleted.add((user, album))
    return found


def check(clients: Sequence[Client], entries: list[Entry], pictures: Pictures) -> tuple[Verdict, Answers]:
    """Ask for everything that was acknowledged. -> what is not as it was promised, and the answers of the server"""
    known = acknowledged(entries)
    verdict = Verdict(wrong=[f"user {entry.user}: {entry.what}" for entry in entries if isinstance(entry, Wrong)])
    for user, album in sorted(known.deleted - known.doubtful):
        if clients[user].call("album", "GET", f"/albums/{album}", also=(404,)).status_code != 404:
            verdict.wrong.append(f"album {album} was deleted and is there")
    _check_jobs(clients, known, verdict)
    for picture in known.pictures:
        _check_picture(clients[picture.user], picture, pictures, verdict)
    answers: dict[str, Any] = {}
    for (user, album), posts in known.albums().items():
        urls = {picture.number: picture.url for picture in known.pictures if picture.user == user}
        _check_album(clients[user], album, posts, urls, verdict)
        try:
            answers |= analyses(clients[user], album, {url: number for number, url in urls.items()})
        except NotAcknowledged as error:
            verdict.failed.append(f"analyses of album {album}: {error}")
    for edit in known.edits:
        answers |= edited(clients[edit.user], edit, edit.job)
    return verdict, answers


def _check_jobs(clients: Sequence[Client], known: Acknowledged, verdict: Verdict) -> None:
    gone = known.deleted | known.doubtful
    jobs = [(post.user, post.job) for post in known.posts if post.job and (post.user, post.album) not in gone]
    jobs += [(edit.user, edit.job) for edit in known.edits]
    deadline = time.monotonic() + _JOBS_S
    for user, job in jobs:
        found = clients[user].ended(job, max(0.0, deadline - time.monotonic()))
        if found is None:
            verdict.lost.append(f"job {job}")
        elif found["status"] not in JOB_ENDS:
            verdict.failed.append(f"job {job} ({found['kind']}) has not ended: {found.get('waiting') or found}")
        elif found["status"] != "succeeded":
            verdict.failed.append(f"job {job} ({found['kind']}) {found['status']}: {found['problem']}")


def _check_picture(client: Client, picture: Picture, pictures: Pictures, verdict: Verdict) -> None:
    try:
        if client.bytes_of(picture.url) != pictures(picture.user, picture.number):
            verdict.wrong.append(f"the bytes of picture {picture.number} of user {picture.user}")
    except NotAcknowledged as error:
        verdict.lost.append(f"picture {picture.number} of user {picture.user}: {error}")


def _check_album(client: Client, album: str, posts: list[AlbumPost], urls: Mapping[int, str], verdict: Verdict) -> None:
    answer = client.call("album", "GET", f"/albums/{album}", also=(404,))
    if answer.status_code == 404:
        verdict.lost.append(f"album {album}")
        return
    statuses = {image["image"]: image["status"] for image in answer.json()["images"]}
    for number in (number for post in posts for number in post.numbers):
        status = statuses.get(urls[number])
        if status is None:
            verdict.lost.append(f"picture {number} of album {album}")
        elif status != "embedded":
            verdict.failed.append(f"picture {number} of album {album} is {status}")
    for job in answer.json()["jobs"]:
        ended = client.ended(job["id"], _JOBS_S)
        if ended and ended["status"] != "succeeded":
            verdict.failed.append(f"{ended['kind']} of album {album} {ended['status']}: {ended['problem']}")


def analyses(client: Client, album: str, numbers: Mapping[str, int]) -> dict[str, Any]:
    """Ask for tags, duplicates and people of an album. -> by subject, with pictures' numbers in place of URLs"""
    tags = _analysed(client, "/albums/tags", {"album_id": album})["tags"]
    copies = _analysed(client, "/albums/duplicates", {"album_id": album})["duplicates"]
    people = _analysed(client, "/albums/clusters", {"album_id": album, **_PEOPLE})["people_clusters"]
    return {
        f"tags of album {album}": {tag: _named(refs, numbers) for tag, refs in tags.items()},
        f"duplicates of album {album}": sorted(_named(refs, numbers) for refs in copies.values()),
        f"people of album {album}": sorted(_named(refs, numbers) for refs in people.values()),
    }


def _named(refs: Iterable[str], numbers: Mapping[str, int]) -> list[str]:
    """Name references by their pictures' numbers; what nobody posted keeps its URL."""
    return sorted(str(numbers.get(ref, ref)) for ref in refs)


def _analysed(client: Client, path: str, body: dict[str, Any]) -> dict[str, Any]:
    answer = client.call("analysis", "POST", path, json=body)
    if answer.status_code != 202:
        return dict(answer.json())
    job = client.ended(answer.json()["id"], _JOBS_S)
    if job is None or job["status"] != "succeeded":
        raise NotAcknowledged(f"{path}: {job}")
    return dict(job["result"])


def edited(client: Client, edit: Edit, job: str) -> dict[str, str]:
    """Hash the pixels of an edit's result. -> by subject; empty where it did not succeed"""
    found = client.ended(job, _JOBS_S)
    if found is None or found["status"] != "succeeded":
        return {}
    pixels = np.asarray(PillowImage.open(io.BytesIO(client.bytes_of(found["result"]["image_url"]))))
    return {f"{edit.kind} of picture {edit.number} of user {edit.user}": hashlib.sha256(pixels.tobytes()).hexdigest()}


def undisturbed(clients: Sequence[Client], known: Acknowledged, pictures: Pictures) -> Answers:
    """Send the same pictures, posts and edits to a server that nothing happens to. -> its answers"""
    with ThreadPoolExecutor(len(clients)) as pool:
        found = pool.map(lambda client: _undisturbed_user(client, known, pictures), clients)
        return {subject: answer for answers in found for subject, answer in answers.items()}


def _undisturbed_user(client: Client, known: Acknowledged, pictures: Pictures) -> Answers:
    edits = [edit for edit in known.edits if edit.user == client.user]
    jobs = []
    for edit in edits:
        [url] = client.upload(pictures(edit.user, edit.number))
        path, options = order_of(edit.kind, edit.number)
        jobs.append(client.start(edit.kind, path, {"image_url": url, **options}))
    answers: dict[str, Any] = {}
    for (user, album), posts in known.albums().items():
        if user == client.user:
            answers |= _undisturbed_album(client, album, posts, pictures)
    for edit, job in zip(edits, jobs, strict=True):
        ended = client.ended(job, _UNDISTURBED_S)
        if ended is None or ended["status"] != "succeeded":
            raise NotAcknowledged(f"the undisturbed server has no {edit.kind} of picture {edit.number}: {ended}")
        answers |= edited(client, edit, job)
    return answers


def _undisturbed_album(client: Client, album: str, posts: list[AlbumPost], pictures: Pictures) -> Answers:
    numbers: dict[str, int] = {}
    for post in posts:
        urls = client.upload(*(pictures(client.user, number) for number in post.numbers))
        numbers |= dict(zip(urls, post.numbers, strict=True))
        client.ended(client.start("post", "/albums/embeddings", {"album_id": album, "images": urls}), _JOBS_S)
    return analyses(client, album, numbers)


def differences(found: Answers, expected: Answers) -> list[str]:
    """List what was answered otherwise, or not at all, than expected."""
    return [
        f"{subject}: {found[subject]}, undisturbed {expected.get(subject)}"
        for subject in sorted(found)
        if found[subject] != expected.get(subject)
    ]
