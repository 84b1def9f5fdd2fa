"""Networks of ControlNet preprocessors: which weights each needs, and its detector of controlnet_aux."""

from __future__ import annotations

import sys
import threading
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from deployments.assets.palettes import ade20k, coco_panoptic
from deployments.contracts.arrays import Image
from deployments.engines.diffusion.animal_poses import AnimalPose
from deployments.engines.diffusion.catalogue import MODELS_DIR
from deployments.engines.diffusion.depth_anything import open_depth_anything
from deployments.engines.diffusion.depth_networks import open_leres, open_sharp_leres, open_zoe
from deployments.engines.diffusion.dwpose import DWPose
from deployments.engines.diffusion.headers import load_tensors
from deployments.engines.diffusion.lama import open_lama
from deployments.engines.diffusion.loading import module_bytes
from deployments.engines.diffusion.model_cache import ModelCache
from deployments.engines.diffusion.poses import open_openpose
from deployments.engines.diffusion.segmenters import folders, open_segmenter
from deployments.errors import DarkroomError, Unavailable, WeightsMissing


@dataclass(frozen=True, slots=True)
class Network:
    """A network of controlnet_aux, or an image encoder."""

    detector: str
    """Class in controlnet_aux; empty where `open` is given, and for image encoders, see `image_encoders`."""
    files: tuple[str, ...]
    """Files of its weights, as their authors published them, in `annotators`."""
    source: str = "lllyasviel/Annotators"
    """Repository of a model hub that has them."""
    options: Mapping[str, str] = field(default_factory=dict)
    """Options of the detector's `from_pretrained`."""
    subfolder: str = ""
    """Folder that A1111's extension puts the files into; empty: the network's name."""
    instead: tuple[str, ...] = ()
    """Files each of which does as well as the one of `files`: smaller networks of the kind, other formats."""
    beside: tuple[str, ...] = ()
    """Files that must lie in the folder of the weights, whichever those are."""
    open: Callable[[Sequence[Path]], Any] | None = None
    """Function that opens the detector from its files; None: by the `from_pretrained` of `detector`."""


_ADE20K = folders("oneformer_ade20k_swin_large", "oneformer_ade20k_swin_tiny")
_COCO = folders("oneformer_coco_swin_large")
_UPERNET = folders(
    *(f"upernet-convnext-{size}" for size in ("small", "xlarge", "large", "base", "tiny")),
    *(f"upernet-swin-{size}" for size in ("large", "base", "small", "tiny")),
)


def _segmenter(kind: str, files: tuple[str, ...], hub: str, palette: Callable[[], NDArray[np.uint8]]) -> Network:
    """The network of a folder as the hub has it: the first of `files` that is there, beside its configuration."""
    return Network(
        "",
        files[:1],
        f"{hub}, with its config.json and preprocessor_config.json",
        subfolder=kind,
        instead=files[1:],
        beside=("config.json",),
        open=partial(open_segmenter, kind=kind, palette=palette),
    )


NETWORKS: Mapping[str, Network] = {
    "hed": Network("HEDdetector", ("ControlNetHED.pth",)),
    "midas": Network("MidasDetector", ("dpt_hybrid-midas-501f0c75.pt",)),
    "lineart": Network("LineartDetector", ("sk_model.pth", "sk_model2.pth")),
    "lineart_anime": Network("LineartAnimeDetector", ("netG.pth",)),
    "pidinet": Network("PidiNetDetector", ("table5_pidinet.pth",)),
    "mlsd": Network("MLSDdetector", ("mlsd_large_512_fp32.pth",)),
    "normal_bae": Network("NormalBaeDetector", ("scannet.pt",)),
    "openpose": Network("", ("body_pose_model.pth", "hand_pose_model.pth", "facenet.pth"), open=open_openpose),
    "clip_h": Network("", ("clip_h.pth",), "h94/IP-Adapter (models/image_encoder)", subfolder="clip_vision"),
    "clip_g": Network("", ("clip_g.pth",), subfolder="clip_vision"),
    "depth_anything": Network(
        "",
        ("depth_anything_vitl14.pth",),
        "LiheYoung/Depth-Anything (checkpoints)",
        instead=("depth_anything_vitb14.pth", "depth_anything_vits14.pth"),
        open=open_depth_anything,
    ),
    "depth_anything_v2": Network(
        "",
        ("depth_anything_v2_vitl.safetensors",),
        "MackinationsAi/Depth-Anything-V2_Safetensors, or .pth of depth-anything/Depth-Anything-V2-Small",
        instead=tuple(
            f"depth_anything_v2_vit{size}.{ending}"
            for size, ending in (("l", "pth"), ("b", "safetensors"), ("b", "pth"), ("s", "safetensors"), ("s", "pth"))
        ),
        open=partial(open_depth_anything, is_second=True),
    ),
    "dwpose": Network(
        "", ("yolox_l.onnx", "dw-ll_ucoco_384.onnx"), "yzd-v/DWPose", subfolder="openpose", open=DWPose.open
    ),
    "animal_openpose": Network(
        "",
        ("yolox_l.onnx", "rtmpose-m_ap10k_256.onnx"),
        "yzd-v/DWPose, and hr16/UnJIT-DWPose",
        subfolder="openpose",
        open=AnimalPose.open,
    ),
    "zoe": Network("", ("ZoeD_M12_N.pt",), subfolder="zoedepth", open=open_zoe),
    "leres": Network("", ("res101.pth",), open=open_leres),
    "leres++": Network("", ("res101.pth", "latest_net_G.pth"), subfolder="leres", open=open_sharp_leres),
    "lama": Network("", ("ControlNetLama.pth",), open=open_lama),
    "oneformer_ade20k": _segmenter("oneformer", _ADE20K, "shi-labs/oneformer_ade20k_swin_large", ade20k),
    "oneformer_coco": _segmenter("oneformer", _COCO, "shi-labs/oneformer_coco_swin_large", coco_panoptic),
    "upernet": _segmenter("upernet", _UPERNET, "openmmlab/upernet-convnext-small", ade20k),
    "teed": Network("TEEDdetector", ("5_model.pth",), "fal-ai/teed", {"filename": "5_model.pth"}, "TEED"),
}


