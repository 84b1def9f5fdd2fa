"""Second look at pairs of which previews tell too little: both have frames, or one is transparent somewhere.

A preview is the first frame on white. Two animations may share no more than that; of a white drawing on clear ground it
shows nothing; and a photograph looks like a copy of what was cut out of it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial

from deployments.contracts.albums import LocalFeatures, PairVerdict, Shown
from serve_app.services.albums.duplicate_report import Pair
from serve_app.services.albums.pair_checks import PairChecks
from serve_app.services.images.store import ImageStore
from serve_app.services.jobs.progress import Progress
from serve_app.store.repositories.images import Content

_SHARES = (0.0, 0.25, 0.5, 0.75, 1.0)
"""Places in an animation or scan at which frames are compared; at the same place two of one content show the same."""


def needs_second_look(left: Shown, right: Shown) -> bool:
    """Tell whether the previews of two files say too little about the pair."""
    return left.has_alpha or right.has_alpha or (left.frames > 1 and right.frames > 1)


class LayerChecks:
    """Checks of pairs by what their files show: frames, each on a ground on which it can be seen."""

    def __init__(
        self, checks: PairChecks, pictures: ImageStore, contents: Sequence[Content], shown: Mapping[int, Shown]
    ) -> None:
        self._checks = checks
        self._pictures = pictures
        self._contents = contents
        self._shown = shown

    async def verdicts(self, version: str, pairs: Sequence[Pair], progress: Progress) -> dict[Pair, PairVerdict]:
        """Load the kept verdicts, and compare the other pairs. A pair that cannot be compared is missing."""
        return await self._checks.keep(version, set(pairs), self._compare, progress)

    async def _compare(self, batch: Sequence[Pair]) -> dict[Pair, PairVerdict]:
        looks = {place: await self._describe(place) for place in sorted({place for pair in batch for place in pair})}
        verdicts = {}
        for a, b in batch:
            layers = list(zip(looks[a], looks[b], strict=False))  # a still is compared with the first frame
            features = [one for pair in layers for one in pair]
            places = [(2 * number, 2 * number + 1) for number in range(len(layers))]
            found = await self._checks.compare(features, places, [a, b] * len(layers))
            judged = [verdict for verdict in found if verdict is not None]
            if judged and len(judged) == len(layers):
                verdicts[a, b] = PairVerdict(
                    is_copy=all(verdict.is_copy for verdict in judged),
                    score=min(verdict.score for verdict in judged),
                    overlap=min(verdict.overlap for verdict in judged),
                    overlay=judged[0].overlay if len({verdict.overlay for verdict in judged}) == 1 else None,
                )
        return verdicts

    async def _describe(self, place: int) -> list[LocalFeatures]:
        """Describe the frames of a content that are compared; none where one of them cannot be decoded."""
        shown = self._shown[place]
        described: list[LocalFeatures | None] = []
        for share in _SHARES if shown.frames > 1 else _SHARES[:1]:
            image = await self._checks.decoded(place, partial(self._pictures.frame, share=share))
            if image is None:
                return []
            described += await self._checks.describe([(place, image, shown.has_alpha)])
        found = [one for one in described if one is not None]
        return found if len(found) == len(described) else []
