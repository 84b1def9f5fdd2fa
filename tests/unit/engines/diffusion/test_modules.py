"""The table of preprocessors: every name that clients of sd-webui-controlnet know."""

from __future__ import annotations

from deployments.engines.diffusion.annotators import NETWORKS
from deployments.engines.diffusion.modules import BY_NAME, MODULES

NAMES = set(
    """
    animal_openpose anime_face_segment blur_gaussian canny clip_vision color densepose densepose_parula depth
    depth_anything depth_anything_v2 depth_hand_refiner depth_leres depth_leres++ depth_zoe dw_openpose_full hed
    hed_safe inpaint inpaint_only inpaint_only+lama instant_id_face_embedding instant_id_face_info
    instant_id_face_keypoints invert ip-adapter-auto ip-adapter_clip_sd15 ip-adapter_clip_sdxl
    ip-adapter_clip_sdxl_plus_vith ip-adapter_face_id ip-adapter_face_id_plus lineart lineart_anime
    lineart_anime_denoise lineart_coarse lineart_standard mediapipe_face mlsd none normal_bae normal_dsine normal_map
    oneformer_ade20k oneformer_coco openpose openpose_face openpose_faceonly openpose_full openpose_hand pidinet
    pidinet_safe pidinet_scribble pidinet_sketch recolor_intensity recolor_luminance reference_adain
    reference_adain+attn reference_only revision_clipvision revision_ignore_prompt scribble_hed scribble_xdog
    segmentation shuffle softedge_teed threshold tile_colorfix tile_colorfix+sharp tile_resample
    """.split()
)
"""Names that the extension's own test of the list expects."""


def test_every_name_of_the_original_is_known() -> None:
    assert {module.name for module in MODULES} == NAMES


def test_names_and_labels_are_one_modules_each() -> None:
    assert len({module.name for module in MODULES}) == len(MODULES)
    assert len({module.label for module in MODULES}) == len(MODULES)
    for module in MODULES:
        assert BY_NAME[module.name] is BY_NAME[module.label] is module


def test_networks_that_modules_need_are_known() -> None:
    assert {name for module in MODULES for name in module.needs.split()} - {"face"} == set(NETWORKS)