def find_weights(folders: Sequence[Path], name: str) -> list[Path]:
    """Find the files of a network, all in one folder: one of `folders`, or the network's own in it; empty: there are
    none. Those that lack what must lie beside them are the last choice."""
    network = NETWORKS[name]
    places = _places(folders, name)
    found: list[Path] = []
    for files in (network.files, *((file,) for file in network.instead)):
        for place in places:
            here = [place / file for file in files]
            if not all(file.is_file() for file in here):
                continue
            if _is_whole(network, here):
                return here
            found = found or here
    return found


def _is_whole(network: Network, files: Sequence[Path]) -> bool:
    return all((file.parent / other).is_file() for file in files for other in network.beside)


def _places(folders: Sequence[Path], name: str) -> list[Path]:
    """Folders that a network's files may lie in, of those that are there."""
    places = [place for folder in folders for place in (folder, folder / (NETWORKS[name].subfolder or name))]
    return [place for place in places if place.is_dir()]


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
        """Say whether the weights of a network are here, and what belongs to them."""
        found = find_weights(self._folders, name)
        return bool(found) and _is_whole(NETWORKS[name], found)

    def draw(self, name: str, image: Image, **options: Any) -> Any:
        """Run a network over an image whose sides are multiples of 64; -> what its detector returns for `options`.

        It waits for no memory, for a batch may wait for its network to leave. Raises `WeightsMissing`, `Unavailable`,
        `OutOfMemory`.
        """
        side = min(image.shape[:2])  # so that controlnet_aux resizes nothing
        if name != "teed":
            options["image_resolution"] = side
        with self._drawing, self.cache.lease() as lease:
            detector = lease.get(
                ("annotators", name),
                lambda: self._open(name),
                _bytes_of,
                expected_bytes=lambda: self._file_bytes(name),
            )
            return detector(image, detect_resolution=side, output_type="np", **options)

    def load(self, name: str, open_it: Callable[[], Any]) -> Any:
        """Load something else once, under `name`, also while a network draws."""
        with self._opening:
            if name not in self._opened:
                self._opened[name] = open_it()
            return self._opened[name]

    def _file_bytes(self, name: str) -> int:
        """Bytes of a network's weights, which are in float32 as the network is; 0 where they are not here."""
        return sum(file.stat().st_size for file in find_weights(self._folders, name))

    def _open(self, name: str) -> Any:
        network = NETWORKS[name]
        found = find_weights(self._folders, name)
        if not found:
            places = _places(self._folders, name)
            missing = [file for file in network.files if not any((place / file).is_file() for place in places)]
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
            try:
                if network.open is not None:
                    return network.open(found).to(self._device)
                for path in found:
                    load_tensors(path)  # refuses what would run code, by name
                detector = getattr(controlnet_aux, network.detector)
                return detector.from_pretrained(str(found[0].parent), **network.options).to(self._device)
            except DarkroomError:
                raise
            except Exception as error:  # of a state dict that is another network's: any kind
                raise WeightsMissing(
                    f"The preprocessor's weights {', '.join(file.name for file in found)} are not those of its network "
                    f"({type(error).__name__}).",
                    extra={"file": found[0].name, "setting": MODELS_DIR},
                ) from error


def as_image(drawn: Any) -> Image:
    """Convert what a detector drew to `uint8[H, W, 3]`."""
    return np.ascontiguousarray(np.asarray(drawn, np.uint8))


def _bytes_of(detector: Any) -> int:
    """Count the bytes of a detector's networks, which are its attributes or those of its parts."""
    import torch

    if (told := getattr(detector, "weights_bytes", None)) is not None:
        return int(told)
    parts = list(getattr(detector, "__dict__", {}).values())
    parts += [deeper for part in parts for deeper in getattr(part, "__dict__", {}).values()]
    return module_bytes(*{id(part): part for part in parts if isinstance(part, torch.nn.Module)}.values())
