"""ControlNet preprocessors, by name or label, with A1111's sliders and defaults (contract 3)."""

from __future__ import annotations

import threading
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Literal

import numpy as np

from deployments.algorithms.a1111 import control_maps
from deployments.contracts.albums import Face
from deployments.contracts.arrays import Image
from deployments.contracts.diffusion import HintModule, HintOptions
from deployments.engines.diffusion.catalogue import MODELS_DIR
from deployments.errors import InvalidRequest, Unavailable, WeightsMissing

FaceSearch = Callable[[Image], Sequence[Face]]
"""Function that finds the faces of an image, the most confident first, with the 468 landmarks of MediaPipe's mesh."""
Draw = Callable[["Preprocessors", Image, float, float], Image]
"""Function that draws a hint: preprocessors, image and the two thresholds -> the hint."""

_DEFAULT_PX, _LEAST_PX, _MOST_PX = 512, 64, 2048
_MAX_SHOWN = 40


@dataclass(frozen=True, slots=True)
class Slider:
    """A1111's description of one option: its default, range and step."""

    name: str
    value: float
    least: float
    most: float
    step: float

    def settle(self, asked: float | None) -> float:
        """Return the asked value, or the default for one outside the range, as in A1111."""
        return self.value if asked is None or not self.least <= asked <= self.most else asked

    def json(self) -> dict[str, str | float]:
        """Describe the slider as A1111's API does."""
        return {"name": self.name, "value": self.value, "min": self.least, "max": self.most, "step": self.step}


@dataclass(frozen=True, slots=True)
class Module:
    """A preprocessor (A1111's "module")."""

    name: str
    label: str
    draw: Draw | None
    """Function that draws at the working resolution; None: the image as it is."""
    resolution: bool = True
    """Whether it works at a resolution of its own."""
    a: Slider | None = None
    b: Slider | None = None
    needs: Literal["", "hed", "midas", "face"] = ""

    @property
    def sliders(self) -> list[Slider]:
        """Sliders of the preprocessor, in A1111's order."""
        size = [Slider("Resolution", _DEFAULT_PX, _LEAST_PX, _MOST_PX, 8)] if self.resolution else []
        return size + [slider for slider in (self.a, self.b) if slider]


_WEIGHTS = {"hed": "ControlNetHED.pth", "midas": "dpt_hybrid-midas-501f0c75.pt"}
"""Weight files by network, as controlnet_aux names them."""

MODULES: tuple[Module, ...] = (
    Module("none", "none", None, resolution=False),
    Module(
        "canny",
        "canny",
        lambda _, image, low, high: control_maps.draw_canny(image, low, high),
        a=Slider("Low Threshold", 100, 1, 255, 1),
        b=Slider("High Threshold", 200, 1, 255, 1),
    ),
    Module("depth", "depth_midas", lambda preprocessors, image, *_: preprocessors.draw_depth(image), needs="midas"),
    Module("hed", "softedge_hed", lambda preprocessors, image, *_: preprocessors.draw_soft_edges(image), needs="hed"),
    Module(
        "hed_safe",
        "softedge_hedsafe",
        lambda preprocessors, image, *_: preprocessors.draw_soft_edges(image, safe=True),
        needs="hed",
    ),
    Module(
        "scribble_hed",
        "scribble_hed",
        lambda preprocessors, image, *_: preprocessors.draw_soft_edges(image, scribble=True),
        needs="hed",
    ),
    Module(
        "mediapipe_face",
        "mediapipe_face",
        lambda preprocessors, image, most, least: preprocessors.draw_faces(image, int(most), least),
        a=Slider("Max Faces", 1, 1, 10, 1),
        b=Slider("Min Face Confidence", 0.5, 0.01, 1.0, 0.01),
        needs="face",
    ),
    Module("invert", "invert (from white bg & black line)", lambda _, image, *__: 255 - image, resolution=False),
    Module(
        "threshold",
        "threshold",
        lambda _, image, above, __: control_maps.draw_threshold(image, above),
        a=Slider("Binarization Threshold", 127, 0, 255, 1),
    ),
    Module(
        "scribble_xdog",
        "scribble_xdog",
        lambda _, image, threshold, __: control_maps.draw_xdog(image, threshold),
        a=Slider("XDoG Threshold", 32, 1, 64, 1),
    ),
)
_BY_NAME = {name: module for module in MODULES for name in (module.name, module.label)}
"""Preprocessors by name and by label."""


