"""Table of ControlNet preprocessors (A1111's "modules"): names, sliders, kinds of control, networks.

All of sd-webui-controlnet's are named, so that clients that ask for one get an answer in words; those without `draw`
do not run here.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from deployments.algorithms.a1111 import control_maps, hint_filters
from deployments.contracts.arrays import Image

LEAST_PX, MOST_PX, DEFAULT_PX = 64, 2048, 512
"""Short sides at which preprocessors work."""


class Networks(Protocol):
    """What a preprocessor may ask of networks."""

    def run(self, name: str, image: Image, **options: object) -> Image: ...

    def run_normals(self, image: Image, background: float) -> Image: ...

    def draw_faces(self, image: Image, most: int, least_score: float) -> Image: ...

    def draw_face_points(self, image: Image) -> Image: ...


Draw = Callable[[Networks, Image, float, float], Image]
"""Function that draws a hint: networks, image and the two thresholds -> the hint."""


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
    """A preprocessor."""

    name: str
    label: str
    draw: Draw | None
    """Function that draws at the working resolution; None: it does not run here."""
    tags: tuple[str, ...] = ()
    """Kinds of control."""
    needs: str = ""
    """Network of `annotators.NETWORKS`, or `face`: the face engine. Several, with spaces between: one of them."""
    a: Slider | None = None
    b: Slider | None = None
    resolution: bool = True
    """Whether it works at a resolution of its own."""
    model_free: bool = False
    """Whether it needs no ControlNet."""
    fills: bool = False
    """Whether it fills what a mask hides, before `draw` sees it."""
    draws: bool = True
    """Whether it draws; otherwise the engine gives the image to its network while pictures are made."""

    @property
    def sliders(self) -> list[Slider]:
        """Sliders of the preprocessor, in A1111's order."""
        size = [Slider("Resolution", DEFAULT_PX, LEAST_PX, MOST_PX, 8)] if self.resolution else []
        return size + [slider for slider in (self.a, self.b) if slider]


def _keep(_: Networks, image: Image, *__: float) -> Image:
    return image


def _run(name: str, **options: object) -> Draw:
    return lambda networks, image, *_: networks.run(name, image, **options)


def _filter(draw: Callable[..., Image], thresholds: int = 0) -> Draw:
    return lambda _, image, *values: draw(image, *values[:thresholds])


def _leres(network: str) -> Module:
    """A depth module of the LeReS family, which leaves out what is near or far."""
    return Module(
        f"depth_{network}",
        f"depth_{network}",
        lambda networks, image, near, far: networks.run(network, image, thr_a=near, thr_b=far),
        ("Depth",),
        network,
        a=Slider("Remove Near %", 0.0, 0.0, 100.0, 0.1),
        b=Slider("Remove Background %", 0.0, 0.0, 100.0, 0.1),
    )


_GAMMA = Slider("Gamma Correction", 1.0, 0.1, 2.0, 0.001)
_VARIATION = Slider("Variation", 8.0, 3.0, 32.0, 1.0)
_FIDELITY = Slider("Style Fidelity (only for Balanced mode)", 0.5, 0.0, 1.0, 0.01)

