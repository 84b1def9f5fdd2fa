"""Avatar engine without weights: the drawings of `deployments/assets/animals`, painted and composited over images."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Mapping

from deployments.algorithms.avatars.compositing import PortraitCanvas, draw_head
from deployments.algorithms.avatars.head_space import pose_of
from deployments.algorithms.avatars.layers import PaintedLayer, paint, size_for
from deployments.assets.animals import Animal, load_animals
from deployments.contracts.portraits import AvatarPicture, AvatarTask
from deployments.errors import InvalidRequest

_CHECK_PX = 6
_CACHE_BYTES = 192 * 2**20


class LocalAvatarArtist:
    """Avatar engine `local`. Thread-safe, one core a call; deterministic for a seed."""

    def __init__(self, animals: Mapping[str, Animal] | None = None, cache_bytes: int = _CACHE_BYTES) -> None:
        """Check every drawing; `animals`: default all of `deployments/assets/animals`.

        `cache_bytes`: bound of the painted parts. Raises `ValueError` that names the file when one cannot be drawn.
        """
        self._animals = load_animals() if animals is None else animals
        self._painted = _PaintedParts(cache_bytes)
        for animal in self._animals.values():
            _check(animal)

    def render(self, request: AvatarTask) -> AvatarPicture:
        """Draw the animal on every face of the task's segmentation, the farthest first.

        Raises `InvalidRequest` for an animal that the engine was not built with.
        """
        animal = self._animals.get(request.animal)
        if animal is None:
            raise InvalidRequest(f"There is no animal {request.animal!r}.")
        faces = request.segmentation.faces
        nearest_last = sorted(range(len(faces)), key=lambda index: pose_of(faces[index]).unit_px)
        canvas = PortraitCanvas.of(request.image)
        changed = []
        for index in nearest_last:
            size = size_for(pose_of(faces[index]).unit_px)
            layers = [
                self._painted.get(animal, place, size)
                for place, layer in enumerate(animal.drawing.layers)
                if request.mode in layer.modes
            ]
            if draw_head(
                canvas,
                request.image,
                request.segmentation,
                faces[index],
                layers,
                animal.drawing,
                request.mode,
                request.strength,
                request.seed + index,
            ):
                changed.append(index)
        return AvatarPicture(canvas.picture, tuple(sorted(changed)))


class _PaintedParts:
    """LRU cache of painted parts under a byte budget."""

    def __init__(self, max_bytes: int) -> None:
        self._max_bytes = max_bytes
        self._kept: OrderedDict[tuple[str, int, int], PaintedLayer] = OrderedDict()
        self._bytes = 0
        self._lock = threading.Lock()

    def get(self, animal: Animal, place: int, px: int) -> PaintedLayer:
        key = (animal.name, place, px)
        with self._lock:
            if key in self._kept:
                self._kept.move_to_end(key)
                return self._kept[key]
        layer = animal.drawing.layers[place]
        painted = paint(layer, animal.parts[layer.svg], px, seed=place)
        with self._lock:
            if key not in self._kept:
                self._kept[key] = painted
                self._bytes += painted.size_bytes
            while self._bytes > self._max_bytes and len(self._kept) > 1:
                self._bytes -= self._kept.popitem(last=False)[1].size_bytes
        return painted


def _check(animal: Animal) -> None:
    """Paint every part of the animal once. Raises `ValueError` when one cannot be painted."""
    for layer in animal.drawing.layers:
        try:
            paint(layer, animal.parts[layer.svg], _CHECK_PX)
        except ValueError as error:
            raise ValueError(f"deployments/assets/animals/{animal.name}/{layer.svg}: {error}") from error
