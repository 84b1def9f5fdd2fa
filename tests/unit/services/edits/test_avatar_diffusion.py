"""Avatars by the diffusion engine, over one that only counts."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from configs.settings import Avatars
from deployments.algorithms.faces.sample import sample_portrait
from deployments.algorithms.segmentation.head_masks import head_mask
from deployments.contracts.diffusion import MAX_SEED, Lora
from deployments.contracts.portraits import REQUIRED_LANDMARKS, AvatarMode, AvatarTask
from deployments.errors import Unavailable
from serve_app.services.edits.avatar_diffusion import DiffusionAvatarArtist
from tests.support.fake_generation import COLOURS, FakeGeneration
from tests.unit.services.edits.test_style_diffusion import RecordedProgress, WithXl

SETTINGS = Avatars(diffusion_pixels=64 * 64, diffusion_steps=12, checkpoint="painter")
IMAGE, SEGMENTATION = sample_portrait(200)
REQUEST = AvatarTask(IMAGE, "fox", "character", SEGMENTATION, "a fox", "blurry", 0.8, MAX_SEED)


def twice(request: AvatarTask) -> AvatarTask:
    """The same face two times."""
    return replace(request, segmentation=replace(SEGMENTATION, faces=SEGMENTATION.faces * 2))


@pytest.mark.parametrize("mode", ["overlay", "character"])
async def test_an_avatar_changes_the_head_and_nothing_else(mode: AvatarMode) -> None:
    request = replace(REQUEST, mode=mode)
    made = await DiffusionAvatarArtist(FakeGeneration(), SETTINGS).render(request, RecordedProgress())
    mask = head_mask(SEGMENTATION, mode)
    assert made.changed == (0,)
    assert np.array_equal(made.image[mask == 0], IMAGE[mask == 0])
    assert (made.image[mask == 255] == COLOURS["diffusers"]).all()


async def test_progress_counts_every_step_of_every_head() -> None:
    progress = RecordedProgress()
    await DiffusionAvatarArtist(FakeGeneration(), SETTINGS).render(twice(REQUEST), progress)
    assert progress.told == pytest.approx([0.125, 0.25, 0.375, 0.5, 0.625, 0.75, 0.875, 1.0])


async def test_each_head_has_a_seed_of_its_own_and_sees_those_before() -> None:
    engine = FakeGeneration()
    await DiffusionAvatarArtist(engine, SETTINGS).render(twice(REQUEST), RecordedProgress())
    first, second = engine.generated
    assert (first.seed, second.seed) == (MAX_SEED, 0)
    assert (first.checkpoint, first.steps) == ("painter", 12)
    assert first.init_image is not None
    assert second.init_image is not None
    assert not np.array_equal(first.init_image, second.init_image)


async def test_loras_in_the_prompt_are_taken_out_of_it_and_loaded() -> None:
    engine = FakeGeneration()
    request = replace(REQUEST, prompt="a fox<lora:ink:0.5><lora:absent:1>")
    made = await DiffusionAvatarArtist(engine, SETTINGS).render(request, RecordedProgress())
    [wanted] = engine.generated
    assert (wanted.prompt, wanted.loras) == ("a fox", (Lora("ink", 0.5, 0.5),))
    assert made.warnings == ("Without LoRA absent: it is not installed.",)


async def test_a_head_outside_of_the_picture_is_no_face_that_was_changed() -> None:
    far = {name: (x + 5000, y) for name, (x, y) in SEGMENTATION.faces[0].landmarks.items()}
    outside = replace(
        SEGMENTATION.faces[0], landmarks=far, outline=SEGMENTATION.faces[0].outline + np.float32([5000, 0])
    )
    request = replace(REQUEST, segmentation=replace(SEGMENTATION, faces=(outside, *SEGMENTATION.faces)))
    engine = FakeGeneration()
    assert (await DiffusionAvatarArtist(engine, SETTINGS).render(request, RecordedProgress())).changed == (1,)
    assert len(engine.generated) == 1


async def test_a_failure_at_one_head_fails_the_avatar() -> None:
    engine = FakeGeneration()
    engine.failures = {"diffusers": Unavailable("The replica died.")}
    with pytest.raises(Unavailable):
        await DiffusionAvatarArtist(engine, SETTINGS).render(REQUEST, RecordedProgress())


def test_an_avatar_of_the_sample_portrait_keeps_the_contract() -> None:
    image, found = sample_portrait()
    [face] = found.faces
    assert set(face.landmarks) == set(REQUIRED_LANDMARKS)
    assert found.face_mask.shape == found.person_mask.shape == image.shape[:2]
    assert found.face_mask[32, 32] == 255
    assert found.face_mask[0, 0] == 0


async def test_an_sdxl_paints_heads_at_its_own_size() -> None:
    sizes = []
    for engine in (FakeGeneration(), WithXl()):
        settings = SETTINGS.model_copy(update={"checkpoint": "", "diffusion_pixels_xl": 128 * 128})
        await DiffusionAvatarArtist(engine, settings).render(REQUEST, RecordedProgress())
        sizes.append(engine.generated[0].width * engine.generated[0].height)
    assert sizes[0] <= 64 * 64 * 1.2
    assert sizes[1] > 2 * sizes[0]
