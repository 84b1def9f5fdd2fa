"""The detector of families: every kind of file that people have, by its header alone."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

pytest.importorskip("diffusers")

from deployments.contracts.diffusion import FAMILY_NAMES, ROLE_NAMES
from deployments.engines.diffusion.families import identify, identify_controlnet, identify_unet
from tests.support.real_shapes import CHECKPOINTS, CONTROLNETS, LORAS, under


@pytest.mark.parametrize(("family", "variant"), CHECKPOINTS)
def test_a_checkpoint_is_told_by_its_unet(family: str, variant: str) -> None:
    kind = identify(CHECKPOINTS[family, variant]())
    assert (kind.role, kind.family, kind.variant) == ("checkpoint", family, variant)


@pytest.mark.parametrize("key", [key for key in CHECKPOINTS if key[0] not in ("flux", "sd3")])
def test_a_checkpoint_without_text_encoder_and_vae_is_told_as_well(key: tuple[str, str]) -> None:
    whole = CHECKPOINTS[key]()
    kind = identify({name: shape for name, shape in whole.items() if name.startswith("model.diffusion_model.")})
    assert (kind.role, kind.family, kind.variant) == ("checkpoint", *key)


@pytest.mark.parametrize(("role", "family", "form"), CONTROLNETS)
def test_a_controlnet_and_its_kin_are_told_apart(role: str, family: str, form: str) -> None:
    kind = identify(CONTROLNETS[role, family, form]())
    assert (kind.role, kind.family) == (role, family)


@pytest.mark.parametrize(("family", "form"), LORAS)
def test_a_lora_is_told_in_every_form(family: str, form: str) -> None:
    kind = identify(LORAS[family, form]())
    assert (kind.role, kind.family) == ("lora", family)


@pytest.mark.parametrize(
    ("version", "family"),
    [("sdxl_base_v1-0", "sdxl"), ("sd_v1", "sd1"), ("sd_v2_v", "sd2"), ("flux1", "flux"), ("", "")],
)
def test_a_lora_whose_tensors_do_not_tell_is_told_by_its_training(version: str, family: str) -> None:
    shapes = {"lora_te_text_model_encoder_layers_0_self_attn_q_proj.lora_down.weight": (8, 64)}
    assert identify(shapes, {"ss_base_model_version": version}).family == family


def test_the_prediction_of_a_checkpoint_is_told_where_the_file_says_it() -> None:
    shapes = CHECKPOINTS["sd2", ""]()
    assert identify(shapes).prediction == ""
    assert identify(shapes | {"v_pred": (0,)}).prediction == "v_prediction"
    assert identify(shapes, {"modelspec.prediction_type": "v"}).prediction == "v_prediction"
    assert identify(shapes, {"modelspec.prediction_type": "epsilon"}).prediction == "epsilon"


@pytest.mark.parametrize("prefix", ["", "first_stage_model."])
def test_a_vae_of_four_channels_fits_several_families(prefix: str) -> None:
    whole = CHECKPOINTS["sd1", ""]()
    vae = {name.removeprefix("first_stage_model."): shape for name, shape in whole.items() if "first_stage" in name}
    kind = identify(under(prefix, vae))
    assert (kind.role, kind.family) == ("vae", "")


def test_a_vae_of_sixteen_channels_is_that_of_a_newer_family() -> None:
    assert (
        identify({"decoder.conv_in.weight": (512, 16, 3, 3), "encoder.conv_in.weight": (128, 3, 3, 3)}).family == "flux"
    )


@pytest.mark.parametrize(
    ("shapes", "family"),
    [
        ({"emb_params": (8, 768)}, "sd1"),
        ({"string_to_param.*": (2, 1024), "string_to_token.*": ()}, "sd2"),
        ({"clip_l": (4, 768), "clip_g": (4, 1280)}, "sdxl"),
        ({"<cat>": (768,)}, "sd1"),
    ],
)
def test_a_textual_inversion_is_told_by_its_width(shapes: dict[str, tuple[int, ...]], family: str) -> None:
    kind = identify(shapes)
    assert (kind.role, kind.family) == ("embedding", family)


def test_folders_are_told_by_their_configuration() -> None:
    assert identify_unet({"in_channels": 9, "cross_attention_dim": 768}).variant == "inpaint"
    assert identify_unet({"use_linear_projection": True}).family == "sd2"
    assert identify_unet({"addition_embed_type": "text_time", "cross_attention_dim": 2048}).family == "sdxl"
    assert identify_unet({"addition_embed_type": "text_time", "cross_attention_dim": 1280}).family == "sdxl-refiner"
    assert identify_controlnet({"_class_name": "ControlNetModel", "addition_embed_type": "text_time"}).family == "sdxl"
    assert identify_controlnet({"_class_name": "T2IAdapter"}).role == "t2i-adapter"
    assert identify_controlnet({"_class_name": "FluxControlNetModel"}).family == "flux"


NAMES = st.sampled_from(
    [name for build in (*CONTROLNETS.values(), *LORAS.values()) for name in list(build())[:4]]
) | st.text(max_size=40)


@given(st.dictionaries(NAMES, st.lists(st.integers(0, 4096), max_size=5).map(tuple), max_size=6))
def test_any_header_has_a_description(shapes: dict[str, tuple[int, ...]]) -> None:
    kind = identify(shapes)
    assert kind.label
    assert kind.role in ROLE_NAMES
    assert kind.family in FAMILY_NAMES


@pytest.mark.parametrize(
    ("layer", "family"), [("output_blocks_8_0_out_layers_3", "sdxl"), ("up_blocks_2_resnets_2_conv2", "sd1")]
)
def test_a_lora_whose_layers_have_the_originals_names_is_for_sdxl(layer: str, family: str) -> None:
    assert identify({f"lora_unet_{layer}.diff": (320, 320, 3, 3)}).family == family
