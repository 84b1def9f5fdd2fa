"""What each capability takes, gives and raises. Everybody may import this file; it needs only numpy.

Pictures are `uint8[H, W, 3]`, RGB, upright (the EXIF turn is already applied). Boxes are `(x1, y1, x2, y2)` in pixels
of the picture they belong to, and may reach over its border. Capabilities are functions of their inputs: they know no
album, no user and no database. All of them may raise `errors.DeadlineExceeded`, `errors.Overloaded` and
`errors.Unavailable`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from deployments.contracts.arrays import Gray, Image, Vectors

UNASSIGNED = -1
"""Label of a face that belongs to no person."""
UNKNOWN = -2
"""Label of a face that no clustering has seen yet."""
DuplicateLevel = Literal["exact", "copy", "similar"]


@dataclass(frozen=True, slots=True)
class Face:
    """One face of one picture."""

    bbox: tuple[float, float, float, float]
    score: float
    """Detection confidence, 0 to 1."""
    quality: float
    """Fitness for recognition, 0 to 1: size, sharpness, pose. Under the engine's gate a face joins no person."""
    landmarks: Vectors
    """`float32[K, 2]`, pixels; K is 468 (MediaPipe face mesh) or 5 (eyes, nose, mouth corners)."""
    embedding: Vectors
    """`float32[D]`, L2-normalised."""


@dataclass(frozen=True, slots=True)
class LocalFeatures:
    """What the geometric check needs to know of a picture, at most about 260 kB."""

    pixels: Gray
    """The trimmed picture in grey, contrast-stretched, at the working size."""
    points: Vectors
    """`float32[K, 2]`, keypoints in pixels of `pixels`."""
    sizes: Vectors
    """`float32[K]`, keypoint diameters in pixels."""
    descriptors: NDArray[np.uint8]
    """`uint8[K, 128]`."""


@dataclass(frozen=True, slots=True)
class PairVerdict:
    """Whether two pictures are edited copies of one another."""

    is_copy: bool
    score: float
    """0 to 1: share of textured blocks that agree after warping one picture onto the other."""
    overlap: float = 0.0
    """0 to 1: share of the smaller frame that both show, as far as points of the two agree on one; 0 where they do not.

    Two shots of one moment overlap though they are no copies; two portraits of different people do not.
    """


@dataclass(frozen=True, slots=True)
class Pairs:
    """Candidate pairs. `left[i] < right[i]`, each pair once, sorted."""

    left: NDArray[np.int64]
    right: NDArray[np.int64]
    cosine: Vectors
    """`float32[P]`, the best cosine over the views of the two."""


class ImageEmbedder(Protocol):
    async def embed_images(self, views: NDArray[np.uint8]) -> Vectors:
        """`uint8[N, S, S, 3]` square views (S is the engine's `input_px`) -> raw, not normalised `float32[N, D]`."""
        ...


class Tagger(Protocol):
    async def tag_images(self, vectors: Vectors, labels: Sequence[str] | None = None) -> list[dict[str, float]]:
        """Raw view vectors `float32[N, V, D]` in the order of `VIEWS` -> a `{tag: probability}` a picture.

        Without `labels`: the engine's own vocabulary, every tag whose probability is worth ranking, unthresholded. With
        `labels`: exactly those that the engine can judge; a label that it cannot judge is missing from every dict.
        """
        ...

    async def search_images(self, query: str, vectors: Vectors) -> Vectors:
        """`float32[N]` relevance, 0 to 1, of each picture's `float32[N, V, D]` to a free text or known word.

        Exactly 0 for a picture that does not show it, where the engine can tell.

        Raises `NotSupported` when the text matches nothing that the engine knows.
        """
        ...


class FaceFinder(Protocol):
    async def find_faces(self, images: Sequence[Image]) -> list[list[Face]]:
        """Faces of each picture, boxes in its pixels, the most confident first."""
        ...


class FaceClusterer(Protocol):
    async def cluster_faces(
        self,
        vectors: Vectors,
        pictures: NDArray[np.int64],
        quality: Vectors,
        previous: NDArray[np.int64] | None = None,
    ) -> NDArray[np.int64]:
        """`float32[N, D]` unit vectors, the picture each is from, quality `float32[N]` -> cluster label `int64[N]`.

        `UNASSIGNED`: too poor to belong to anybody. Two faces of one picture never share a label. `previous` holds the
        labels of an earlier call for the faces that were in it, `UNKNOWN` for new ones: then only clusters near the new
        faces change.
        The grouping does not depend on the order of the faces.
        """
        ...


class DuplicateFinder(Protocol):
    async def find_candidates(self, vectors: Vectors, min_cosine: float, max_neighbours: int) -> Pairs:
        """Raw view vectors `float32[N, V, D]` in the order of `VIEWS` -> pairs that may be copies."""
        ...

    async def describe_images(self, images: Sequence[Image]) -> list[LocalFeatures]: ...

    async def compare_images(
        self, features: Sequence[LocalFeatures], left: Sequence[int], right: Sequence[int]
    ) -> list[PairVerdict]:
        """Verdict on each pair `(left[i], right[i])` of indices into `features`."""
        ...


class Capabilities(ImageEmbedder, Tagger, FaceFinder, FaceClusterer, DuplicateFinder, Protocol):
    """All that the use cases of albums need; a gateway to replicas, or the engines in this process."""
