"""The avatar deployment over the real animals and the drawing engine; heads painted by the real diffusion engine."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from configs.settings import Avatars, Settings
from deployments.algorithms.faces.sample import sample_portrait
from deployments.algorithms.segmentation.head_masks import head_mask
from deployments.avatars import AvatarDeployment
from deployments.contracts.portraits import AvatarMode, AvatarTask
from deployments.errors import InvalidRequest, ProviderUnavailable
from serve_app.services.edits.avatar_diffusion import DiffusionAvatarArtist
from serve_app.services.jobs.progress import Progress

IMAGE, SEGMENTATION = sample_portrait(96)


def a_request(animal: str = "fox", mode: AvatarMode = "overlay") -> AvatarTask:
    return AvatarTask(IMAGE, animal, mode, SEGMENTATION, "a fox", strength=1.0, seed=3)


@pytest.fixture(scope="module")
def avatars() -> AvatarDeployment:
    return AvatarDeployment(Settings())


@pytest.mark.parametrize("mode", ["overlay", "character"])
async def test_a_face_is_drawn_over_without_weights_or_vendor(avatars: AvatarDeployment, mode: AvatarMode) -> None:
    made = await avatars.make_avatar("local", a_request(mode=mode))
    assert made.changed == (0,)
    assert (made.image.shape, made.image.dtype) == (IMAGE.shape, np.uint8)
    assert np.abs(made.image.astype(int) - IMAGE).mean() > 3
    assert np.array_equal(made.image, (await avatars.make_avatar("local", a_request(mode=mode))).image)


async def test_the_deployment_is_healthy_without_asking_a_vendor(avatars: AvatarDeployment) -> None:
    await avatars.check_health()


async def test_an_unknown_animal_or_engine_is_an_invalid_request(avatars: AvatarDeployment) -> None:
    with pytest.raises(InvalidRequest, match="unicorn"):
        await avatars.make_avatar("local", a_request("unicorn"))
    with pytest.raises(InvalidRequest, match="nobody"):
        await avatars.make_avatar("nobody", a_request())


@pytest.mark.parametrize(
    ("engine", "variable"),
    [("vertex", "VERTEX_PROJECT"), ("bedrock", "BEDROCK_REGION"), ("cloud_function", "CLOUD_FUNCTION_URL")],
)
async def test_a_vendor_that_lacks_its_setting_says_so_when_it_is_asked(
    no_credentials: None, avatars: AvatarDeployment, engine: str, variable: str
) -> None:
    with pytest.raises(ProviderUnavailable, match=variable):
        await avatars.make_avatar(engine, a_request())


def test_no_vendors_library_is_loaded_before_it_is_asked_for() -> None:
    script = (
        "import sys; from configs.settings import Settings; from deployments.avatars import AvatarDeployment as A;"
        "A(Settings()); print([name for name in ('boto3', 'google.genai', 'google.cloud.vision', 'torch')"
        " if name in sys.modules])"
    )
    ended = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert ended.stdout.strip() == "[]"


@pytest.mark.parametrize("mode", ["overlay", "character"])
async def test_heads_are_painted_by_the_diffusion_engine_and_the_rest_is_untouched(
    tiny_models: Path, mode: AvatarMode
) -> None:
    from deployments.engines.diffusion.batched import BatchedDiffuser
    from tests.support.tiny_diffusion import CHECKPOINT

    settings = Settings(diffusion={"models_dir": tiny_models, "checkpoint": CHECKPOINT, "offline": True})
    diffuser = BatchedDiffuser(settings)
    artist = DiffusionAvatarArtist(diffuser, Avatars(diffusion_pixels=64 * 64, diffusion_steps=4))
    try:
        first, again, other = [
            await artist.render(replace(a_request(mode=mode), seed=seed), Progress()) for seed in (3, 3, 4)
        ]
    finally:
        await diffuser.close()
    mask = head_mask(SEGMENTATION, mode)
    assert np.array_equal(first.image[mask == 0], IMAGE[mask == 0])
    assert np.abs(first.image.astype(int) - IMAGE)[mask == 255].mean() > 3
    assert np.array_equal(first.image, again.image)
    assert not np.array_equal(first.image, other.image)
