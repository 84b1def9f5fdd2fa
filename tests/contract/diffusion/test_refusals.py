"""Requests, models and latents that are refused, each by its name."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("diffusers")


from deployments.contracts.diffusion import (
    Hires,
    Lora,
)
from deployments.engines.diffusion.engine import DiffusionEngine
from deployments.errors import InvalidRequest, NotSupported, WeightsMissing
from tests.support.builders import an_image
from tests.support.diffusing import CONTROL, HINT, INIT, a_mask, a_request, an_engine, make
from tests.support.tiny_diffusion import CHECKPOINT, LORA


@pytest.mark.parametrize(
    "change",
    [
        {"width": 1_000_000},
        {"width": 65},
        {"height": 0},
        {"height": -64},
        {"steps": 0},
        {"steps": 100_000},
        {"steps": 10**400},
        {"seed": 10**400},
        {"width": 10**400},
        {"guidance_scale": float("nan")},
        {"guidance_scale": -1.0},
        {"eta": float("inf")},
        {"clip_skip": 0},
        {"seed": -1},
        {"seed": 2**32},
        {"denoising_strength": 1.5},
        {"variation_strength": -0.1},
        {"seed_size": (10**6, 64)},
        {"prompt": "x" * 100_000},
        {"init_image": an_image((128, 64))},
        {"mask": a_mask()},
        {"init_image": INIT, "mask": a_mask(128)},
        {"controls": (CONTROL,) * 11},
        {"controls": (replace(CONTROL, image=an_image((128, 64))),)},
        {"controls": (replace(CONTROL, image=HINT[..., :1]),)},
        {"controls": (replace(CONTROL, weight=3.0),)},
        {"controls": (replace(CONTROL, start=0.6, end=0.4),)},
        {"loras": (Lora(LORA),) * 100},
        {"loras": (Lora(LORA, float("inf"), float("nan")),)},
        {"hires": Hires(10**6, 64, 2, 0.5)},
        {"hires": Hires(96, 96, 2, 0.5, upscaler="R-ESRGAN 4x+")},
        {"hires": Hires(96, 96, 2, 0.5), "init_image": INIT},
    ],
    ids=lambda change: "-".join(change),
)
def test_absurd_requests_are_refused_before_anything_is_loaded(fresh: DiffusionEngine, change: dict[str, Any]) -> None:
    with pytest.raises(InvalidRequest):
        fresh.check(a_request(**change))
    assert fresh.models.cache.keys() == []


def test_a_prompt_that_is_too_long_in_tokens_is_refused(engine: DiffusionEngine) -> None:
    with pytest.raises(InvalidRequest):
        make(engine, a_request(prompt="cat, " * 3_900))


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"checkpoint": "dreamy"}, "dreamy"),
        ({"vae": "dreamy-vae"}, "dreamy-vae"),
        ({"controls": (replace(CONTROL, model="control_v9"),)}, "control_v9"),
        ({"checkpoint": "../../../etc/passwd"}, "passwd"),
        ({"checkpoint": "/etc"}, "/etc"),
    ],
    ids=["checkpoint", "vae", "controlnet", "a path upwards", "an absolute path"],
)
def test_models_that_are_not_there_are_named_with_the_setting(
    engine: DiffusionEngine, change: dict[str, Any], named: str
) -> None:
    with pytest.raises(WeightsMissing, match="DARKROOM_DIFFUSION__MODELS_DIR") as raised:
        make(engine, a_request(**change))
    assert named in raised.value.message


def test_a_configured_checkpoint_that_is_not_there_names_its_setting(tiny_models: Path) -> None:
    with pytest.raises(WeightsMissing, match="DARKROOM_DIFFUSION__CHECKPOINT"):
        make(an_engine(tiny_models, checkpoint="gone"), a_request())


def test_a_hub_name_that_is_not_cached_is_missing_when_offline(tiny_models: Path) -> None:
    with pytest.raises(WeightsMissing, match="DARKROOM_DIFFUSION__CHECKPOINT"):
        make(an_engine(tiny_models, checkpoint="nobody/nothing"), a_request())


def test_a_checkpoint_that_is_cut_short_is_missing_weights(tmp_path: Path, tiny_models: Path) -> None:

    shutil.copytree(tiny_models / "checkpoints" / CHECKPOINT, tmp_path / "checkpoints" / "cut")
    weights = tmp_path / "checkpoints" / "cut" / "unet" / "diffusion_pytorch_model.safetensors"
    weights.write_bytes(weights.read_bytes()[:100_000])
    with pytest.raises(WeightsMissing) as raised:
        make(an_engine(tmp_path, checkpoint="cut"), a_request())
    assert str(tmp_path) not in raised.value.message


def test_another_family_of_checkpoints_is_refused_by_name(tmp_path: Path) -> None:
    folder = tmp_path / "checkpoints" / "big"
    folder.mkdir(parents=True)
    (folder / "model_index.json").write_text('{"_class_name": "StableDiffusion3Pipeline"}')
    with pytest.raises(NotSupported, match="big"):
        make(an_engine(tmp_path, checkpoint="big"), a_request())


def test_decoding_refuses_what_are_no_latents(engine: DiffusionEngine) -> None:
    for shape in [(3, 8, 8), (4, 8), (4, 10_000, 10_000)]:
        with pytest.raises(InvalidRequest):
            engine.decode_latents(np.zeros(shape, np.float16))
