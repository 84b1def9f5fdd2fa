"""ControlNet preprocessors, by name or label, with A1111's sliders and defaults (contract 3)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path

import numpy as np

from deployments.algorithms.a1111 import control_maps, hint_filters
from deployments.contracts.albums import Face
from deployments.contracts.arrays import Gray, Image
from deployments.contracts.diffusion import HintModule, HintOptions
from deployments.engines.diffusion.annotators import NETWORKS, Annotators, Network, as_image
from deployments.engines.diffusion.model_cache import ModelCache
from deployments.engines.diffusion.modules import BY_NAME, DEFAULT_PX, LEAST_PX, MODULES, MOST_PX, Module
from deployments.errors import InvalidRequest, NotSupported, WeightsMissing

FaceSearch = Callable[[Image], Sequence[Face]]
"""Function that finds the faces of an image, the most confident first, with the 468 landmarks of MediaPipe's mesh."""

_LEAST_SCORE = 0.5
"""Score of faces whose points are drawn."""
_MAX_SHOWN = 40


class Preprocessors:
    """ControlNet preprocessors. `make` may be called from several threads; the networks run one call at a time."""

    def __init__(
        self, annotators: Path | Sequence[Path], face_search: Callable[[], FaceSearch], device: str = "cpu"
    ) -> None:
        """Set up without loading; `annotators`: folder of the networks' weights, or several.

        `face_search` opens the search when it is first needed, and raises `WeightsMissing` where its own weights are
        not there.
        """
        self._annotators = Annotators((annotators,) if isinstance(annotators, Path) else annotators, device)
        self._open_face_search = face_search

    def lie_in(self, cache: ModelCache) -> None:
        """Keep networks in an engine's cache from now on, within its memory budget."""
        self._annotators.cache = cache

    def make(self, module: str, image: Image, options: HintOptions) -> Image:
        """Make the hint of an image, see `Diffuser.make_hint`.

        Raises `InvalidRequest`, `NotSupported`, `WeightsMissing`, `OutOfMemory`, `Unavailable` (a package is missing).
        """
        chosen = BY_NAME.get(module)
        if chosen is None:
            raise InvalidRequest(f"There is no preprocessor '{module[:_MAX_SHOWN]}'.")
        draw = chosen.draw
        if draw is None:
            raise NotSupported(f"The preprocessor '{chosen.name}' does not run on this server.")
        a = chosen.a.settle(options.threshold_a) if chosen.a else 0.0
        b = chosen.b.settle(options.threshold_b) if chosen.b else 0.0
        if chosen.fills and options.mask is not None:
            image = self._fill(image, options.mask)
        if not chosen.resolution:
            return np.ascontiguousarray(draw(self, image, a, b))
        asked = options.processor_res
        short_side = asked if LEAST_PX <= asked <= MOST_PX else DEFAULT_PX
        longest = max(image.shape[:2]) * short_side / min(image.shape[:2])
        if longest > 2 * MOST_PX:  # a strip: its short side may not be blown up
            short_side = max(1, int(short_side * 2 * MOST_PX / longest))
        return control_maps.at_resolution(image, short_side, lambda work: draw(self, work, a, b))

    def modules(self) -> tuple[HintModule, ...]:
        """List the preprocessors, whether they can run, and which weights they need from where."""
        has_weights = cache(self._annotators.has)  # several preprocessors draw with one network
        return tuple(
            HintModule(
                module.name,
                module.label,
                self._has(module, has_weights),
                tuple(slider.json() for slider in module.sliders),
                tags=module.tags,
                weights=tuple(file for network in _networks_of(module) for file in network.files),
                source=next((network.source for network in _networks_of(module)), ""),
                model_free=module.model_free,
            )
            for module in MODULES
        )

    def _fill(self, image: Image, mask: Gray) -> Image:
        if mask.shape != image.shape[:2]:
            raise InvalidRequest("A mask has the size of its image.")
        return as_image(self._annotators.draw("lama", image, mask=mask)) if mask.any() else image

    def run(self, name: str, image: Image, **options: object) -> Image:
        """Draw a hint by a network of `annotators.NETWORKS`."""
        return as_image(self._annotators.draw(name, image, **options))

    def run_normals(self, image: Image, background: float) -> Image:
        """Draw normals by the MiDaS network; what is farther away than `background` (0 to 1) faces the camera."""
        _, normals = self._annotators.draw("midas", image, depth_and_normal=True, bg_th=background)
        return as_image(normals)

    def draw_faces(self, image: Image, most: int, least_score: float) -> Image:
        """Draw the face meshes of at most `most` faces."""
        found = self._find_faces(image, least_score)
        return control_maps.draw_faces((image.shape[1], image.shape[0]), found[:most])

    def draw_face_points(self, image: Image) -> Image:
        """Draw the points of all faces as OpenPose does."""
        return hint_filters.draw_face_points((image.shape[1], image.shape[0]), self._find_faces(image, _LEAST_SCORE))

    def _find_faces(self, image: Image, least_score: float) -> list[np.ndarray]:
        search: FaceSearch = self._annotators.load("face", self._open_face_search)
        return [face.landmarks[:, :2] for face in search(image) if face.score >= least_score]

    def _has(self, module: Module, has_weights: Callable[[str], bool]) -> bool:
        if module.draw is None and module.draws:
            return False
        if module.needs == "face":
            try:
                self._annotators.load("face", self._open_face_search)
            except WeightsMissing:
                return False
            return True
        return not module.needs or any(has_weights(name) for name in module.needs.split())


def _networks_of(module: Module) -> list[Network]:
    return [NETWORKS[name] for name in module.needs.split() if name in NETWORKS]
