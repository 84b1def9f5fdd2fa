"""ControlNet union models of SDXL, which are told what their hint shows: against diffusers' own pipeline."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("diffusers")

import torch
from diffusers import (
    ControlNetUnionModel,
    EulerDiscreteScheduler,
    StableDiffusionXLControlNetUnionPipeline,
    StableDiffusionXLPipeline,
)

from deployments.contracts.diffusion import UNION_KINDS, ControlHint
from deployments.engines.diffusion.engine import DiffusionEngine
from deployments.errors import NotSupported, WeightsMissing
from tests.support.builders import an_image
from tests.support.diffusing import NEGATIVE, PROMPT, SIZE, a_request, an_engine, difference, make, make_one
from tests.support.real_files import write
from tests.support.tiny_diffusion import build_controlnet
from tests.support.tiny_sdxl import CHECKPOINT, CONTROLNETS, WIDTH

NAME = "xinsir_controlnet-union-sdxl"
IMAGE = an_image((SIZE, SIZE), 1)
HINT = ControlHint(NAME, IMAGE, 0.8, shows="depth")


def build_union(base: StableDiffusionXLPipeline, types: int = 6) -> ControlNetUnionModel:
    """Build a union model from a small ControlNet; its kinds of hints make differences."""
    with torch.random.fork_rng(devices=[]):
        plain = build_controlnet(base.unet, 5)
        sizes = {"num_control_type": types, "num_trans_channel": WIDTH, "num_proj_channel": WIDTH}
        config = {name: value for name, value in plain.config.items() if not name.startswith("_")}
        net = ControlNetUnionModel.from_config({**config, **sizes}).eval()
        net.load_state_dict(plain.state_dict(), strict=False)
        with torch.no_grad():
            for name, weight in net.named_parameters():
                if name.startswith(("task_embedding", "spatial_ch_projs.weight", "control_add_embedding.linear_2.w")):
                    weight.normal_(0, 1.0 if name == "task_embedding" else 1.5 / WIDTH**0.5)
    return net


@pytest.fixture(scope="module")
def base(xl_models: Path) -> StableDiffusionXLPipeline:
    return StableDiffusionXLPipeline.from_pretrained(xl_models / "checkpoints" / CHECKPOINT)


@pytest.fixture(scope="module")
def union(base: StableDiffusionXLPipeline) -> ControlNetUnionModel:
    return build_union(base)


@pytest.fixture(scope="module")
def models(xl_models: Path, union: ControlNetUnionModel, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = Path(shutil.copytree(xl_models, tmp_path_factory.mktemp("union") / "models"))
    write(folder / "controlnets" / f"{NAME}.safetensors", dict(union.state_dict()))
    return folder


@pytest.fixture(scope="module")
def engine(models: Path) -> DiffusionEngine:
    return an_engine(models, checkpoint=CHECKPOINT)


@pytest.mark.parametrize("kind", [0, 1, 3, 5])
def test_a_union_model_makes_the_picture_that_diffusers_makes(
    engine: DiffusionEngine, base: StableDiffusionXLPipeline, union: ControlNetUnionModel, kind: int
) -> None:
    """diffusers attends from row to row of a batch there, the extension from a picture to its hint: see
    `controlnets.attend_within_rows`, without which a picture would not be the same alone and in a batch."""
    for layer in union.transformer_layes:
        layer.attn.batch_first = True
    pipeline = StableDiffusionXLControlNetUnionPipeline(**base.components, controlnet=union, add_watermarker=False)
    pipeline.scheduler = EulerDiscreteScheduler.from_config(
        pipeline.scheduler.config, timestep_spacing="linspace", steps_offset=0
    )
    pipeline.set_progress_bar_config(disable=True)
    made = pipeline(
        PROMPT,
        negative_prompt=NEGATIVE,
        control_image=[torch.from_numpy(IMAGE.transpose(2, 0, 1))[None].float() / 255],
        control_mode=[kind],
        controlnet_conditioning_scale=0.8,
        num_inference_steps=4,
        guidance_scale=7.0,
        latents=torch.randn((1, 4, SIZE // 8, SIZE // 8), generator=torch.Generator().manual_seed(7)),
        width=SIZE,
        height=SIZE,
        output_type="np",
    )
    theirs = np.asarray((made.images[0] * 255).round().astype(np.uint8))
    ours = make_one(engine, controls=(replace(HINT, shows=UNION_KINDS[kind]),))
    assert difference(ours, theirs) <= 1
    assert difference(ours, make_one(engine)) > 3


def test_each_kind_of_hint_makes_another_picture(engine: DiffusionEngine) -> None:
    made = [make_one(engine, controls=(replace(HINT, shows=kind),)) for kind in UNION_KINDS[:6]]
    assert min(difference(one, other) for place, one in enumerate(made) for other in made[:place]) > 0


@pytest.mark.parametrize("mode", ["balanced", "prompt", "control"])
def test_a_picture_with_a_union_model_is_the_same_alone_and_in_a_batch(engine: DiffusionEngine, mode: Any) -> None:
    own = a_request(controls=(replace(HINT, mode=mode),))
    other = replace(own, seed=1, controls=(replace(HINT, image=an_image((SIZE, SIZE), 2), mode=mode),))
    assert engine.key(own) == engine.key(other)
    assert engine.key(own) != engine.key(replace(own, controls=(replace(HINT, mode=mode, shows="normal"),)))
    both = make(engine, other, own)
    assert difference(both[1].image, make(engine, own)[0].image) <= 1


def test_a_union_model_may_act_twice_and_beside_another_controlnet(engine: DiffusionEngine) -> None:
    two = (HINT, replace(HINT, shows="openpose"))
    assert difference(make_one(engine, controls=two), make_one(engine, controls=two[:1])) > 0
    canny = ControlHint(CONTROLNETS["canny"], IMAGE)
    assert difference(make_one(engine, controls=(HINT, canny)), make_one(engine, controls=(canny,))) > 0


def test_a_union_model_in_a_folder_is_the_one_in_a_file(
    engine: DiffusionEngine, models: Path, union: ControlNetUnionModel
) -> None:
    union.save_pretrained(models / "controlnets" / "union-folder")
    try:
        listed = {model.name: (model.role, model.family, model.types) for model in engine.list_models().controlnets}
        assert listed["union-folder"] == listed[NAME] == ("controlnet-union", "sdxl", 6)
        folder = make_one(engine, controls=(replace(HINT, model="union-folder"),))
    finally:
        shutil.rmtree(models / "controlnets" / "union-folder")
    assert difference(folder, make_one(engine, controls=(HINT,))) == 0


def test_one_of_eight_types_knows_tiles(models: Path, base: StableDiffusionXLPipeline) -> None:
    path = models / "controlnets" / "union-promax.safetensors"
    write(path, dict(build_union(base, 8).state_dict()))
    try:
        engine = an_engine(models, checkpoint=CHECKPOINT)
        tiles = make_one(engine, controls=(replace(HINT, model="union-promax", shows="tile"),))
        assert difference(tiles, make_one(engine, controls=(replace(HINT, model="union-promax"),))) > 0
    finally:
        path.unlink()


@pytest.mark.parametrize("shows", ["", "tile", "a cat"])
def test_a_union_model_that_is_not_told_what_it_sees_is_refused_by_name(engine: DiffusionEngine, shows: str) -> None:
    with pytest.raises(NotSupported, match=f"'{NAME}' must be told what its hint shows: openpose, depth"):
        make(engine, a_request(controls=(replace(HINT, shows=shows),)))


def test_a_union_model_of_another_family_or_without_its_tensors_is_refused_by_name(
    models: Path, union: ControlNetUnionModel
) -> None:
    hint = replace(HINT, model="union-odd")
    path = models / "controlnets" / "union-odd.safetensors"
    try:
        write(path, {"controlnet_cond_embedding.conv_in.weight": torch.zeros(1), "task_embedding": torch.zeros(6, 320)})
        with pytest.raises(NotSupported, match="a ControlNet union model"):
            make(an_engine(models, checkpoint=CHECKPOINT), a_request(controls=(hint,)))
        tensors = {name: one for name, one in union.state_dict().items() if not name.startswith("spatial_ch_projs.b")}
        write(path, tensors)
        with pytest.raises(WeightsMissing, match=r"spatial_ch_projs\.bias"):
            make(an_engine(models, checkpoint=CHECKPOINT), a_request(controls=(hint,)))
        path.write_bytes(path.read_bytes()[:-100])
        with pytest.raises(WeightsMissing, match="cut short"):
            make(an_engine(models, checkpoint=CHECKPOINT), a_request(controls=(hint,)))
    finally:
        path.unlink()
