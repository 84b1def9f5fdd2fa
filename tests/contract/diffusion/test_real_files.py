"""Checkpoints, VAEs and ControlNets in the files that people have, without any configuration beside them."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("diffusers")

import torch
from diffusers import StableDiffusionPipeline
from hypothesis import given
from hypothesis import strategies as st

from deployments.contracts.diffusion import ControlHint
from deployments.engines.diffusion import descriptions
from deployments.engines.diffusion.descriptions import make_tokenizer
from deployments.errors import NotSupported, WeightsMissing
from tests.support import tiny_sdxl
from tests.support.diffusing import INIT, a_mask, a_request, an_engine, difference, make, make_one
from tests.support.real_files import build_real, real_vae, tensors_of, vae_tensors, write
from tests.support.real_shapes import CHECKPOINTS, controlnet_name
from tests.support.tiny_diffusion import build_controlnet


@pytest.fixture(scope="module")
def pipelines() -> dict[str, StableDiffusionPipeline]:
    with torch.random.fork_rng(devices=[]):
        return {
            "sd1": build_real("sd1"),
            "sd1-inpaint": build_real("sd1", channels=9),
            "sd2": build_real("sd2"),
        }


@pytest.fixture
def models(tmp_path: Path) -> Path:
    """An installation of A1111, empty."""
    for name in ("Stable-diffusion", "VAE", "ControlNet", "Lora"):
        (tmp_path / "models" / name).mkdir(parents=True)
    return tmp_path / "models"


def whole(models: Path, pipeline: StableDiffusionPipeline, name: str = "folder") -> str:
    pipeline.save_pretrained(models / "checkpoints" / name)
    return name


@pytest.mark.parametrize("family", ["sd1", "sd1-inpaint", "sd2"])
@pytest.mark.parametrize("form", ["safetensors", "ckpt", "ema"])
def test_a_single_file_needs_nothing_but_itself(
    models: Path, pipelines: dict[str, StableDiffusionPipeline], family: str, form: str
) -> None:
    ending = "ckpt" if form == "ckpt" else "safetensors"
    tensors = tensors_of(pipelines[family], ema=form == "ema")
    write(models / "Stable-diffusion" / "SD" / f"single.{ending}", tensors)
    asked: dict[str, Any] = {}
    if family == "sd1-inpaint":
        asked = {"init_image": INIT, "mask": a_mask(), "denoising_strength": 0.6}
    engine = an_engine(models)
    single = make_one(engine, checkpoint="single", **asked)
    assert difference(single, make_one(engine, checkpoint=whole(models, pipelines[family]), **asked)) <= 1


def test_a_half_precision_file_makes_the_same_image_but_for_rounding(
    models: Path, pipelines: dict[str, StableDiffusionPipeline]
) -> None:
    write(models / "Stable-diffusion" / "half.safetensors", tensors_of(pipelines["sd1"]), half=True)
    engine = an_engine(models)
    expected = make_one(engine, checkpoint=whole(models, pipelines["sd1"]))
    assert difference(make_one(engine, checkpoint="half"), expected) <= 6


def test_two_files_of_one_stem_can_both_be_chosen(models: Path, pipelines: dict[str, StableDiffusionPipeline]) -> None:
    write(models / "Stable-diffusion" / "a.safetensors", tensors_of(pipelines["sd1"]))
    write(models / "Stable-diffusion" / "a.ckpt", tensors_of(build_real("sd1", seed=9)))
    engine = an_engine(models)
    names = [model.name for model in engine.list_models().checkpoints]
    assert names[:2] == ["a", "a.ckpt"]
    assert difference(make_one(engine, checkpoint="a"), make_one(engine, checkpoint="a.ckpt")) > 8


def test_a_checkpoint_without_a_vae_is_refused_unless_one_is_named_or_lies_beside_it(
    models: Path, pipelines: dict[str, StableDiffusionPipeline]
) -> None:
    pipeline = pipelines["sd1"]
    write(models / "Stable-diffusion" / "pruned.ckpt", tensors_of(pipeline, vae=False))
    engine = an_engine(models)
    with pytest.raises(NotSupported, match="'pruned' holds no VAE: name one"):
        make(engine, a_request(checkpoint="pruned"))
    expected = make_one(engine, checkpoint=whole(models, pipeline))
    write(models / "VAE" / "mse.ckpt", vae_tensors(pipeline.vae))
    assert difference(make_one(engine, checkpoint="pruned", vae="mse"), expected) <= 1
    write(models / "Stable-diffusion" / "pruned.vae.pt", vae_tensors(pipeline.vae))
    assert difference(make_one(engine, checkpoint="pruned"), expected) <= 1


@pytest.mark.parametrize("name", ["mse.safetensors", "mse.vae.pt", "mse.ckpt"])
def test_a_vae_of_its_own_is_used(models: Path, pipelines: dict[str, StableDiffusionPipeline], name: str) -> None:
    checkpoint = whole(models, pipelines["sd1"])
    other = real_vae(7)
    write(models / "VAE" / name, vae_tensors(other))
    other.save_pretrained(models / "vaes" / "folder")
    engine = an_engine(models)
    ours = make_one(engine, checkpoint=checkpoint, vae=name)
    assert difference(ours, make_one(engine, checkpoint=checkpoint, vae="folder")) <= 1
    assert difference(ours, make_one(engine, checkpoint=checkpoint)) > 8


@pytest.mark.parametrize("form", ["cldm.pth", "bare.safetensors", "diffusers.safetensors"])
def test_a_controlnet_file_needs_nothing_but_itself(
    models: Path, pipelines: dict[str, StableDiffusionPipeline], form: str
) -> None:
    with torch.random.fork_rng(devices=[]):
        net = build_controlnet(pipelines["sd1"].unet, 3)
    net.save_pretrained(models / "controlnets" / "folder")
    tensors = {name: tensor.clone() for name, tensor in net.state_dict().items()}
    if not form.startswith("diffusers"):
        prefix = "control_model." if form.startswith("cldm") else ""
        tensors = {prefix + controlnet_name(name): tensor for name, tensor in tensors.items()}
    write(models / "ControlNet" / form, tensors)
    engine = an_engine(models)
    checkpoint = whole(models, pipelines["sd1"])
    ours = make_one(engine, checkpoint=checkpoint, controls=(ControlHint(form, INIT),))
    assert difference(ours, make_one(engine, checkpoint=checkpoint, controls=(ControlHint("folder", INIT),))) <= 1
    assert difference(ours, make_one(engine, checkpoint=checkpoint)) > 8


def test_a_controlnet_of_shuffled_images_is_averaged_over_the_picture(
    models: Path, pipelines: dict[str, StableDiffusionPipeline]
) -> None:
    with torch.random.fork_rng(devices=[]):
        net = build_controlnet(pipelines["sd1"].unet, 3)
    net.save_pretrained(models / "controlnets" / "plain")
    net.register_to_config(global_pool_conditions=True)
    net.save_pretrained(models / "controlnets" / "pooled")
    tensors = {controlnet_name(name): tensor.clone() for name, tensor in net.state_dict().items()}
    write(models / "ControlNet" / "control_v11e_sd15_shuffle.safetensors", tensors)
    engine = an_engine(models)
    checkpoint = whole(models, pipelines["sd1"])
    ours, pooled, plain = (
        make_one(engine, checkpoint=checkpoint, controls=(ControlHint(name, INIT),))
        for name in ("control_v11e_sd15_shuffle", "pooled", "plain")
    )
    assert difference(ours, pooled) <= 1
    assert difference(ours, plain) > 8


def test_a_checkpoint_that_lacks_tensors_names_the_first(
    models: Path, pipelines: dict[str, StableDiffusionPipeline]
) -> None:
    tensors = tensors_of(pipelines["sd1"])
    del tensors["model.diffusion_model.out.2.weight"]
    write(models / "Stable-diffusion" / "holes.safetensors", tensors)
    with pytest.raises(WeightsMissing, match="holes"):
        make(an_engine(models), a_request(checkpoint="holes"))


def test_a_checkpoint_without_a_text_encoder_is_refused(
    models: Path, pipelines: dict[str, StableDiffusionPipeline]
) -> None:
    tensors = {name: t for name, t in tensors_of(pipelines["sd1"]).items() if not name.startswith("cond_stage")}
    write(models / "Stable-diffusion" / "mute.safetensors", tensors)
    with pytest.raises(NotSupported, match="holds no text encoder"):
        make(an_engine(models), a_request(checkpoint="mute"))


def test_an_early_file_whose_text_encoder_lacks_a_level_of_names_is_loaded(
    models: Path, pipelines: dict[str, StableDiffusionPipeline]
) -> None:
    early = {
        name.replace(".transformer.text_model.", ".transformer."): t for name, t in tensors_of(pipelines["sd1"]).items()
    }
    write(models / "Stable-diffusion" / "early.ckpt", early)
    engine = an_engine(models)
    expected = make_one(engine, checkpoint=whole(models, pipelines["sd1"]))
    assert difference(make_one(engine, checkpoint="early"), expected) <= 1


@pytest.mark.parametrize("said", ["tensor", "metadata", "yaml"])
def test_what_an_sd_2_predicts_is_told_by_the_file_or_beside_it(
    models: Path, pipelines: dict[str, StableDiffusionPipeline], said: str
) -> None:
    tensors = tensors_of(pipelines["sd2"]) | ({"v_pred": torch.zeros(0)} if said == "tensor" else {})
    metadata = {"modelspec.prediction_type": "v"} if said == "metadata" else None
    path = write(models / "Stable-diffusion" / "two.safetensors", tensors, metadata=metadata)
    if said == "yaml":
        path.with_suffix(".yaml").write_text('model:\n  params:\n    parameterization: "v"\n')
    engine = an_engine(models)
    with engine.models.cache.lease() as lease:
        assert engine.models.checkpoint(lease, "two").scheduler.config.prediction_type == "v_prediction"


@pytest.mark.parametrize(("gain", "prediction"), [(-5.0, "v_prediction"), (1.0, "epsilon")])
def test_what_an_sd_2_predicts_is_told_by_its_answer_where_nothing_says_it(
    models: Path, gain: float, prediction: str
) -> None:
    pipeline = build_real("sd2")
    with torch.no_grad():
        pipeline.unet.conv_out.weight.mul_(gain)
        pipeline.unet.conv_out.bias.zero_()
    write(models / "Stable-diffusion" / "two.safetensors", tensors_of(pipeline))
    engine = an_engine(models)
    with engine.models.cache.lease() as lease:
        assert engine.models.checkpoint(lease, "two").scheduler.config.prediction_type == prediction


@pytest.mark.parametrize(
    ("family", "variant", "parameters"),
    [
        ("sd1", "", 859_520_964),
        ("sd1", "inpaint", 859_535_364),
        ("sd2", "", 865_910_724),
        ("sdxl", "", 2_567_463_684),
        ("sdxl", "inpaint", 2_567_478_084),
    ],
)
def test_the_description_of_a_real_file_is_that_of_the_published_network(
    family: Any, variant: str, parameters: int
) -> None:
    from diffusers import AutoencoderKL, UNet2DConditionModel

    shapes = CHECKPOINTS[family, variant]()
    with torch.device("meta"):
        unet = UNet2DConditionModel(**descriptions.describe_unet(shapes, family))
        vae = AutoencoderKL(**descriptions.describe_vae(shapes))
    assert sum(weight.numel() for weight in unet.parameters()) == parameters
    assert sum(weight.numel() for weight in vae.parameters()) == 83_653_863
    heads = descriptions.describe_unet(shapes, family)["attention_head_dim"]
    assert heads == {"sd1": 8, "sd2": [5, 10, 20, 20], "sdxl": [5, 10, 20]}[family]
    assert descriptions.describe_vae(shapes, family)["scaling_factor"] == (0.13025 if family == "sdxl" else 0.18215)


@cache
def tokenizer_of_clip() -> Any:
    """Made once for all examples: it reads and sorts the whole vocabulary."""
    return pytest.importorskip("open_clip.tokenizer").SimpleTokenizer(clean="lower")


@given(st.text(st.characters(min_codepoint=32, max_codepoint=126) | st.sampled_from("äöüßéñ日本語🙂"), max_size=60))
def test_the_tokenizer_is_that_of_clip(text: str) -> None:
    expected = tokenizer_of_clip().encode(" ".join(text.split()))
    assert make_tokenizer("sd1")([text], add_special_tokens=False).input_ids[0] == expected


def test_the_tokenizer_of_sd_2_pads_with_the_first_token() -> None:
    assert (make_tokenizer("sd1").pad_token_id, make_tokenizer("sd2").pad_token_id) == (49407, 0)
    assert [make_tokenizer("sdxl", second=second).pad_token_id for second in (False, True)] == [49407, 0]
    assert (make_tokenizer("sd1").bos_token_id, make_tokenizer("sd1").eos_token_id) == (49406, 49407)


@pytest.mark.parametrize("form", ["safetensors", "ckpt", "inpaint"])
def test_a_single_file_of_sdxl_needs_nothing_but_itself(models: Path, form: str) -> None:
    pipeline = tiny_sdxl.build_pipeline(channels=9 if form == "inpaint" else 4)
    ending = "ckpt" if form == "ckpt" else "safetensors"
    write(models / "Stable-diffusion" / f"single.{ending}", tiny_sdxl.tensors_of(pipeline))
    pipeline.save_pretrained(models / "checkpoints" / "folder")
    asked: dict[str, Any] = {}
    if form == "inpaint":
        asked = {"init_image": INIT, "mask": a_mask(), "denoising_strength": 0.6}
    engine = an_engine(models)
    single = make_one(engine, checkpoint="single", **asked)
    assert difference(single, make_one(engine, checkpoint="folder", **asked)) <= 1


def test_an_sdxl_file_says_what_it_predicts_and_how_far_its_noise_goes(models: Path) -> None:
    pipeline = tiny_sdxl.build_pipeline()
    tensors = tiny_sdxl.tensors_of(pipeline) | {"v_pred": torch.zeros(0), "ztsnr": torch.zeros(0)}
    write(models / "Stable-diffusion" / "noob.safetensors", tensors)
    pipeline.scheduler.register_to_config(prediction_type="v_prediction", rescale_betas_zero_snr=True)
    pipeline.save_pretrained(models / "checkpoints" / "folder")
    engine = an_engine(models)
    with engine.models.cache.lease() as lease:
        config = engine.models.checkpoint(lease, "noob").scheduler.config
    assert (config.prediction_type, config.rescale_betas_zero_snr) == ("v_prediction", True)
    for sampler in ("Euler", "DPM++ 2M", "DDIM"):
        (made,) = make(engine, a_request(checkpoint="noob", sampler=sampler, prompt="a cat"))
        assert made.warnings == ()
        assert difference(made.image, make_one(engine, checkpoint="folder", sampler=sampler, prompt="a cat")) <= 1


def test_an_sdxl_file_without_its_second_text_encoder_is_not_complete(models: Path) -> None:
    tensors = tiny_sdxl.tensors_of(tiny_sdxl.build_pipeline())
    lost = "conditioner.embedders.1.model.text_projection"
    write(models / "Stable-diffusion" / "torn.safetensors", {n: t for n, t in tensors.items() if n != lost})
    with pytest.raises(WeightsMissing, match=r"torn\.safetensors.*text_projection"):
        make(an_engine(models), a_request(checkpoint="torn"))
