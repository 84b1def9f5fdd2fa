"""The script "X/Y/Z plot": cells, tables, what is said of them; values that make no sense are refused before a job."""

from __future__ import annotations

import asyncio
import base64
import tracemalloc
from dataclasses import replace
from typing import Any

import httpx
import numpy as np
import pytest
from sqlalchemy import select

from configs.settings import Settings
from deployments.algorithms.a1111.latent_previews import project
from deployments.contracts.diffusion import SeenLatents
from serve_app.services.container import Services
from serve_app.services.jobs import needs
from serve_app.services.runner import JobRunner
from serve_app.services.sdapi.options import Options
from serve_app.services.sdapi.order import GenerationOrder
from serve_app.services.sdapi.previews import LivePreviews, PreviewOptions
from serve_app.services.sdapi.requests import Txt2ImgBody
from serve_app.services.sdapi.xyz_plot import XyzPlot, with_draw
from serve_app.store.models import JobRow
from tests.api.sdapi.conftest import (
    SMALL,
    V1,
    SdapiAnswer,
    a_unit,
    assert_webui_error,
    controlnet,
    img2img,
    pixels,
    txt2img,
    until,
)
from tests.support.builders import an_image, base64_png
from tests.support.fake_diffuser import CATALOGUE, RESTORERS, FakeDiffuser

NOTHING, SEED, STEPS, CFG, REPLACE, ORDER, SAMPLER, CHECKPOINT = 0, 1, 4, 6, 7, 8, 9, 11
"""Places of axes in txt2img."""


def plot(*axes: tuple[Any, str], **flags: Any) -> dict[str, Any]:
    """`script_name` and `script_args`: axes by place or name with their values as text."""
    arguments: list[Any] = []
    for place, values in (*axes, *[(NOTHING, "")] * (3 - len(axes))):
        arguments += [place, values, []]
    known = ("legend", "lone", "subs", "keep", "vary_x", "vary_y", "vary_z", "margin", "text")
    arguments += [flags.get(name, {"legend": False, "text": True}.get(name, False)) for name in known]
    return {"script_name": "X/Y/Z plot", "script_args": arguments}


async def test_each_cell_is_the_image_that_its_values_alone_would_make(
    client: httpx.AsyncClient, capabilities: FakeDiffuser
) -> None:
    made = await txt2img(client, prompt="a cat", seed=7, **plot((STEPS, "2-3"), (CFG, "5, 7.5"), lone=True))
    table, *alone = made.images
    assert table.shape == (128, 128, 3)
    assert [(request.steps, request.guidance_scale) for request in capabilities.requests] == [
        (2, 5.0),
        (3, 5.0),
        (2, 7.5),
        (3, 7.5),
    ]
    single = await txt2img(client, prompt="a cat", seed=7, steps=3, cfg_scale=7.5)
    assert np.array_equal(alone[3], single.images[0])
    assert np.array_equal(table[64:, 64:], alone[3])
    assert np.array_equal(table[:64, 64:], alone[1])


async def test_the_answer_names_the_axes_and_each_image_its_own_parameters(client: httpx.AsyncClient) -> None:
    made = await txt2img(client, prompt="a cat", seed=7, **plot((STEPS, "2, 3"), lone=True))
    assert made.info["index_of_first_image"] == 1
    assert made.info["all_seeds"] == [7, 7]
    table, first, second = made.info["infotexts"]
    assert 'Script: X/Y/Z plot, X Type: Steps, X Values: "2, 3"' in table
    assert "Steps: 2" in first
    assert "Steps: 3" in second
    assert "Script" not in second


async def test_without_single_images_the_table_is_all(client: httpx.AsyncClient) -> None:
    assert [image.shape for image in (await txt2img(client, **plot((SEED, "1-3")))).images] == [(64, 192, 3)]


async def test_a_third_axis_lays_tables_side_by_side_and_they_are_given_where_they_are_wanted(
    client: httpx.AsyncClient,
) -> None:
    axes = (SEED, "1,2"), (CFG, "5,6,7"), (STEPS, "2,3")
    made = await txt2img(client, **plot(*axes, subs=True))
    assert [image.shape for image in made.images] == [(192, 256, 3), (192, 128, 3), (192, 128, 3)]
    assert np.array_equal(made.images[0][:, 128:], made.images[2])


