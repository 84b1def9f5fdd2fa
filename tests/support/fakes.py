"""Fake capabilities, simple enough to predict: colours stand for tags, flat squares for faces.

A face is a flat square of at least 8 x 8 pixels whose red is 250 and whose green is 5; its blue is the person. A line
of text is a flat bar of at least 32 pixels whose red is 5 and whose green is 250; its blue is the letter, which it
says three times.
"""

from __future__ import annotations

import pickle
from collections.abc import Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

from deployments.algorithms.faces.sample import sample_portrait
from deployments.algorithms.people.clusters import ClusteringOptions, group_faces
from deployments.algorithms.people.links import Links
from deployments.contracts.albums import Face, LocalFeatures, Pairs, PairVerdict
from deployments.contracts.arrays import Image, Packed, StoredVectors, Vectors
from deployments.contracts.portraits import AvatarTask
from deployments.contracts.styles import StyleTask
from deployments.contracts.texts import ANY_TEXT, Text, TextOptions
from deployments.errors import NotSupported
from tests.support.fake_generation import FakeGeneration
from tests.support.fake_portraits import FakePortraits

_GRID = 8
COLOURS = {"red": (1, 0, 0), "green": (0, 1, 0), "blue": (0, 0, 1)}


def with_face(image: Image, person: int, at: tuple[int, int] = (4, 4), size: int = 16) -> Image:
    """Draw a face into an image that `FakeCapabilities` finds."""
    out = image.copy()
    out[at[1] : at[1] + size, at[0] : at[0] + size] = (250, 5, person)
    return out


def with_text(image: Image, letter: str, at: tuple[int, int] = (4, 40), size: tuple[int, int] = (24, 6)) -> Image:
    """Draw a line of text into an image that `FakeCapabilities` reads: a letter from A to Z, three times."""
    out = image.copy()
    out[at[1] : at[1] + size[1], at[0] : at[0] + size[0]] = (5, 250, (ord(letter) - ord("A")) * 9 + 4)
    return out


