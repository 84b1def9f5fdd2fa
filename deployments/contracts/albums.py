"""Contracts of the album capabilities: inputs, results and errors. Any layer may import this file; it needs only numpy.

Images are `uint8[H, W, 3]`, RGB, upright (the EXIF turn is already applied). Boxes are `(x1, y1, x2, y2)` in pixels of
the image they belong to, and may reach over its border. Capabilities are functions of their inputs: they know no album,
no user and no database. All of them may raise `errors.DeadlineExceeded`, `errors.Overloaded` and `errors.Unavailable`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from deployments.contracts.arrays import Gray, Image, Packed, StoredVectors, Vectors

UNASSIGNED = -1
"""Label of a face that belongs to no person."""
UNKNOWN = -2
"""Label of a face that no clustering has seen yet."""
DuplicateLevel = Literal["exact", "copy", "similar"]
"""exact: same bytes or pixels. copy: one is an edit of the other. similar: shots of one moment."""


@dataclass(frozen=True, slots=True)
class Face:
    """One face of one image."""

    bbox: tuple[float, float, float, float]
    score: float
    """Detection confidence, 0 to 1."""
    quality: float
    """Fitness for recognition, 0 to 1: size, sharpness, pose. Under the engine's gate a face joins no person."""
    landmarks: Vectors
    """Landmarks in pixels, `float32[K, 2]`; K is 468 (MediaPipe face mesh) or 5 (eyes, nose, mouth corners)."""
    embedding: Vectors
    """Vector of the face, `float32[D]`, L2-normalised."""


@dataclass(frozen=True, slots=True)
class LocalFeatures:
    """Local features of an image for geometric verification, at most about 260 kB."""

    pixels: Gray
    """The trimmed image in grey, contrast-stretched, at the working size."""
    points: Vectors
    """Keypoints in pixels of `pixels`, `float32[K, 2]`."""
    sizes: Vectors
    """Keypoint diameters in pixels, `float32[K]`."""
    descriptors: NDArray[np.uint8]
    """RootSIFT descriptors, `uint8[K, 128]`."""
    is_coloured: bool = False
    """The image has more colour than pages of text have."""
    is_cut_out: bool = False
    """Some of the image is transparent. An opaque copy of it shows nothing there, a photograph that it was cut from
    does."""


Side = Literal["left", "right"]
"""One of the two images of a pair, in the order in which they were given."""


@dataclass(frozen=True, slots=True)
class PairVerdict:
    """Verdict on whether two images are edited copies of one another."""

    is_copy: bool
    score: float
    """0 to 1: share of textured blocks that agree after warping one image onto the other."""
    overlap: float = 0.0
    """0 to 1: share of the smaller frame that both show, as far as points of the two agree on one; 0 where they do not.

    Two shots of one moment overlap though they are no copies; two portraits of different people do not.
    """
    overlay: Side | None = None
    """Which of two copies bears a sticker, a caption or the like that the other lacks; None if neither is known to."""

    def turned(self) -> PairVerdict:
        """Give the verdict on the same pair named the other way round."""
        other: dict[Side | None, Side | None] = {"left": "right", "right": "left", None: None}
        return replace(self, overlay=other[self.overlay])


@dataclass(frozen=True, slots=True)
class Shown:
    """All that an image file shows, as far as it decides which of two files is poorer."""

    digest: str
    """Hex SHA-256, equal for files that show the same: another container without loss, other metadata, the turn in the
    pixels instead of in a tag."""
    frames: int
    """Frames or pages, 1 or more."""
    bits: int
    """Bits of a sample as stored, 8 or more."""
    has_alpha: bool
    """Whether any of it is transparent."""


@dataclass(frozen=True, slots=True)
class Pairs:
    """Candidate pairs. `left[i] < right[i]`, each pair once, sorted."""

    left: NDArray[np.int64]
    right: NDArray[np.int64]
    cosine: Vectors
    """Best cosine over the views of the two, `float32[P]`."""


class ImageEmbedder(Protocol):
    """Image embedding capability."""

    async def embed_images(self, views: NDArray[np.uint8]) -> Vectors:
        """Embed square views `uint8[N, S, S, 3]`, S the engine's `input_px`, as raw, not normalised `float32[N, D]`."""
        ...


