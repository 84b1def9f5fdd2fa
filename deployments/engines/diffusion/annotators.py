"""Networks of ControlNet preprocessors: which weights each needs, and its detector of controlnet_aux."""

from __future__ import annotations

import sys
import threading
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from deployments.contracts.arrays import Image
from deployments.engines.diffusion.catalogue import MODELS_DIR
from deployments.engines.diffusion.loading import module_bytes
from deployments.engines.diffusion.model_cache import ModelCache
from deployments.engines.diffusion.pickles import load_tensors
from deployments.errors import Unavailable, WeightsMissing


@dataclass(frozen=True, slots=True)
class Network:
    """A network of controlnet_aux, or an image encoder."""

    detector: str
    """Class in controlnet_aux; empty for image encoders, see `image_encoders`."""
    files: tuple[str, ...]
    """Files of its weights, as their authors published them, in `annotators`."""
    source: str = "lllyasviel/Annotators"
    """Repository of a model hub that has them."""
    options: Mapping[str, str] = field(default_factory=dict)
    """Options of the detector's `from_pretrained`."""
    subfolder: str = ""
    """Folder that A1111's extension puts the files into; empty: the network's name."""


NETWORKS: Mapping[str, Network] = {
    "hed": Network("HEDdetector", ("ControlNetHED.pth",)),
    "midas": Network("MidasDetector", ("dpt_hybrid-midas-501f0c75.pt",)),
    "lineart": Network("LineartDetector", ("sk_model.pth", "sk_model2.pth")),
    "lineart_anime": Network("LineartAnimeDetector", ("netG.pth",)),
    "pidinet": Network("PidiNetDetector", ("table5_pidinet.pth",)),
    "mlsd": Network("MLSDdetector", ("mlsd_large_512_fp32.pth",)),
    "normal_bae": Network("NormalBaeDetector", ("scannet.pt",)),
    "openpose": Network("OpenposeDetector", ("body_pose_model.pth", "hand_pose_model.pth", "facenet.pth")),
    "clip_h": Network("", ("clip_h.pth",), "h94/IP-Adapter (models/image_encoder)", subfolder="clip_vision"),
    "clip_g": Network("", ("clip_g.pth",), subfolder="clip_vision"),
    "teed": Network("TEEDdetector", ("5_model.pth",), "fal-ai/teed", {"filename": "5_model.pth"}, "TEED"),
}


def find_folder(folders: Sequence[Path], name: str) -> Path | None:
    """Find the folder that has all files of a network: one of `folders`, or the network's own in it."""
    network = NETWORKS[name]
    places = (place for folder in folders for place in (folder, folder / (network.subfolder or name)))
    return next((place for place in places if all((place / file).is_file() for file in network.files)), None)


class Annotators:
    """Networks loaded from some folders, one call at a time."""

    def __init__(self, folders: Sequence[Path], device: str = "cpu") -> None:
        """Set up without loading; `folders`: those of the weights, the first one that has them counts."""
        self._folders = folders
        self._device = device
        self.cache = ModelCache(sys.maxsize)
        """Cache of the loaded networks; an engine puts its own here, so that they lie within its memory budget."""
        self._drawing = threading.Lock()
        self._opened: dict[str, Any] = {}
        self._opening = threading.Lock()  # lists open what they ask about, and wait for no network

    def has(self, name: str) -> bool:
        """Say whether the weights of a network are here."""
        return self._folder_of(name) is not None

    def draw(self, name: str, image: Image, **options: Any) -> Any:
        """Run a network over an image whose sides are multiples of 64; -> what its detector returns for `options`.

        It waits for no memory, for a batch may wait for its network to leave. Raises `WeightsMissing`, `Unavailable`,
        `OutOfMemory`.
        """
        side = min(image.shape[:2])  # so that controlnet_aux resizes nothing
        if name != "teed":
            options["image_resolution"] = side
        with self._drawing, self.cache.lease() as lease:
            expected = self._file_bytes(name)
            detector = lease.get(("annotators", name), lambda: self._open(name), _bytes_of, expected_bytes=expected)
            return detector(image, detect_resolution=side, output_type="np", **options)

    def load(self, name: str, open_it: Callable[[], Any]) -> Any:
        """Load something else once, under `name`, also while a network draws."""
        with self._opening:
            if name not in self._opened:
                self._opened[name] = open_it()
            return self._opened[name]

    def _folder_of(self, name: str) -> Path | None:
        return find_folder(self._folders, name)

    def _file_bytes(self, name: str) -> int:
        """Bytes of a network's weights, which are in float32 as the network is; 0 where they are not here."""
        folder = self._folder_of(name)
        return sum((folder / file).stat().st_size for file in NETWORKS[name].files) if folder else 0

    def _open(self, name: str) -> Any:
        network = NETWORKS[name]
        folder = self._folder_of(name)
        if folder is None:
            missing = [file for file in network.files if not any((one / file).is_file() for one in self._folders)]
            file = (missing or network.files)[0]
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
                load_tensors(folder / file)  # refuses what would run code, by name
            try:
                detector = getattr(controlnet_aux, network.detector)
                return detector.from_pretrained(str(folder), **network.options).to(self._device)
            except Exception as error:  # of a state dict that is another network's: any kind
                raise WeightsMissing(
                    f"The preprocessor's weights {', '.join(network.files)} are not those of its network "
                    f"({type(error).__name__}).",
                    extra={"file": network.files[0], "setting": MODELS_DIR},
                ) from error


def as_image(drawn: Any) -> Image:
    """Convert what a detector drew to `uint8[H, W, 3]`."""
    return np.ascontiguousarray(np.asarray(drawn, np.uint8))


def _bytes_of(detector: Any) -> int:
    """Count the bytes of a detector's networks, which are its attributes or those of its parts."""
    import torch

    parts = list(getattr(detector, "__dict__", {}).values())
    parts += [deeper for part in parts for deeper in getattr(part, "__dict__", {}).values()]
    return module_bytes(*{id(part): part for part in parts if isinstance(part, torch.nn.Module)}.values())