async def test_a_legend_and_margins_take_room_of_their_own(client: httpx.AsyncClient) -> None:
    bare = (await txt2img(client, seed=7, **plot((STEPS, "2,3"), (CFG, "5,6")))).images[0]
    named = (await txt2img(client, seed=7, **plot((STEPS, "2,3"), (CFG, "5,6"), legend=True, margin=10))).images[0]
    assert named.shape[0] > bare.shape[0] + 10
    assert named.shape[1] > bare.shape[1] + 10
    assert np.array_equal(named[-64:, -64:], bare[64:, 64:])
    assert (named[:5, :5] == 255).all()


async def test_words_are_replaced_and_put_in_another_order(
    client: httpx.AsyncClient, capabilities: FakeDiffuser
) -> None:
    await txt2img(client, prompt="a cat by day", **plot((REPLACE, 'cat, dog, "red, old fox"')))
    assert [request.prompt for request in capabilities.requests] == [
        "a cat by day",
        "a dog by day",
        "a red, old fox by day",
    ]
    capabilities.requests.clear()
    await txt2img(client, prompt="red, big, old fox", **plot((ORDER, "old, red")))
    assert [request.prompt for request in capabilities.requests] == ["old, big, red fox", "red, big, old fox"]


async def test_samplers_checkpoints_and_settings_are_axes(
    client: httpx.AsyncClient, capabilities: FakeDiffuser
) -> None:
    chosen = plot((SAMPLER, ""), (CHECKPOINT, ""), text=False)
    chosen["script_args"][2], chosen["script_args"][5] = ["Euler a", "DDIM"], ["tiny", "ghiblistyle"]
    await txt2img(client, **chosen)
    assert [(request.sampler, request.checkpoint) for request in capabilities.requests] == [
        ("Euler a", "tiny"),
        ("DDIM", "tiny"),
        ("Euler a", "ghiblistyle"),
        ("DDIM", "ghiblistyle"),
    ]
    capabilities.requests.clear()
    await txt2img(
        client, **plot(("Clip skip", "1,2"), ("Size", "64x64, 128x64"), ("Schedule type", "Karras, SGM Uniform"))
    )
    seen = {(one.clip_skip, one.width, one.scheduler) for one in capabilities.requests}
    assert len(seen) == 8
    assert (2, 128, "Karras") in seen


async def test_cells_of_unlike_sizes_lie_in_the_middle_of_equal_places(client: httpx.AsyncClient) -> None:
    made = await txt2img(client, **plot(("Size", "64x64, 128x128"), lone=True))
    assert made.images[0].shape == (128, 256, 3)
    assert np.array_equal(made.images[0][32:96, 32:96], made.images[1])


async def test_faces_are_restored_in_the_cells_that_say_so(
    client: httpx.AsyncClient, capabilities: FakeDiffuser
) -> None:
    capabilities.catalogue = replace(CATALOGUE, restorers=RESTORERS)
    made = await txt2img(client, **plot(("Face restore", "None, GFPGAN, CodeFormer"), lone=True))
    _, without, restored, refused = made.info["infotexts"]
    assert "Face restoration" not in without + refused
    assert "Face restoration: GFPGAN" in restored
    assert "CodeFormer" in made.warnings


async def test_seeds_are_one_for_all_cells_or_another_for_each(
    client: httpx.AsyncClient, capabilities: FakeDiffuser
) -> None:
    async def seeds(**fields: Any) -> list[int]:
        capabilities.requests.clear()
        await txt2img(client, **fields)
        return [request.seed for request in capabilities.requests]

    assert len(set(await seeds(**plot((STEPS, "2,3"), (CFG, "5,6"))))) == 1
    assert len(set(await seeds(**plot((STEPS, "2,3"), (CFG, "5,6"), keep=True)))) == 4
    assert await seeds(seed=7, **plot((STEPS, "2,3"), (CFG, "5,6"), keep=True)) == [7] * 4
    assert await seeds(seed=7, **plot((STEPS, "2,3"), (CFG, "5,6"), vary_x=True, vary_y=True)) == [7, 8, 9, 10]
    assert await seeds(seed=7, **plot((STEPS, "2,3"), (CFG, "5,6"), vary_y=True)) == [7, 7, 8, 8]
    drawn = await seeds(**plot((SEED, "-1, 5"), (CFG, "5,6")))
    assert drawn[0] == drawn[2] != -1
    assert drawn[1] == drawn[3] == 5


