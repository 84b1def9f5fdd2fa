"""Labelled portraits as albums of faces, read by both face networks, and scores of their grouping."""

from __future__ import annotations

import csv
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image as Images

from bench.quality.face_variants import VARIANTS
from bench.quality.metrics import bcubed, pairwise
from configs.settings import FaceOptions, Settings
from deployments.algorithms.people.clusters import ClusteringOptions, group_faces
from deployments.contracts.arrays import Image, Vectors
from deployments.engines.faces.embedder import NETWORKS
from deployments.engines.faces.local import LocalFaceEngine
from deployments.engines.faces.locator import FaceLocator, LocatedFace

_EVERY = 2
"""Every second image of a person is a variant, the others are as they are: an album is a mixture."""


@dataclass(frozen=True, slots=True)
class Album:
    """Faces of labelled images, as one network sees them."""

    labels: dict[str, str]
    """Image -> the person of its central face."""
    paths: list[str]
    """Image of each face, N of them."""
    central: dict[str, int]
    """Image -> its central face."""
    vectors: Vectors
    """`float32[N, D]`."""
    quality: Vectors
    """`float32[N]`."""

    def of(self, people: Iterable[str]) -> Album:
        """Select the images of some of the people."""
        wanted = set(people)
        rows = [row for row, path in enumerate(self.paths) if self.labels[path] in wanted]
        place = {row: new for new, row in enumerate(rows)}
        return Album(
            {path: label for path, label in self.labels.items() if label in wanted},
            [self.paths[row] for row in rows],
            {path: place[row] for path, row in self.central.items() if row in place},
            self.vectors[rows],
            self.quality[rows],
        )


@dataclass(frozen=True, slots=True)
class Figures:
    """BCubed and pairwise F over the central faces, and BCubed precision and recall."""

    bcubed: float
    pairwise: float
    precision: float
    recall: float


def options(network: str, cut: float | None = None) -> ClusteringOptions:
    """Make the product's options for one network."""
    faces = FaceOptions(network=network, cut=cut)
    return ClusteringOptions(cut=faces.person_cut, group_cut=faces.group_cut, min_quality=faces.min_quality)


def score(album: Album, grouping: ClusteringOptions) -> Figures:
    """Group the album's faces and score the central ones."""
    clusters = people_of(album, grouping)
    by_item, by_pair = bcubed(album.labels, clusters), pairwise(album.labels, clusters)
    return Figures(by_item.f, by_pair.f, by_item.precision, by_item.recall)


def people_of(album: Album, grouping: ClusteringOptions) -> dict[str, list[int]]:
    """Group the album's faces. -> image -> the person of its central face, where it has one"""
    images = {path: place for place, path in enumerate(sorted(album.labels))}
    pictures = np.array([images[path] for path in album.paths], np.int64)
    groups = group_faces(album.vectors, pictures, album.quality, grouping)
    return {path: [int(groups[row])] for path, row in album.central.items() if groups[row] >= 0}


def wrong_joins(album: Album, strangers: Album, grouping: ClusteringOptions) -> float:
    """Measure the share of strangers' central faces that join a person of the album. They are people of their own, each
    face in an image of its own."""
    rows = sorted(strangers.central.values())
    vectors = np.concatenate([album.vectors, strangers.vectors[rows]])
    quality = np.concatenate([album.quality, strangers.quality[rows]])
    images = {path: place for place, path in enumerate(sorted(album.labels))}
    pictures = [images[path] for path in album.paths] + [len(images) + place for place in range(len(rows))]
    groups = group_faces(vectors, np.array(pictures, np.int64), quality, grouping)
    known, found = set(groups[: len(album.paths)].tolist()) - {-1}, groups[len(album.paths) :]
    return sum(int(group) in known for group in found) / len(rows)


class Reader:
    """Reader of labelled images: locates faces once for all networks."""

    def __init__(self, folder: Path, settings: Settings, networks: Iterable[str] = NETWORKS) -> None:
        with (folder / "labels.csv").open(newline="", encoding="utf-8") as file:
            self.labels = {row["path"]: row["label"] for row in csv.DictReader(file)}
        self._folder = folder
        self._locator = FaceLocator(settings.weights_dir, min_score=settings.faces.min_score)
        self._engines = {name: LocalFaceEngine(settings.weights_dir, self._locator, name) for name in networks}
        self.seconds: dict[str, float] = dict.fromkeys(("locating", *self._engines), 0.0)
        """Processor seconds of the stages so far, and in `faces` how many faces they were for."""
        self.faces = 0
        self._originals = {path: self._read(path) for path in self.labels}
        self._located = {path: self._locator.locate(image) for path, image in self._originals.items()}

    def albums(self, variant: str, every: int = _EVERY) -> dict[str, Album]:
        """Read the images with every second one of a person, or every `every`-th, as `variant`. -> network -> album"""
        images, seen = {}, dict.fromkeys(self.labels.values(), 0)
        for path, label in self.labels.items():
            image = self._originals[path]
            seen[label] += 1
            face = central_face(self._located[path], image)
            images[path] = VARIANTS[variant](image, face) if every == 1 or seen[label] % every else image
        started = time.process_time()
        located = {path: self._locator.locate(image) for path, image in images.items()}
        self.seconds["locating"] += time.process_time() - started
        return {name: self._album(name, images, located) for name in self._engines}

    def _album(self, network: str, images: dict[str, Image], located: dict[str, list[LocatedFace]]) -> Album:
        paths: list[str] = []
        central: dict[str, int] = {}
        faces = []
        started = time.process_time()
        for path, image in images.items():
            found = located[path]
            if not found:
                continue
            middle = central_face(found, image)
            central[path] = len(paths) + next(place for place, face in enumerate(found) if face is middle)
            paths += [path] * len(found)
            faces += self._engines[network].describe(image, found)
        self.seconds[network] += time.process_time() - started
        if network == next(iter(self._engines)):
            self.faces += len(faces)
        vectors = np.stack([face.embedding for face in faces])
        return Album(self.labels, paths, central, vectors, np.array([face.quality for face in faces], np.float32))

    def prints(self, network: str) -> NDArray[np.float64]:
        """Measure how far a face lies from prints of its photograph: smaller, darker, and mirrored. -> distances"""
        distances = []
        for path, image in self._originals.items():
            if not self._located[path]:
                continue
            (own,) = self._central_vectors(network, [image])
            half = VARIANTS["face 40 px wide"](image, central_face(self._located[path], image))
            copies = [half, (image * 0.7).astype(np.uint8), np.ascontiguousarray(image[:, ::-1])]
            distances += [float(np.linalg.norm(own - other)) for other in self._central_vectors(network, copies)]
        return np.array(distances)

    def _central_vectors(self, network: str, images: Sequence[Image]) -> list[Vectors]:
        found = [(image, central_face(self._locator.locate(image), image)) for image in images]
        return [self._engines[network].describe(image, [face])[0].embedding for image, face in found if face]

    def _read(self, path: str) -> Image:
        with Images.open(self._folder / path) as image:
            return np.asarray(image.convert("RGB"))


def central_face(found: Sequence[LocatedFace], image: Image) -> LocatedFace | None:
    """Find the face nearest the centre of the image."""
    centre = np.array(image.shape[1::-1]) / 2
    return min(found, key=lambda face: float(np.hypot(*((face.box[:2] + face.box[2:]) / 2 - centre))), default=None)
