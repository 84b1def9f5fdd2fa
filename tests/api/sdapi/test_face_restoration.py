"""Face restoration in the Stable Diffusion web API: listed, in extras, in generated images."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import httpx
import numpy as np
import pytest

from deployments.contracts.albums import Face
from deployments.contracts.arrays import Image
from deployments.errors import WeightsMissing
from tests.api.sdapi.conftest import V1, img2img, pixels, txt2img
from tests.support.builders import a_flat_image, base64_png
from tests.support.fake_diffuser import CODEFORMER, RESTORERS, FakeDiffuser

SIZE = {"width": 128, "height": 128}
_FIVE = np.array([[52, 56], [68, 56], [60, 66], [53, 74], [67, 74]], np.float32)
DARK = a_flat_image((128, 128), (0, 0, 0))


class WithAFace(FakeDiffuser):
    """Finds a face in the middle of each image."""

    faces = 1
    missing = False

    def __init__(self) -> None:
        super().__init__()
        self.sizes: list[tuple[int, ...]] = []

    async def find_faces(self, images: Sequence[Image]) -> list[list[Face]]:
        self.sizes += [image.shape[:2] for image in images]
        if self.missing:
            raise WeightsMissing("The face engine's weights are missing.")
        face = Face((24, 24, 104, 104), 0.9, 1.0, _FIVE, np.zeros(4, np.float32))
        return [[face] * self.faces for _ in images]


@pytest.fixture
def capabilities() -> WithAFace:
    engine = WithAFace()
    engine.without(restorers=RESTORERS)
    return engine


async def extras(client: httpx.AsyncClient, **fields: Any) -> tuple[Image, str]:
    response = await client.post(f"{V1}/extra-single-image", json={"image": base64_png(DARK)} | fields)
    assert response.status_code == 200, response.text
    return pixels(response.json()["image"]), response.json()["html_info"]


async def test_a_restorer_is_listed_where_its_file_is(idle_client: httpx.AsyncClient, capabilities: WithAFace) -> None:
    async def listed() -> Any:
        return (await idle_client.get(f"{V1}/face-restorers")).json()

    assert await listed() == [{"name": "GFPGAN", "cmd_dir": None, "licence": "Apache License 2.0"}]
    capabilities.without(restorers=(replace(CODEFORMER, needs="spandrel-extra-arches"),))
    assert await listed() == []
    capabilities.without(restorers=(CODEFORMER,))
    [listed_now] = await listed()
    assert listed_now["name"] == "CodeFormer"
    assert "non-commercial" in listed_now["licence"]


async def test_extras_restore_faces_by_their_visibility(
    idle_client: httpx.AsyncClient, capabilities: WithAFace
) -> None:
    image, said = await extras(idle_client, gfpgan_visibility=0.5)
    assert image[60, 60].tolist() == [100, 100, 100]  # half of the fake's 200 over black
    assert image[2, 2].tolist() == [0, 0, 0]
    assert said == "<p>GFPGAN visibility: 0.5</p>"
    assert capabilities.restored == [("GFPGANv1.4", 1)]  # the newest of two


async def test_extras_restore_before_they_enlarge_unless_told_otherwise(
    idle_client: httpx.AsyncClient, capabilities: WithAFace
) -> None:
    first, said = await extras(idle_client, gfpgan_visibility=1, upscaler_1="Nearest")
    assert first.shape == (256, 256, 3)
    assert first[120, 120].tolist() == [200, 200, 200]
    assert said == "<p>Postprocess upscale by: 2, Postprocess upscaler: Nearest, GFPGAN visibility: 1</p>"
    second, _ = await extras(idle_client, gfpgan_visibility=1, upscaler_1="Nearest", upscale_first=True)
    assert second[200, 200].tolist() == [0, 0, 0]  # where the face was in the small image, as the fake says


async def test_faces_of_a_large_image_are_looked_for_in_a_smaller_one(
    idle_client: httpx.AsyncClient, capabilities: WithAFace
) -> None:
    large = base64_png(a_flat_image((8192, 256), (0, 0, 0)))
    image, _ = await extras(idle_client, image=large, gfpgan_visibility=1)
    assert capabilities.sizes == [(128, 4096)]
    assert image.shape == (256, 8192, 3)
    assert image[120, 120].tolist() == [200, 200, 200]  # where the fake's face is in the large one


async def test_extras_restore_several_images(idle_client: httpx.AsyncClient, capabilities: WithAFace) -> None:
    body = {"imageList": [{"data": base64_png(DARK)}] * 2, "gfpgan_visibility": 1}
    answer = (await idle_client.post(f"{V1}/extra-batch-images", json=body)).json()
    assert [pixels(one)[60, 60, 0] for one in answer["images"]] == [200, 200]
    assert len(capabilities.restored) == 2


async def test_codeformer_is_refused_by_name(idle_client: httpx.AsyncClient, capabilities: WithAFace) -> None:
    image, said = await extras(idle_client, codeformer_visibility=1)
    assert np.array_equal(image, DARK)
    assert "codeformer_visibility has no effect: CodeFormer's licence" in said
    assert "needs codeformer-v0.1.0.pth" in said
    capabilities.without(restorers=(*RESTORERS, replace(CODEFORMER, needs="spandrel-extra-arches")))
    _, said = await extras(idle_client, codeformer_visibility=1)
    assert "'codeformer-v0.1.0' is not used" in said
    assert "needs the package spandrel-extra-arches" in said
    assert capabilities.restored == []


async def test_codeformer_restores_where_its_file_and_its_package_are(
    idle_client: httpx.AsyncClient, capabilities: WithAFace
) -> None:
    capabilities.without(restorers=(*RESTORERS, CODEFORMER))
    image, said = await extras(idle_client, codeformer_visibility=0.5, codeformer_weight=0.25)
    assert image[60, 60].tolist() == [100, 100, 100]
    assert said == "<p>CodeFormer visibility: 0.5, CodeFormer weight: 0.25</p>"
    assert (capabilities.restored, capabilities.restored_by) == ([("codeformer-v0.1.0", 1)], [0.25])


async def test_both_restorers_act_one_after_the_other(idle_client: httpx.AsyncClient, capabilities: WithAFace) -> None:
    capabilities.without(restorers=(*RESTORERS, CODEFORMER))
    await extras(idle_client, gfpgan_visibility=1, codeformer_visibility=1)
    assert capabilities.restored == [("GFPGANv1.4", 1), ("codeformer-v0.1.0", 1)]


async def test_codeformer_restores_generated_images_by_the_setting(
    client: httpx.AsyncClient, capabilities: WithAFace
) -> None:
    capabilities.without(restorers=(CODEFORMER,))
    settings = {"face_restoration_model": "CodeFormer"}
    made = await txt2img(client, **SIZE, restore_faces=True, override_settings=settings)
    await txt2img(client, **SIZE, restore_faces=True, override_settings={**settings, "code_former_weight": 0.8})
    assert capabilities.restored == [("codeformer-v0.1.0", 1)] * 2
    assert capabilities.restored_by == [0.5, 0.8]
    assert made.warnings == ""
    assert "Face restoration: CodeFormer" in made.info["infotexts"][0]


async def test_extras_say_which_file_is_missing(idle_client: httpx.AsyncClient, capabilities: WithAFace) -> None:
    capabilities.without(restorers=())
    image, said = await extras(idle_client, gfpgan_visibility=1)
    assert np.array_equal(image, DARK)
    assert "gfpgan_visibility has no effect: there is no GFPGAN network" in said


async def test_faces_of_generated_images_are_restored(client: httpx.AsyncClient, capabilities: WithAFace) -> None:
    plain = await txt2img(client, **SIZE, seed=5)
    assert capabilities.restored == []
    made = await txt2img(client, **SIZE, seed=5, restore_faces=True, batch_size=2)
    assert capabilities.restored == [("GFPGANv1.4", 1)] * 2
    assert (made.images[0][55:70, 55:70] == 200).all()
    assert np.array_equal(made.images[0][:8], plain.images[0][:8])
    assert made.warnings == ""
    assert made.info["face_restoration_model"] == "GFPGAN"
    assert "Face restoration: GFPGAN" in made.info["infotexts"][0]
    assert "Face restoration" not in plain.info["infotexts"][0]


async def test_the_setting_restores_faces_too(client: httpx.AsyncClient, capabilities: WithAFace) -> None:
    await txt2img(client, **SIZE, override_settings={"face_restoration": True})
    assert len(capabilities.restored) == 1


async def test_what_a_mask_keeps_is_not_restored(client: httpx.AsyncClient, capabilities: WithAFace) -> None:
    mask = np.zeros((128, 128, 3), np.uint8)
    mask[:, :64] = 255
    fields = {"mask": base64_png(mask), "mask_blur": 0, "inpaint_full_res": False, "restore_faces": True}
    image = (await img2img(client, DARK, **SIZE, **fields)).images[0]
    assert (image[55:70, 55:60] == 200).all()
    assert (image[:, 66:] == 0).all()


@pytest.mark.parametrize(
    ("overrides", "words"),
    [
        ({"face_restoration_model": "CodeFormer"}, "CodeFormer's licence is for non-commercial use"),
        ({"face_restoration_model": "Beauty"}, "no face restorer 'Beauty'"),
    ],
)
async def test_a_restorer_that_is_not_here_is_said(
    client: httpx.AsyncClient, capabilities: WithAFace, overrides: dict[str, str], words: str
) -> None:
    made = await txt2img(client, restore_faces=True, override_settings=overrides)
    assert words in made.warnings
    assert made.info["face_restoration_model"] is None
    assert capabilities.restored == []


async def test_faces_that_cannot_be_restored_cost_no_image(client: httpx.AsyncClient, capabilities: WithAFace) -> None:
    capabilities.missing = True
    made = await txt2img(client, **SIZE, restore_faces=True)
    assert len(made.images) == 1
    assert "weights are missing" in made.warnings


async def test_of_a_crowd_the_largest_faces_are_restored(client: httpx.AsyncClient, capabilities: WithAFace) -> None:
    capabilities.faces = 23
    made = await txt2img(client, **SIZE, restore_faces=True)
    assert capabilities.restored == [("GFPGANv1.4", 20)]
    assert "3 were left as they are" in made.warnings
