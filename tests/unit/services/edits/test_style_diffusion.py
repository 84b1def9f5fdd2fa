"""Styles by the diffusion engine, over one that only counts."""

from __future__ import annotations

from dataclasses import replace

import pytest

from configs.styles import FamilyRecipe, StyleControl
from deployments.contracts.diffusion import GenerationRequest, Lora, ModelCatalogue, ModelFile
from deployments.contracts.styles import StyleTask
from deployments.errors import Unavailable, WeightsMissing
from serve_app.services.edits.style_diffusion import DiffusionStylist
from serve_app.services.jobs.progress import Progress
from tests.support.builders import an_image
from tests.support.fake_generation import FakeGeneration
from tests.support.styles import a_style

REQUEST = StyleTask(an_image((96, 64)), "ink", "a fox in ink", "photograph", 0.6, 5)


class RecordedProgress(Progress):
    def __init__(self) -> None:
        super().__init__()
        self.told: list[float] = []

    def report(self, share: float) -> None:
        super().report(share)
        self.told.append(self.share)


async def test_progress_counts_hints_and_then_steps() -> None:
    progress = RecordedProgress()
    await DiffusionStylist(FakeGeneration(), 64 * 96).render(REQUEST, a_style().diffusion, progress)
    assert progress.told == pytest.approx([0.15, 0.3625, 0.575, 0.7875, 1.0])


async def test_the_generation_is_closed_when_the_engine_fails_half_way() -> None:
    engine = FakeGeneration()
    engine.failures = {"diffusers": Unavailable("The replica died.")}
    progress = RecordedProgress()
    with pytest.raises(Unavailable):
        await DiffusionStylist(engine, 64 * 96).render(REQUEST, a_style(controls=()).diffusion, progress)
    assert progress.told == [0.25, 0.5]


async def test_loras_in_the_clients_prompt_are_taken_out_of_it_and_loaded() -> None:
    engine = FakeGeneration()
    request = replace(REQUEST, prompt="a fox <lora:ink:0.5><lora:absent:1>")
    made = await DiffusionStylist(engine, 64 * 96).render(request, a_style(loras=()).diffusion, Progress())
    [wanted] = engine.generated
    assert (wanted.prompt, wanted.loras) == ("a fox ", (Lora("ink", 0.5, 0.5),))
    assert made.warnings == ("Without LoRA absent: it is not installed.",)


async def test_a_preprocessor_without_weights_is_left_out_with_its_reason() -> None:
    class WithoutHints(FakeGeneration):
        async def make_hint(self, *_: object) -> object:  # type: ignore[override]
            raise WeightsMissing("canny.pth is missing.")

    made = await DiffusionStylist(WithoutHints(), 64 * 96).render(REQUEST, a_style().diffusion, Progress())
    assert made.warnings == ("Without ControlNet canny: canny.pth is missing.",)


async def test_an_engine_that_ends_without_a_picture_is_unavailable() -> None:
    class Empty(FakeGeneration):
        async def generate(self, request: GenerationRequest):  # type: ignore[no-untyped-def,override]
            return
            yield

    with pytest.raises(Unavailable):
        await DiffusionStylist(Empty(), 64 * 96).render(REQUEST, a_style().diffusion, Progress())


XL_WORDS = FamilyRecipe(
    prompt="sumi-e of {subject}, wide brush", negative_prompt="colour", pixels=96 * 96, loras=(), strength=0.4, steps=8
)


class WithXl(FakeGeneration):
    """An engine whose checkpoint is an SDXL, with ControlNets of either family."""

    async def list_models(self) -> ModelCatalogue:
        def net(name: str, family: str) -> ModelFile:
            return ModelFile(name, name, "", f"{name}.safetensors", family=family, role="controlnet")

        return replace(
            await super().list_models(),
            checkpoints=(ModelFile("xl", "xl", "", "xl.safetensors", family="sdxl", role="checkpoint"),),
            controlnets=(net("canny", "sd1"), net("xl_canny", "sdxl"), net("face", "sd1")),
            default_checkpoint="xl",
        )


async def test_a_checkpoint_of_sdxl_gets_the_styles_own_words_size_and_networks_for_it() -> None:
    engine = WithXl()
    style = a_style(families={"sdxl": XL_WORDS})
    task = replace(REQUEST, prompt="ink drawing of a fox, fine lines")
    made = await DiffusionStylist(engine, 64 * 96).render(task, style.diffusion, Progress())
    [wanted] = engine.generated
    assert (wanted.prompt, wanted.negative_prompt) == ("sumi-e of a fox, wide brush", "colour")
    assert (wanted.width * wanted.height > 64 * 96, wanted.loras, wanted.steps) == (True, (), 8)
    assert wanted.denoising_strength == 0.4
    assert [control.model for control in wanted.controls] == ["xl_canny"]  # in place of the one for SD 1.x
    assert made.warnings == ()


async def test_what_the_client_wrote_stays_with_any_family() -> None:
    engine = WithXl()
    task = replace(REQUEST, prompt="my own fox", negative_prompt="mine", strength=0.9)
    await DiffusionStylist(engine, 64 * 96).render(task, a_style(families={"sdxl": XL_WORDS}).diffusion, Progress())
    [wanted] = engine.generated
    assert (wanted.prompt, wanted.negative_prompt, wanted.denoising_strength) == ("my own fox", "mine", 0.9)


async def test_an_sdxl_works_at_its_own_size_where_the_style_says_nothing() -> None:
    engine = WithXl()
    await DiffusionStylist(engine, 64 * 64, 128 * 192).render(REQUEST, a_style(controls=()).diffusion, Progress())
    [wanted] = engine.generated
    assert (wanted.width, wanted.height) == (192, 128)


async def test_a_controlnet_of_another_family_for_which_none_fits_is_left_out_with_a_warning() -> None:
    engine = WithXl()
    face = StyleControl(module="mediapipe_face", model="face")
    made = await DiffusionStylist(engine, 64 * 96).render(REQUEST, a_style(controls=(face,)).diffusion, Progress())
    assert engine.generated[0].controls == ()
    assert [text for text in made.warnings if "Without ControlNet face" in text and "Stable Diffusion 1.x" in text]
