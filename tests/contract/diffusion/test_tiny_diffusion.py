"""The small diffusion models of the tests: every input of theirs changes the image, and nothing saturates."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("diffusers")

import torch
from diffusers import ControlNetModel, StableDiffusionControlNetPipeline, StableDiffusionPipeline

from tests.support import tiny_diffusion
from tests.support.tiny_single_file import write_single_file

LEAST_DIFFERENCE = 0.5 / 255
"""Mean absolute difference that counts as another picture."""


@pytest.fixture(scope="module")
def pipeline(tiny_models: Path) -> StableDiffusionPipeline:
    return _load(tiny_models / "checkpoints" / tiny_diffusion.CHECKPOINT)


def test_the_same_seed_makes_the_same_picture_within_the_usual_range(pipeline: StableDiffusionPipeline) -> None:
    picture = _paint(pipeline)
    np.testing.assert_array_equal(picture, _paint(pipeline))
    assert 0.05 < picture.std() < 0.4
    assert np.mean((picture == 0) | (picture == 1)) < 0.2


@pytest.mark.parametrize("change", [{"prompt": "a cat"}, {"negative_prompt": "a cat"}, {"seed": 1}])
def test_prompts_and_seed_change_the_picture(pipeline: StableDiffusionPipeline, change: dict[str, Any]) -> None:
    assert _difference(_paint(pipeline), _paint(pipeline, **change)) > LEAST_DIFFERENCE


def test_two_checkpoints_make_different_pictures(pipeline: StableDiffusionPipeline, tiny_models: Path) -> None:
    other = _load(tiny_models / "checkpoints" / tiny_diffusion.OTHER_CHECKPOINT)
    assert _difference(_paint(pipeline), _paint(other)) > LEAST_DIFFERENCE


@pytest.mark.parametrize("kind", tiny_diffusion.CONTROLNETS)
def test_controlnets_see_their_hint(pipeline: StableDiffusionPipeline, tiny_models: Path, kind: str) -> None:
    network = ControlNetModel.from_pretrained(tiny_models / "controlnets" / tiny_diffusion.CONTROLNETS[kind])
    parts = {**pipeline.components, "safety_checker": None}
    controlled = StableDiffusionControlNetPipeline(**parts, controlnet=network, requires_safety_checker=False)
    controlled.set_progress_bar_config(disable=True)
    black = torch.zeros(1, 3, 64, 64)
    striped = black.clone()
    striped[..., ::8] = 1
    without, with_black, with_stripes = (
        _paint(pipeline),
        _paint(controlled, image=black),
        _paint(controlled, image=striped),
    )
    assert _difference(without, with_black) > LEAST_DIFFERENCE
    assert _difference(with_black, with_stripes) > LEAST_DIFFERENCE


def test_a_lora_acts_through_text_encoder_and_unet(tiny_models: Path) -> None:
    pipeline = _load(tiny_models / "checkpoints" / tiny_diffusion.CHECKPOINT)
    plain = _paint(pipeline)
    file = tiny_models / "loras" / f"{tiny_diffusion.LORA}.safetensors"
    pipeline.load_lora_weights(str(file.parent), weight_name=file.name, adapter_name="lora")
    pictures = []
    for unet, text_encoder in ((1.0, 0.0), (0.0, 1.0), (0.0, 0.0)):
        pipeline.set_adapters(["lora"], [{"unet": unet, "text_encoder": text_encoder}])
        pictures.append(_paint(pipeline))
    assert _difference(plain, pictures[0]) > LEAST_DIFFERENCE
    assert _difference(plain, pictures[1]) > LEAST_DIFFERENCE
    np.testing.assert_allclose(pictures[2], plain, atol=1e-5)


def test_any_text_has_tokens_and_commas_are_tokens_of_their_own() -> None:
    tokenizer = tiny_diffusion.build_tokenizer()
    assert tokenizer.tokenize("cat, dog") == ["cat</w>", ",</w>", "dog</w>"]
    assert tokenizer.unk_token_id not in tokenizer("Füße ☃ \x7f 猫", add_special_tokens=False).input_ids


def test_one_file_holds_the_same_checkpoint(pipeline: StableDiffusionPipeline, tmp_path: Path) -> None:
    pipeline.save_pretrained(tmp_path / "checkpoints" / "tiny")
    file = write_single_file(tmp_path, "tiny", "single")
    single = StableDiffusionPipeline.from_single_file(
        str(file), config=str(tmp_path / "configs" / "checkpoints"), local_files_only=True, safety_checker=None
    )
    single.set_progress_bar_config(disable=True)
    np.testing.assert_allclose(_paint(single), _paint(pipeline), atol=1e-4)


def _load(folder: Path) -> StableDiffusionPipeline:
    pipeline = StableDiffusionPipeline.from_pretrained(folder)
    pipeline.set_progress_bar_config(disable=True)
    return pipeline


def _paint(pipeline: Any, prompt: str = "a photo of a dog", seed: int = 0, **options: Any) -> np.ndarray:
    options = {"height": 64, "width": 64, "num_inference_steps": 4, "output_type": "np", **options}
    return np.asarray(pipeline(prompt, generator=torch.Generator().manual_seed(seed), **options).images[0])


def _difference(one: np.ndarray, other: np.ndarray) -> float:
    return float(np.abs(one - other).mean())