_DRAWN: tuple[Module, ...] = (
    Module("none", "none", _keep, resolution=False),
    Module(
        "canny",
        "canny",
        _filter(control_maps.draw_canny, 2),
        ("Canny",),
        a=Slider("Low Threshold", 100, 1, 255, 1),
        b=Slider("High Threshold", 200, 1, 255, 1),
    ),
    Module("depth", "depth_midas", _run("midas"), ("Depth",), "midas"),
    Module("depth_anything", "depth_anything", _run("depth_anything"), ("Depth",), "depth_anything"),
    Module("depth_anything_v2", "depth_anything_v2", _run("depth_anything_v2"), ("Depth",), "depth_anything_v2"),
    Module("depth_zoe", "depth_zoe", _run("zoe"), ("Depth",), "zoe"),
    _leres("leres"),
    _leres("leres++"),
    Module("hed", "softedge_hed", _run("hed"), ("SoftEdge",), "hed"),
    Module("hed_safe", "softedge_hedsafe", _run("hed", safe=True), ("SoftEdge",), "hed"),
    Module("scribble_hed", "scribble_hed", _run("hed", scribble=True), ("Scribble",), "hed"),
    Module("pidinet", "softedge_pidinet", _run("pidinet"), ("SoftEdge",), "pidinet"),
    Module("pidinet_safe", "softedge_pidisafe", _run("pidinet", safe=True), ("SoftEdge",), "pidinet"),
    Module("pidinet_scribble", "scribble_pidinet", _run("pidinet", scribble=True), ("Scribble",), "pidinet"),
    Module("pidinet_sketch", "t2ia_sketch_pidi", _run("pidinet", apply_filter=True), ("T2I-Adapter",), "pidinet"),
    Module("softedge_teed", "softedge_teed", _run("teed"), ("SoftEdge",), "teed"),
    Module("lineart", "lineart_realistic", _run("lineart"), ("Lineart",), "lineart"),
    Module("lineart_coarse", "lineart_coarse", _run("lineart", coarse=True), ("Lineart",), "lineart"),
    Module("lineart_anime", "lineart_anime", _run("lineart_anime"), ("Lineart",), "lineart_anime"),
    Module(
        "lineart_standard",
        "lineart_standard (from white bg & black line)",
        _filter(hint_filters.draw_standard_lines),
        ("Lineart",),
    ),
    Module(
        "mlsd",
        "mlsd",
        lambda networks, image, value, distance: networks.run("mlsd", image, thr_v=value, thr_d=distance),
        ("MLSD",),
        "mlsd",
        a=Slider("MLSD Value Threshold", 0.1, 0.01, 2.0, 0.01),
        b=Slider("MLSD Distance Threshold", 0.1, 0.01, 20.0, 0.01),
    ),
    Module("normal_bae", "normal_bae", _run("normal_bae"), ("NormalMap",), "normal_bae"),
    Module(
        "normal_map",
        "normal_midas",
        lambda networks, image, background, _: networks.run_normals(image, background),
        ("NormalMap",),
        "midas",
        a=Slider("Normal Background Threshold", 0.4, 0.0, 1.0, 0.01),
    ),
    Module("oneformer_ade20k", "seg_ofade20k", _run("oneformer_ade20k"), ("Segmentation",), "oneformer_ade20k"),
    Module("oneformer_coco", "seg_ofcoco", _run("oneformer_coco"), ("Segmentation",), "oneformer_coco"),
    Module("segmentation", "seg_ufade20k", _run("upernet"), ("Segmentation",), "upernet"),
    Module("openpose", "openpose", _run("openpose"), ("OpenPose",), "openpose"),
    Module("openpose_face", "openpose_face", _run("openpose", include_face=True), ("OpenPose",), "openpose"),
    Module("openpose_hand", "openpose_hand", _run("openpose", include_hand=True), ("OpenPose",), "openpose"),
    Module(
        "openpose_full",
        "openpose_full",
        _run("openpose", include_hand=True, include_face=True),
        ("OpenPose",),
        "openpose",
    ),
    Module("dw_openpose_full", "dw_openpose_full", _run("dwpose"), ("OpenPose",), "dwpose"),
    Module("animal_openpose", "animal_openpose", _run("animal_openpose"), ("OpenPose",), "animal_openpose"),
    Module(
        "openpose_faceonly",
        "openpose_faceonly",
        lambda networks, image, *_: networks.draw_face_points(image),
        ("OpenPose",),
        "face",
    ),
    Module(
        "mediapipe_face",
        "mediapipe_face",
        lambda networks, image, most, least: networks.draw_faces(image, int(most), least),
        ("OpenPose",),
        "face",
        a=Slider("Max Faces", 1, 1, 10, 1),
        b=Slider("Min Face Confidence", 0.5, 0.01, 1.0, 0.01),
    ),
    Module(
        "invert",
        "invert (from white bg & black line)",
        lambda _, image, *__: 255 - image,
        ("Canny", "Lineart", "Scribble", "MLSD"),
        resolution=False,
    ),
    Module(
        "threshold",
        "threshold",
        _filter(control_maps.draw_threshold, 1),
        a=Slider("Binarization Threshold", 127, 0, 255, 1),
    ),
    Module(
        "scribble_xdog",
        "scribble_xdog",
        _filter(control_maps.draw_xdog, 1),
        ("Scribble",),
        a=Slider("XDoG Threshold", 32, 1, 64, 1),
    ),
    Module(
        "blur_gaussian", "blur_gaussian", _filter(hint_filters.blur, 1), ("Tile",), a=Slider("Sigma", 9, 0.01, 64, 0.01)
    ),
    Module(
        "tile_resample",
        "tile_resample",
        _filter(hint_filters.resample, 1),
        ("Tile",),
        a=Slider("Down Sampling Rate", 1.0, 1.0, 8.0, 0.01),
        resolution=False,
    ),
    Module("tile_colorfix", "tile_colorfix", _keep, ("Tile",), a=_VARIATION, resolution=False),
    Module(
        "tile_colorfix+sharp",
        "tile_colorfix+sharp",
        _keep,
        ("Tile",),
        a=_VARIATION,
        b=Slider("Sharpness", 1.0, 0.0, 2.0, 0.01),
        resolution=False,
    ),
    Module("color", "t2ia_color_grid", _filter(hint_filters.draw_colour_grid), ("T2I-Adapter",)),
    Module("shuffle", "shuffle", _filter(hint_filters.shuffle), ("Shuffle",)),
    Module(
        "recolor_luminance",
        "recolor_luminance",
        _filter(hint_filters.draw_luminance, 1),
        ("Recolor",),
        a=_GAMMA,
        resolution=False,
    ),
    Module(
        "recolor_intensity",
        "recolor_intensity",
        _filter(hint_filters.draw_intensity, 1),
        ("Recolor",),
        a=_GAMMA,
        resolution=False,
    ),
    Module("inpaint", "inpaint_global_harmonious", _keep, ("Inpaint",), resolution=False),
    Module("inpaint_only", "inpaint_only", _keep, ("Inpaint",), resolution=False),
    Module("inpaint_only+lama", "inpaint_only+lama", _keep, ("Inpaint",), "lama", resolution=False, fills=True),
)