class Tagger(Protocol):
    """Tagging and search capability over stored vectors."""

    async def tag_images(self, vectors: Vectors, labels: Sequence[str] | None = None) -> list[dict[str, float]]:
        """Compute a `{tag: probability}` per image from raw view vectors `float32[N, V, D]` in the order of `VIEWS`.

        Without `labels`: the engine's own vocabulary, every tag whose probability is worth ranking, unthresholded. With
        `labels`: exactly those that the engine can judge; a label that it cannot judge is missing from every dict.
        """
        ...

    async def search_images(self, query: str, vectors: Vectors) -> Vectors:
        """Compute the relevance, 0 to 1, of each image's `float32[N, V, D]` to a free text or known word, `float32[N]`.

        Exactly 0 for an image that does not show it, where the engine can tell. Raises `NotSupported` when the text
        matches nothing that the engine knows.
        """
        ...

    async def embed_texts(self, texts: Sequence[str]) -> Vectors:
        """Embed texts as unit vectors `float32[N, D]` in the space of `embed_images`.

        Raises `NotSupported` where images and texts have no space in common.
        """
        ...


class FaceFinder(Protocol):
    """Face detection and recognition capability."""

    async def find_faces(self, images: Sequence[Image]) -> list[list[Face]]:
        """Find the faces of each image, boxes in its pixels, the most confident first."""
        ...


class FaceClusterer(Protocol):
    """Capability that groups faces into people."""

    async def cluster_faces(
        self,
        vectors: Vectors,
        pictures: NDArray[np.int64],
        quality: Vectors,
        previous: NDArray[np.int64] | None = None,
        must: NDArray[np.int64] | None = None,
        cannot: NDArray[np.int64] | None = None,
    ) -> NDArray[np.int64]:
        """Assign a cluster label `int64[N]` to each face.

        `vectors` are unit `float32[N, D]`, `pictures` the image of each face `int64[N]`, `quality` `float32[N]`. Label
        `UNASSIGNED`: too poor for any person. Two faces of one image never share a label. `previous` holds the labels
        of an earlier call for the faces that were in it and `UNKNOWN` for new ones: then only clusters near the new
        faces change. The grouping does not depend on the order of the faces.

        `must` `int64[M, 2]` and `cannot` `int64[C, 2]` are pairs of faces that share a label, and that do not; they
        hold in every answer, whatever else is said here. A face with itself: it has a label, however poor it is; it has
        none. Raises `ValueError` on arrays of unlike length and on links that contradict each other.
        """
        ...


class DuplicateFinder(Protocol):
    """Near-duplicate detection capability."""

    async def find_candidates(self, vectors: StoredVectors, min_cosine: float, max_neighbours: int) -> Pairs:
        """Find pairs that may be copies from raw view vectors `[N, V, D]` in the order of `VIEWS`.

        For albums whose vectors fit one call. Larger ones are searched a part at a time: `train_index`, `extend_index`
        for all parts, `ask_index` for each, and `compare_vectors` for what it finds.
        """
        ...

    async def train_index(self, sample: StoredVectors, count: int) -> Packed:
        """Make an empty index for about `count` images like those of the sample. An index is at most some 500 bytes an
        image."""
        ...

    async def extend_index(self, index: Packed, vectors: StoredVectors, numbers: NDArray[np.int64]) -> Packed:
        """Add images to an index under numbers of at most 31 bits. -> the new index"""
        ...

    async def ask_index(
        self,
        index: Packed,
        vectors: StoredVectors,
        numbers: NDArray[np.int64],
        min_cosine: float,
        neighbours: int,
    ) -> NDArray[np.int64]:
        """Find the images near each of some. -> pairs of numbers `int64[P, 2]`, each once, the smaller first

        About `neighbours` of each image whose cosine is roughly at least `min_cosine`, and its two nearest. `numbers`
        are those of `vectors`, in the index or not: an image is no neighbour of its own number.
        """
        ...

    async def compare_vectors(self, vectors: StoredVectors, pairs: NDArray[np.int64]) -> Vectors:
        """Compute the best cosine over the views of each pair `int64[P, 2]` of rows of `vectors`, `float32[P]`."""
        ...

    async def describe_images(self, images: Sequence[Image]) -> list[LocalFeatures]:
        """Extract the local features of each image."""
        ...

    async def compare_images(
        self, features: Sequence[LocalFeatures], left: Sequence[int], right: Sequence[int]
    ) -> list[PairVerdict]:
        """Verify each pair `(left[i], right[i])` of indices into `features`."""
        ...


class Capabilities(ImageEmbedder, Tagger, FaceFinder, FaceClusterer, DuplicateFinder, Protocol):
    """All capabilities that the use cases of albums need; a gateway to replicas, or the engines in this process."""