def test_a_second_attempt_makes_the_same_cells() -> None:
    arguments = with_draw(plot((SEED, "-1,-1"), (STEPS, "2,3"), keep=True)["script_args"])
    order = GenerationOrder("txt2img", Txt2ImgBody(), Options())
    first, again = (
        [cell.order.body.seed for cell in XyzPlot.of("txt2img", arguments, 64).cells(order, CATALOGUE)]
        for _ in range(2)
    )
    assert first == again
    assert len(set(first)) == 4


async def test_img2img_has_axes_of_its_own(client: httpx.AsyncClient, capabilities: FakeDiffuser) -> None:
    made = await img2img(client, an_image((64, 64)), **plot(("Denoising", "0.3, 0.6"), ("Sampler", "Euler, DDIM")))
    assert made.images[0].shape == (128, 128, 3)
    assert [(one.denoising_strength, one.sampler) for one in capabilities.requests] == [
        (0.3, "Euler"),
        (0.6, "Euler"),
        (0.3, "DDIM"),
        (0.6, "DDIM"),
    ]


async def test_units_hold_in_every_cell_and_batches_become_one_picture_of_theirs(
    client: httpx.AsyncClient, capabilities: FakeDiffuser
) -> None:
    unit = controlnet(a_unit(image=base64_png(an_image((64, 64)))))
    made = await txt2img(client, batch_size=2, alwayson_scripts=unit, **plot((STEPS, "2,3")))
    assert [len(request.controls) for request in capabilities.requests] == [1] * 4
    assert [image.shape for image in made.images] == [(64, 256, 3)]


async def test_a_hint_is_made_once_for_all_cells_of_one_size(
    client: httpx.AsyncClient, capabilities: FakeDiffuser
) -> None:
    unit = controlnet(a_unit(image=base64_png(an_image((64, 64)))))
    await txt2img(client, alwayson_scripts=unit, **plot((STEPS, "2,3,4"), ("Size", "64x64, 128x64")))
    assert len(capabilities.hints) == 2
    assert [request.controls[0].image.shape[1] for request in capabilities.requests] == [64] * 3 + [128] * 3


async def test_an_interrupt_leaves_the_other_cells_white(client: httpx.AsyncClient, capabilities: FakeDiffuser) -> None:
    capabilities.go.clear()
    body = SMALL | plot((SEED, "1-8"), lone=True)
    sending = asyncio.create_task(client.post(f"{V1}/txt2img", json=body))
    await capabilities.begun.acquire()
    await client.post(f"{V1}/interrupt")
    made = SdapiAnswer(await sending)
    assert made.images[0].shape == (64, 512, 3)
    assert (made.images[0][:, -64:] == 255).all()
    assert 1 <= len(made.images) - 1 < 8


@pytest.mark.parametrize(
    ("axes", "said"),
    [
        (((STEPS, "1-1000"),), "at most"),
        (((SEED, "1-9"), (CFG, "1-9")), "at most"),
        (((ORDER, "a,b,c,d,e,f,g,h,i,j,k,l"),), "at most"),
        (((STEPS, "few"),), "no values"),
        (((STEPS, ""),), "has no values"),
        (((99, "1"),), "no axis"),
        ((("Sigma Churn", "1,2"),), "not served here"),
        (((STEPS, "2, 100000"),), "between"),
        ((("Size", "64x64, 64x99999"),), "between"),
        ((("Var. strength", "0.5, 5"),), "less than or equal to 1"),
        ((("Denoising", "0.5, -5"),), "greater than or equal to 0"),
        (((SEED, "1-17"), ("Size", "2048x2048")), "pixels in all"),
        (((SEED, "1-16"), ("Size", "2048x2048, 64x64")), "pixels in all"),
    ],
)
async def test_values_that_make_no_sense_are_refused_before_anything_is_made(
    client: httpx.AsyncClient, capabilities: FakeDiffuser, axes: tuple[tuple[Any, str], ...], said: str
) -> None:
    answer = await client.post(f"{V1}/txt2img", json=SMALL | plot(*axes))
    assert answer.status_code == 422, answer.text
    assert said in answer.text
    assert capabilities.requests == []


