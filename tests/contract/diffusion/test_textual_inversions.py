"""Textual inversions in prompts: the image is that of diffusers with the same vectors."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("diffusers")

import torch
from diffusers import EulerDiscreteScheduler, StableDiffusionPipeline
from safetensors.torch import save_file

from deployments.contracts.arrays import Image
from deployments.engines.diffusion.textual_inversions import read_vectors
from tests.support import real_shapes
from tests.support.diffusing import SIZE, a_request, an_engine, difference, make, make_one
from tests.support.tiny_diffusion import CHECKPOINT

WIDTH = 32
NAME = "cat-style-5"


@pytest.fixture
def models(tiny_models: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(tiny_models, tmp_path / "models"))


def vectors(count: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(count, WIDTH, generator=torch.Generator().manual_seed(seed))


def install(models: Path, tensor: torch.Tensor, name: str = NAME, form: str = "safetensors") -> None:
    folder = models / "embeddings"
    folder.mkdir(exist_ok=True)
    if form == "safetensors":
        save_file({"emb_params": tensor}, str(folder / f"{name}.safetensors"))
    elif form == "pt":
        parameters = torch.nn.ParameterDict({"*": torch.nn.Parameter(tensor)})
        torch.save(
            {"string_to_token": {"*": torch.tensor(265)}, "string_to_param": parameters, "step": 9},
            folder / f"{name}.pt",
        )
    elif form == "plain pt":
        torch.save({"string_to_param": {"*": tensor}, "name": name}, folder / f"{name}.pt")
    else:
        torch.save({"<cat>": tensor[0] if len(tensor) == 1 else tensor}, folder / f"{name}.bin")


def of_diffusers(models: Path, tensor: torch.Tensor, prompt: str, negative: str) -> Image:
    """The same image by diffusers alone; the prompts name the token `xyz`."""
    pipeline = StableDiffusionPipeline.from_pretrained(models / "checkpoints" / CHECKPOINT, safety_checker=None)
    pipeline.scheduler = EulerDiscreteScheduler.from_config(
        pipeline.scheduler.config, timestep_spacing="linspace", steps_offset=0
    )
    pipeline.set_progress_bar_config(disable=True)
    pipeline.load_textual_inversion({"xyz": tensor}, token="xyz")
    noise = torch.randn((1, 4, SIZE // 8, SIZE // 8), generator=torch.Generator().manual_seed(7))
    made = pipeline(
        prompt, negative_prompt=negative, num_inference_steps=4, guidance_scale=7.0, latents=noise, width=SIZE,
        height=SIZE, output_type="np",
    )  # fmt: skip
    return np.asarray((made.images[0] * 255).round().astype(np.uint8))


@pytest.mark.parametrize("count", [1, 3])
@pytest.mark.parametrize("form", ["safetensors", "pt", "plain pt", "bin"])
def test_the_image_is_that_of_diffusers_in_both_prompts(models: Path, count: int, form: str) -> None:
    install(models, vectors(count), form=form)
    engine = an_engine(models)
    for prompt, negative in (("a photo of xyz, cat", "blurry"), ("a photo", "xyz, blurry")):
        texts = {
            "prompt": prompt.replace("xyz", NAME.upper()),
            "negative_prompt": negative.replace("xyz", NAME),
        }
        (ours,) = make(engine, a_request(**texts))
        assert difference(ours.image, of_diffusers(models, vectors(count), prompt, negative)) <= 1
        assert ours.warnings == ()
        assert difference(ours.image, make_one(engine, prompt=prompt, negative_prompt=negative)) > 2


def test_it_takes_emphasis_and_leaves_no_trace(models: Path) -> None:
    install(models, vectors(2))
    engine = an_engine(models)
    plain = make_one(engine, prompt="a cat")
    strong = make_one(engine, prompt=f"a cat, ({NAME}:1.5)")
    assert difference(strong, make_one(engine, prompt=f"a cat, {NAME}")) > 2
    assert difference(make_one(engine, prompt="a cat"), plain) == 0


def test_the_longest_name_that_fits_is_meant(models: Path) -> None:
    install(models, vectors(1), "cat")
    install(models, vectors(1, 5), "cat-style")
    engine = an_engine(models)
    both = make_one(engine, prompt="a photo of cat-style")
    (models / "embeddings" / "cat.safetensors").unlink()
    assert difference(make_one(engine, prompt="a photo of cat-style"), both) == 0


@pytest.mark.parametrize(
    ("tensors", "reason"),
    [
        ({"emb_params": torch.zeros(2, 768)}, "768 numbers, the checkpoint's have 32"),
        ({"clip_l": torch.zeros(2, 768), "clip_g": torch.zeros(2, 1280)}, "768 and 1280 numbers"),
        ({"emb_params": torch.zeros(80, WIDTH)}, "80 vectors"),
        ({"emb_params": torch.zeros(1, 2, WIDTH)}, "no vectors that are known"),
    ],
)
def test_one_that_does_not_fit_is_named_and_read_as_text(models: Path, tensors: Any, reason: str) -> None:
    (models / "embeddings").mkdir()
    engine = an_engine(models)
    plain = make_one(engine, prompt=f"a cat, {NAME}")
    save_file(tensors, str(models / "embeddings" / f"{NAME}.safetensors"))
    (made,) = make(engine, a_request(prompt=f"a cat, {NAME}"))
    assert any(NAME in text and reason in text for text in made.warnings)
    assert difference(made.image, plain) == 0


def test_one_that_is_cut_short_is_named_and_nothing_else_is_disturbed(models: Path) -> None:
    install(models, vectors(2))
    path = models / "embeddings" / f"{NAME}.safetensors"
    path.write_bytes(path.read_bytes()[:-4])
    (made,) = make(an_engine(models), a_request(prompt=f"a cat, {NAME}"))
    assert any("4 bytes are missing" in text for text in made.warnings)


def test_the_list_tells_vectors_and_family(models: Path) -> None:
    real_shapes.write(models / "embeddings" / "sub" / "easynegative.safetensors", {"emb_params": (8, 768)})
    real_shapes.write(models / "embeddings" / "xl.safetensors", {"clip_l": (4, 768), "clip_g": (4, 1280)})
    listed = {one.name: (one.family, one.vectors, one.width) for one in an_engine(models).list_models().embeddings}
    assert listed == {"easynegative": ("sd1", 8, 768), "xl": ("sdxl", 4, 1280)}


@pytest.mark.parametrize(
    "tensors",
    [
        {"emb_params": torch.zeros(0, WIDTH)},
        {"emb_params": torch.zeros(2, 0)},
        {"emb_params": torch.zeros(0)},
        {"emb_params": torch.tensor(1.0)},
        {"clip_l": torch.tensor(1.0), "clip_g": torch.tensor(1.0)},
        {"emb_params": torch.full((1, WIDTH), float("nan"))},
        {},
    ],
)
def test_a_file_without_vectors_says_so(tensors: Any) -> None:
    assert isinstance(read_vectors(tensors, WIDTH), str)
