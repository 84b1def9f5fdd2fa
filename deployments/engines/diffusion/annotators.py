"""Networks of ControlNet preprocessors: which weights each needs, and its detector of controlnet_aux."""

from __future__ import annotations

import threading
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from deployments.contracts.arrays import Image
from deployments.engines.diffusion.catalogue import MODELS_DIR
from deployments.engines.diffusion.pickles import load_tensors
from deployments.errors import Unavailable, WeightsMissing


@dataclass(frozen=True, slots=True)
class Network:
    """A network of controlnet_aux."""

    detector: str
    """Class in controlnet_aux."""
    files: tuple[str, ...]
    """Files of its weights, as their authors published them, in `annotators`."""
    source: str = "lllyasviel/Annotators"
    """Repository of a model hub that has them."""
    options: Mapping[str, str] = field(default_factory=dict)
    """Options of the detector's `from_pretrained`."""


NETWORKS: Mapping[str, Network] = {
    "hed": Network("HEDdetector", ("ControlNetHED.pth",)),
    "midas": Network("MidasDetector", ("dpt_hybrid-midas-501f0c75.pt",)),
    "lineart": Network("LineartDetector", ("sk_model.pth", "sk_model2.pth")),
    "lineart_anime": Network("LineartAnimeDetector", ("netG.pth",)),
    "pidinet": Network("PidiNetDetector", ("table5_pidinet.pth",)),
    "mlsd": Network("MLSDdetector", ("mlsd_large_512_fp32.pth",)),
    "normal_bae": Network("NormalBaeDetector", ("scannet.pt",)),
    "openpose": Network("OpenposeDetector", ("body_pose_model.pth", "hand_pose_model.pth", "facenet.pth")),
    "teed": Network("TEEDdetector", ("5_model.pth",), "fal-ai/teed", {"filename": "5_model.pth"}),
}


class Annotators:
    """Networks loaded from one folder, one call at a time."""

    def __init__(self, folder: Path, device: str = "cpu") -> None:
        """Set up without loading; `folder`: that of the weights."""
        self._folder = folder
        self._device = device
        self._loaded: dict[str, Any] = {}
        self._drawing = threading.Lock()
        self._opened: dict[str, Any] = {}
        self._opening = threading.Lock()  # lists open what they ask about, and wait for no network

    def has(self, name: str) -> bool:
        """Say whether the weights of a network are here."""
        return not self._missing(name)

    def draw(self, name: str, image: Image, **options: Any) -> Any:
        """Run a network over an image whose sides are multiples of 64; -> what its detector returns for `options`.

        Raises `WeightsMissing`, `Unavailable`.
        """
        side = min(image.shape[:2])  # so that controlnet_aux resizes nothing
        if name != "teed":
            options["image_resolution"] = side
        with self._drawing:
            if name not in self._loaded:
                self._loaded[name] = self._open(name)
            return self._loaded[name](image, detect_resolution=side, output_type="np", **options)

    def load(self, name: str, open_it: Callable[[], Any]) -> Any:
        """Load something else once, under `name`, also while a network draws."""
        with self._opening:
            if name not in self._opened:
                self._opened[name] = open_it()
            return self._opened[name]

    def _missing(self, name: str) -> list[str]:
        return [file for file in NETWORKS[name].files if not (self._folder / file).is_file()]

    def _open(self, name: str) -> Any:
        network = NETWORKS[name]
        for file in self._missing(name):
            raise WeightsMissing(
                f"The preprocessor's weights {file} are not in annotators/ of the folder that {MODELS_DIR} names.",
                extra={"file": file, "setting": MODELS_DIR, "source": network.source},
            )
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # it misses packages of detectors that are not used here, and more
            try:
                import controlnet_aux
            except ImportError as error:
                raise Unavailable("Preprocessors need controlnet-aux: install darkroom[diffusion].") from error
            for file in network.files:
                load_tensors(self._folder / file)  # refuses what would run code, by name
            try:
                detector = getattr(controlnet_aux, network.detector)
                return detector.from_pretrained(str(self._folder), **network.options).to(self._device)
            except Exception as error:  # of a state dict that is another network's: any kind
                raise WeightsMissing(
                    f"The preprocessor's weights {', '.join(network.files)} are not those of its network "
                    f"({type(error).__name__}).",
                    extra={"file": network.files[0], "setting": MODELS_DIR},
                ) from error


def as_image(drawn: Any) -> Image:
    """Convert what a detector drew to `uint8[H, W, 3]`."""
    return np.ascontiguousarray(np.asarray(drawn, np.uint8))