@pytest.mark.parametrize(
    ("axis", "error"),
    [
        ((SAMPLER, "Euler, Oiler"), "Unknown sampler: Oiler"),
        ((CHECKPOINT, "tiny, huge"), "Unknown checkpoint: huge"),
        ((REPLACE, "dog, cat"), "Prompt S/R did not find dog in prompt or negative prompt."),
        (("VAE", "foggy"), "Unknown VAE: foggy"),
        (("Size", "64"), "A size is width and height, 512x768, not 64"),
        (("Size", "64x" + "9" * 5000), "A size is width and height, 512x768, not 64x" + "9" * 77),
    ],
)
async def test_names_that_are_not_here_are_told_as_the_original_does(
    client: httpx.AsyncClient, capabilities: FakeDiffuser, axis: tuple[Any, str], error: str
) -> None:
    answer = await client.post(f"{V1}/txt2img", json=SMALL | {"prompt": "a fox"} | plot(axis))
    assert_webui_error(answer, 500, "RuntimeError", errors=error)
    assert capabilities.requests == []


async def test_a_prompt_that_grows_beyond_bounds_is_refused_before_it_is_written(client: httpx.AsyncClient) -> None:
    body = SMALL | {"prompt": "a" * 20_000} | plot((REPLACE, "a," + "b" * 10_000))
    tracemalloc.start()
    try:
        answer = await client.post(f"{V1}/txt2img", json=body)
        _, most = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert answer.status_code == 422, answer.text
    assert "at most 20000 characters" in answer.text
    assert most < 2**26


class TestWithSmallFiles:
    @pytest.fixture
    def settings(self, settings: Settings) -> Settings:
        limits = settings.limits.model_copy(update={"max_file_bytes": 3 * 128 * 128})
        return settings.model_copy(update={"limits": limits})

    async def test_a_table_larger_than_a_file_may_be_is_made_smaller_and_says_so(
        self, client: httpx.AsyncClient
    ) -> None:
        made = await txt2img(client, **plot((SEED, "1-4"), (CFG, "5-7")))
        height, width = made.images[0].shape[:2]
        assert height * width <= 128 * 128
        assert width / height == pytest.approx(4 / 3, rel=0.1)
        assert "smaller" in made.warnings


async def test_a_worker_that_does_not_know_the_script_puts_the_job_back_for_a_newer_one(
    idle_client: httpx.AsyncClient, services: Services, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(needs, "NEEDS", needs.NEEDS - {"xyz-plot"})
    sent = SMALL | plot((STEPS, "2,3"), lone=True)
    job = (await idle_client.post(f"{V1}/txt2img", json=sent, headers={"Prefer": "respond-async"})).json()
    place = f"/api/v1/jobs/{job['id']}"

    async def waits() -> Any:
        return (await idle_client.get(place)).json()["waiting"]

    async def succeeded() -> Any:
        return (await idle_client.get(place)).json()["status"] == "succeeded"

    runner = JobRunner(services, settings.jobs)
    running = asyncio.create_task(runner.run())
    try:
        waiting = await until(waits)
        assert "xyz-plot" in waiting["reason"]["detail"]
        assert (await idle_client.get(place)).json()["status"] == "queued"
        monkeypatch.undo()
        assert await until(succeeded)
    finally:
        await runner.stop()
        await running


@pytest.mark.parametrize(
    ("fields", "needed"),
    [
        ({}, []),
        (plot((STEPS, "2,3")), ["xyz-plot"]),
        ({"alwayson_scripts": {"ADetailer": {"args": [{"ad_model": "face_yolov8n.pt"}]}}}, ["adetailer"]),
    ],
)
async def test_a_job_says_what_it_needs(
    idle_client: httpx.AsyncClient, services: Services, fields: dict[str, Any], needed: list[str]
) -> None:
    await idle_client.post(f"{V1}/txt2img", json=SMALL | fields, headers={"Prefer": "respond-async"})
    async with services.database.transaction() as session:
        [payload] = (await session.scalars(select(JobRow.payload))).all()
    assert payload[needs.MEMBER] == needed


async def test_previews_of_a_plot_have_the_colours_of_each_cells_checkpoint() -> None:
    seen, families = SeenLatents(1, 2, np.full((4, 1, 1), 0.5, np.float16)), ["sd1", "sdxl"]
    previews = LivePreviews(FakeDiffuser(), None, None, "job_1", PreviewOptions(), families)  # type: ignore[arg-type]
    drawn = previews._encode({0: seen, 1: seen})
    assert drawn is not None
    image = pixels(base64.b64encode(drawn).decode())
    wanted = [project(seen.latents, family) for family in families]
    assert all(one is not None and (one[0, 0] == image[0, x]).all() for x, one in enumerate(wanted))
    assert image[0, 0].tolist() != image[0, 1].tolist()