_REFERENCES = ("reference_only", "reference_adain", "reference_adain+attn")
_IMAGE_PROMPTS: tuple[tuple[str, str, str], ...] = (
    ("ip-adapter-auto", "ip-adapter-auto", "clip_h clip_g"),
    ("ip-adapter_clip_sd15", "ip-adapter_clip_h", "clip_h"),
    ("ip-adapter_clip_sdxl", "ip-adapter_clip_g", "clip_g"),
    ("ip-adapter_clip_sdxl_plus_vith", "ip-adapter_clip_sdxl_plus_vith", "clip_h"),
)
"""Name, label and image encoders of those whose image is a prompt."""
_OTHERS: tuple[tuple[str, str, str], ...] = (
    ("anime_face_segment", "seg_anime_face", "Segmentation"),
    ("clip_vision", "t2ia_style_clipvision", "T2I-Adapter"),
    ("densepose", "densepose (pruple bg & purple torso)", "OpenPose"),
    ("densepose_parula", "densepose_parula (black bg & blue torso)", "OpenPose"),
    ("depth_hand_refiner", "depth_hand_refiner", "Depth"),
    ("instant_id_face_embedding", "instant_id_face_embedding", "Instant-ID"),
    ("instant_id_face_info", "instant_id_face_info", "Instant-ID"),
    ("instant_id_face_keypoints", "instant_id_face_keypoints", "Instant-ID"),
    ("ip-adapter_face_id", "ip-adapter_face_id", "IP-Adapter"),
    ("ip-adapter_face_id_plus", "ip-adapter_face_id_plus", "IP-Adapter"),
    ("lineart_anime_denoise", "lineart_anime_denoise", "Lineart"),
    ("normal_dsine", "normal_dsine", "NormalMap"),
    ("revision_clipvision", "revision_clipvision", "Revision"),
    ("revision_ignore_prompt", "revision_ignore_prompt", "Revision"),
)
"""Name, label and kind of those that do not run here."""

MODULES: tuple[Module, ...] = (
    *_DRAWN,
    *(
        Module(name, name, _keep, ("Reference",), a=_FIDELITY, resolution=False, model_free=True)
        for name in _REFERENCES
    ),
    *(
        Module(name, label, None, ("IP-Adapter",), needs, resolution=False, draws=False)
        for name, label, needs in _IMAGE_PROMPTS
    ),
    *(Module(name, label, None, (tag,)) for name, label, tag in _OTHERS),
)
BY_NAME = {name: module for module in MODULES for name in (module.name, module.label)}
"""Preprocessors by name and by label."""
