"""People clustering deployment: faces of an album in, a person label per face out.

Loads no model; a call takes one core and the vectors' memory. Peak memory beyond the input: 370 MB at 100,000 faces of
128 numbers, growing in proportion (`bench.speed.people`).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from configs.settings import Settings
from deployments.algorithms.people.clusters import ClusteringOptions, group_faces
from deployments.algorithms.people.incremental import add_faces
from deployments.algorithms.people.links import Links
from deployments.contracts.arrays import Vectors
from deployments.kit.checks import Checked
from deployments.kit.threads import Threads


class ClusteringDeployment(Checked):
    """Implementation of `contracts.albums.FaceClusterer`."""

    def __init__(self, settings: Settings | None = None) -> None:
        settings = settings or Settings()
        faces = settings.faces
        self._grouping = ClusteringOptions(
            cut=faces.person_cut, group_cut=faces.group_cut, min_quality=faces.min_quality
        )
        self._threads = Threads(settings.runtime.threads)

    async def check_health(self) -> None:
        """Group two faces; raises what the algorithm raises."""
        vectors = np.eye(2, 128, dtype=np.float32)
        await self._threads.check(group_faces, vectors, np.arange(2), np.ones(2, np.float32), self._grouping)

    async def cluster_faces(
        self,
        vectors: Vectors,
        pictures: NDArray[np.int64],
        quality: Vectors,
        previous: NDArray[np.int64] | None = None,
        must: NDArray[np.int64] | None = None,
        cannot: NDArray[np.int64] | None = None,
    ) -> NDArray[np.int64]:
        """Assign a person label `int64[N]` to each face; -1: unassigned.

        `vectors` are unit `float32[N, D]`, `pictures` the image of each face `int64[N]`, `quality` `float32[N]`.
        `previous`: labels of an earlier call, -2 for new faces; see `add_faces` for what may then change. `must` and
        `cannot`: `links`. Raises `ValueError` on arrays of unlike length and on links that contradict each other.
        """
        links = _links(len(vectors), must, cannot)
        if previous is None:
            return await self._threads.run(group_faces, vectors, pictures, quality, self._grouping, links)
        return await self._threads.run(add_faces, vectors, pictures, quality, previous, self._grouping, links)


def _links(count: int, *pairs: NDArray[np.int64] | None) -> Links | None:
    """Make the links of a call; None: nothing is said of the faces."""
    must, cannot = (np.zeros((0, 2), np.int64) if some is None else some for some in pairs)
    return Links(count, must, cannot) if len(must) or len(cannot) else None