class Preprocessors:
    """ControlNet preprocessors. `make` may be called from several threads; the networks run one call at a time."""

    def __init__(self, annotators: Path, face_search: Callable[[], FaceSearch], device: str = "cpu") -> None:
        """Set up without loading; `annotators`: folder of the networks' weights.

        `face_search` opens the search when it is first needed, and raises `WeightsMissing` where its own weights are
        not there.
        """
        self._annotators = annotators
        self._open_face_search = face_search
        self._device = device
        self._loaded: dict[str, Any] = {}
        self._lock = threading.Lock()

    def make(self, module: str, image: Image, options: HintOptions) -> Image:
        """Make the hint of an image, see `Diffuser.make_hint`.

        Raises `InvalidRequest`, `WeightsMissing`, `Unavailable` (a package is missing).
        """
        chosen = _BY_NAME.get(module)
        if chosen is None:
            raise InvalidRequest(f"There is no preprocessor '{module[:_MAX_SHOWN]}'.")
        if chosen.draw is None:
            return image
        draw = chosen.draw
        a = chosen.a.settle(options.threshold_a) if chosen.a else 0.0
        b = chosen.b.settle(options.threshold_b) if chosen.b else 0.0
        if not chosen.resolution:
            return np.ascontiguousarray(draw(self, image, a, b))
        asked = options.processor_res
        short_side = asked if _LEAST_PX <= asked <= _MOST_PX else _DEFAULT_PX
        longest = max(image.shape[:2]) * short_side / min(image.shape[:2])
        if longest > 2 * _MOST_PX:  # a strip: its short side may not be blown up
            short_side = max(1, int(short_side * 2 * _MOST_PX / longest))
        return control_maps.at_resolution(image, short_side, lambda work: draw(self, work, a, b))

    def modules(self) -> tuple[HintModule, ...]:
        """List the preprocessors and whether their weights are here."""
        return tuple(
            HintModule(module.name, module.label, self._has(module), tuple(slider.json() for slider in module.sliders))
            for module in MODULES
        )

    def draw_faces(self, image: Image, most: int, least_score: float) -> Image:
        """Draw the face meshes of at most `most` faces."""
        search = self._load("face", self._open_face_search)
        found = [face.landmarks[:, :2] for face in search(image) if face.score >= least_score]
        return control_maps.draw_faces((image.shape[1], image.shape[0]), found[:most])

    def draw_soft_edges(self, image: Image, *, safe: bool = False, scribble: bool = False) -> Image:
        """Draw soft edges by the HED network."""
        detect = self._load("hed", partial(self._open_network, "hed", "HEDdetector"))
        return self._run(detect, image, safe=safe, scribble=scribble)

    def draw_depth(self, image: Image) -> Image:
        """Draw a depth map by the MiDaS network."""
        detect = self._load("midas", partial(self._open_network, "midas", "MidasDetector"))
        return self._run(detect, image)

    def _run(self, detect: Any, image: Image, **options: Any) -> Image:
        side = min(image.shape[:2])  # a multiple of 64, so that controlnet_aux resizes nothing
        with self._lock:
            drawn = detect(image, detect_resolution=side, image_resolution=side, output_type="np", **options)
        return np.asarray(drawn, np.uint8)

    def _load(self, name: str, open_it: Callable[[], Any]) -> Any:
        with self._lock:
            if name not in self._loaded:
                self._loaded[name] = open_it()
            return self._loaded[name]

    def _open_network(self, name: str, cls: str) -> Any:
        file = _WEIGHTS[name]
        if not (self._annotators / file).is_file():
            raise WeightsMissing(
                f"The preprocessor's weights {file} are not in annotators/ of the folder that {MODELS_DIR} names.",
                extra={"file": file, "setting": MODELS_DIR},
            )
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # it misses packages of detectors that are not used here, and more
            try:
                import controlnet_aux
            except ImportError as error:
                raise Unavailable("Preprocessors need controlnet-aux: install darkroom[diffusion].") from error
            return getattr(controlnet_aux, cls).from_pretrained(str(self._annotators)).to(self._device)

    def _has(self, module: Module) -> bool:
        if module.needs == "face":
            try:
                self._load("face", self._open_face_search)
            except WeightsMissing:
                return False
            return True
        return not module.needs or (self._annotators / _WEIGHTS[module.needs]).is_file()