class FakeCapabilities(FakeGeneration, FakePortraits):
    """Implements every protocol of `deployments.contracts` without a model."""

    def __init__(self) -> None:
        FakeGeneration.__init__(self)
        FakePortraits.__init__(self)
        self.calls: list[str] = []

    async def check(self, capability: str) -> None:
        """Do a little of the capability's work, as the real ones do; calls that hang hold no check up."""
        hanging, self.hanging = self.hanging, set()
        try:
            await self._do_a_little(capability)
        finally:
            self.hanging = hanging

    async def _do_a_little(self, capability: str) -> None:
        image = np.random.default_rng(0).integers(0, 255, (64, 64, 3), np.uint8)
        if capability == "embedding":
            await self.embed_images(image[None])
        elif capability == "tagging":
            await self.tag_images(np.ones((1, 1, _GRID * _GRID * 3), np.float32))
        elif capability == "faces":
            await self.find_faces([image])
        elif capability == "clustering":
            await self.cluster_faces(np.eye(2, dtype=np.float32), np.arange(2), np.ones(2, np.float32))
        elif capability == "dedup":
            await self.compare_images(await self.describe_images([image, image]), [0], [1])
        elif capability == "stylizing":
            await self.stylize("opencv", StyleTask(image, "ink", prompt=""))
        elif capability == "segmentation":
            await self.segment_portrait("local", image)
        elif capability == "avatars":
            portrait, segmentation = sample_portrait(64)
            await self.make_avatar("local", AvatarTask(portrait, "fox", "overlay", segmentation))
        elif capability == "texts":
            await self.read_texts([image])
        elif capability == "diffusion":
            await self.list_models()
        else:
            raise KeyError(capability)

    async def embed_images(self, views: NDArray[np.uint8]) -> Vectors:
        self.calls.append("embed_images")
        small = [cv2.resize(view, (_GRID, _GRID), interpolation=cv2.INTER_AREA) for view in views]
        return np.asarray(np.stack(small).reshape(len(views), -1).astype(np.float32) / 255 + 0.01, np.float32)

    async def tag_images(self, vectors: Vectors, labels: Sequence[str] | None = None) -> list[dict[str, float]]:
        self.calls.append("tag_images")
        colours = vectors[:, 0].astype(np.float32).reshape(len(vectors), -1, 3).mean(1)
        shares = colours / colours.sum(1, keepdims=True)
        known = [name for name in (labels or COLOURS) if name in COLOURS]
        return [{name: float(share @ np.array(COLOURS[name])) for name in known} for share in shares]

    async def search_images(self, query: str, vectors: Vectors) -> Vectors:
        if query not in COLOURS:
            raise NotSupported(f"Nothing is known about '{query}'.")
        return np.array([scores[query] for scores in await self.tag_images(vectors)], np.float32)

    async def embed_texts(self, texts: Sequence[str]) -> Vectors:
        """The colour that a text names, as a whole image of it is embedded."""
        self.calls.append("embed_texts")
        colours = np.stack([np.tile(COLOURS.get(text, (1, 1, 1)), _GRID * _GRID) for text in texts]).astype(np.float32)
        return np.asarray(colours / np.linalg.norm(colours, axis=1, keepdims=True), np.float32)

    async def find_faces(self, images: Sequence[Image]) -> list[list[Face]]:
        self.calls.append("find_faces")
        return [_faces(image) for image in images]

    async def read_texts(self, images: Sequence[Image], options: TextOptions = ANY_TEXT) -> list[list[Text]]:
        self.calls.append("read_texts")
        return [[text for text in _texts(image) if text.text_score >= options.min_text_score] for image in images]

    async def cluster_faces(
        self,
        vectors: Vectors,
        pictures: NDArray[np.int64],
        quality: Vectors,
        previous: NDArray[np.int64] | None = None,
        must: NDArray[np.int64] | None = None,
        cannot: NDArray[np.int64] | None = None,
    ) -> NDArray[np.int64]:
        self.calls.append("cluster_faces")
        if must is not None or cannot is not None:
            none = np.zeros((0, 2), np.int64)
            links = Links(len(vectors), none if must is None else must, none if cannot is None else cannot)
            return group_faces(vectors, pictures, quality, ClusteringOptions(cut=0.5), links)
        return np.asarray(np.argmax(vectors, axis=1), np.int64)

    async def train_index(self, sample: StoredVectors, count: int) -> Packed:
        self.calls.append("train_index")
        return np.frombuffer(pickle.dumps({}), np.uint8)

    async def extend_index(self, index: Packed, vectors: StoredVectors, numbers: NDArray[np.int64]) -> Packed:
        self.calls.append("extend_index")
        held = pickle.loads(index.tobytes()) | dict(zip(numbers.tolist(), vectors, strict=True))
        return np.frombuffer(pickle.dumps(held), np.uint8)

    async def ask_index(
        self,
        index: Packed,
        vectors: StoredVectors,
        numbers: NDArray[np.int64],
        min_cosine: float,
        neighbours: int,
    ) -> NDArray[np.int64]:
        """All of the index, or the `neighbours` nearest with the two nearest among them."""
        self.calls.append("ask_index")
        held = pickle.loads(index.tobytes())
        found: set[tuple[int, int]] = set()
        for number, views in zip(numbers.tolist(), vectors, strict=True):
            others = [(_cosine(views, other), key) for key, other in held.items() if key != number]
            nearest = sorted(others, reverse=True)[:neighbours]
            found |= {
                (min(number, key), max(number, key))
                for rank, (cosine, key) in enumerate(nearest)
                if cosine >= min_cosine or rank < 2
            }
        return np.array(sorted(found), np.int64).reshape(-1, 2)

    async def compare_vectors(self, vectors: StoredVectors, pairs: NDArray[np.int64]) -> Vectors:
        self.calls.append("compare_vectors")
        return np.array([_cosine(vectors[a], vectors[b]) for a, b in pairs.tolist()], np.float32)

    async def find_candidates(self, vectors: StoredVectors, min_cosine: float, max_neighbours: int) -> Pairs:
        self.calls.append("find_candidates")
        rows = vectors[:, 0].astype(np.float32)
        rows = rows / np.linalg.norm(rows, axis=1, keepdims=True)
        cosine = rows @ rows.T
        left, right = np.nonzero(np.triu(cosine >= min_cosine, 1))
        return Pairs(left.astype(np.int64), right.astype(np.int64), cosine[left, right].astype(np.float32))

    async def describe_images(self, images: Sequence[Image]) -> list[LocalFeatures]:
        self.calls.append("describe_images")
        none = np.zeros((0, 2), np.float32)
        grey = [cv2.cvtColor(cv2.resize(image, (32, 32)), cv2.COLOR_RGB2GRAY) for image in images]
        return [LocalFeatures(pixels, none, none[:, 0], np.zeros((0, 128), np.uint8)) for pixels in grey]

    async def compare_images(
        self, features: Sequence[LocalFeatures], left: Sequence[int], right: Sequence[int]
    ) -> list[PairVerdict]:
        self.calls.append("compare_images")
        verdicts = []
        for i, j in zip(left, right, strict=True):
            difference = np.abs(features[i].pixels.astype(int) - features[j].pixels).mean()
            verdicts.append(PairVerdict(bool(difference < 6), max(0.0, 1 - difference / 64)))
        return verdicts


def _cosine(one: StoredVectors, other: StoredVectors) -> float:
    """Cosine of the whole views."""
    a, b = one[0].astype(np.float64), other[0].astype(np.float64)
    return float(a @ b / max(float(np.linalg.norm(a) * np.linalg.norm(b)), 1e-12))


def _faces(image: Image) -> list[Face]:
    colours = image.astype(int)
    faces = []
    for person in np.unique(image[(np.abs(colours[..., 0] - 250) < 4) & (np.abs(colours[..., 1] - 5) < 4)][:, 2] // 16):
        mask = np.all(np.abs(colours - (250, 5, person * 16 + 8)) < (4, 4, 9), axis=2)
        ys, xs = np.nonzero(mask)
        if len(xs) < 64:
            continue
        box = (float(xs.min()), float(ys.min()), float(xs.max() + 1), float(ys.max() + 1))
        vector = np.eye(16, dtype=np.float32)[int(person)]
        faces.append(Face(box, 0.99, 0.9, np.zeros((5, 2), np.float32), vector))
    return faces


def _texts(image: Image) -> list[Text]:
    colours = image.astype(int)
    is_text = (np.abs(colours[..., 0] - 5) < 4) & (np.abs(colours[..., 1] - 250) < 4)
    texts = []
    for place in np.unique(image[is_text][:, 2] // 9):
        ys, xs = np.nonzero(is_text & (image[..., 2] // 9 == place))
        if len(xs) < 32:
            continue
        left, top, right, bottom = (float(v) for v in (xs.min(), ys.min(), xs.max() + 1, ys.max() + 1))
        corners = ((left, top), (right, top), (right, bottom), (left, bottom))
        texts.append(Text(corners, 0.8, 3 * chr(ord("A") + int(place)), 0.9))
    return sorted(texts, key=lambda text: text.corners[0][::-1])
