"""txt2img, through the whole stack but the engine."""

from __future__ import annotations

import asyncio
import base64
import io
import json
from dataclasses import replace

import httpx
import numpy as np
import pytest
from PIL import Image as PillowImage

from deployments.contracts.diffusion import MAX_SEED, Lora, ModelFile
from deployments.errors import InvalidRequest, NotDeployed, WeightsMissing
from tests.api.sdapi.conftest import (
    SMALL,
    V1,
    SdapiAnswer,
    a_unit,
    assert_webui_error,
    controlnet,
    txt2img,
    until_waiting,
)
from tests.support.builders import an_image, base64_png
from tests.support.fake_diffuser import FakeDiffuser, a_model

INFO_KEYS = """prompt all_prompts negative_prompt all_negative_prompts seed all_seeds subseed all_subseeds
subseed_strength width height sampler_name cfg_scale steps batch_size restore_faces face_restoration_model sd_model_name
sd_model_hash sd_vae_name sd_vae_hash seed_resize_from_w seed_resize_from_h denoising_strength extra_generation_params
index_of_first_image infotexts styles job_timestamp clip_skip is_using_inpainting_conditioning version""".split()


async def test_txt2img_answers_with_an_image_and_the_members_of_the_original(client: httpx.AsyncClient) -> None:
    made = await txt2img(client, prompt="a cat", negative_prompt="blurry", seed=7, sampler_name="Euler a", cfg_scale=7)
    [picture] = made.images
    assert picture.shape == (64, 64, 3)
    assert list(made.info) == [*INFO_KEYS, "warnings"]
    assert made.info["infotexts"] == [
        "a cat\nNegative prompt: blurry\nSteps: 3, Sampler: Euler a, Schedule type: Automatic, CFG scale: 7, Seed: 7, "
        f"Size: 64x64, Model hash: {made.info['sd_model_hash']}, Model: tiny, Version: v1.10.1"
    ]
    assert made.warnings == ""
    assert made.parameters["prompt"] == "a cat"
    assert made.parameters["n_iter"] == 1


async def test_generation_parameters_are_in_the_file_and_png_info_reads_them(client: httpx.AsyncClient) -> None:
    made = await txt2img(client, prompt="a cat, (wet:1.2)", negative_prompt="dog", seed=7)
    picture = PillowImage.open(io.BytesIO(base64.b64decode(made.raw[0])))
    assert picture.text == {"parameters": made.info["infotexts"][0]}  # type: ignore[attr-defined]
    read = (await client.post(f"{V1}/png-info", json={"image": made.raw[0]})).json()
    assert read["info"] == made.info["infotexts"][0]
    assert read["parameters"]["Prompt"] == "a cat, (wet:1.2)"
    assert (read["parameters"]["Seed"], read["parameters"]["Size-1"]) == ("7", "64")


async def test_seeds_count_up_in_batches(client: httpx.AsyncClient, capabilities: FakeDiffuser) -> None:
    made = await txt2img(client, prompt="a cat", seed=10, batch_size=2, n_iter=2)
    assert made.info["all_seeds"] == [10, 11, 12, 13]
    assert len(made.images) == len(made.info["infotexts"]) == 4
    again = await txt2img(client, prompt="a cat", seed=12)
    assert np.array_equal(again.images[0], made.images[2])


async def test_subseeds_alone_count_up_with_a_variation(client: httpx.AsyncClient, capabilities: FakeDiffuser) -> None:
    made = await txt2img(client, seed=10, subseed=5, subseed_strength=0.5, batch_size=2)
    assert (made.info["all_seeds"], made.info["all_subseeds"]) == ([10, 10], [5, 6])
    assert [request.variation_strength for request in capabilities.requests] == [0.5, 0.5]
    assert "Variation seed: 6, Variation seed strength: 0.5" in made.info["infotexts"][1]


async def test_a_seed_of_minus_one_is_drawn(client: httpx.AsyncClient, capabilities: FakeDiffuser) -> None:
    first, second = await txt2img(client, seed=-1), await txt2img(client, seed=-1)
    assert first.info["seed"] != second.info["seed"]
    assert 0 <= first.info["seed"] <= MAX_SEED
    assert first.parameters["seed"] == -1


async def test_images_of_a_request_are_generated_side_by_side_up_to_a_bound(
    client: httpx.AsyncClient, capabilities: FakeDiffuser
) -> None:
    await txt2img(client, batch_size=8, n_iter=2)
    assert len(capabilities.requests) == 16
    assert capabilities.most_running == 4  # diffusion.at_once


async def test_loosely_typed_fields_are_understood(client: httpx.AsyncClient, capabilities: FakeDiffuser) -> None:
    loose = {
        "steps": "4",
        "width": 64.0,
        "height": "64.0",
        "cfg_scale": "6.5",
        "restore_faces": 0,
        "tiling": "true",
        "batch_size": True,
        "prompt": 42,
        "styles": None,
        "alwayson_scripts": None,
        "script_args": None,
        "seed_enable_extras": 1,
        "override_settings": None,
        "negative_prompt": None,
        "send_images": 1,
    }
    made = await txt2img(client, **loose)
    [request] = capabilities.requests
    assert (request.steps, request.guidance_scale, request.prompt, request.tiling) == (4, 6.5, "42", True)
    assert "seed_enable_extras" not in made.parameters


async def test_numbers_with_a_fraction_are_cut_where_whole_ones_belong(
    client: httpx.AsyncClient, capabilities: FakeDiffuser
) -> None:
    await txt2img(client, steps=4.7)
    assert capabilities.requests[0].steps == 4


async def test_images_are_not_sent_where_the_client_wants_none(client: httpx.AsyncClient) -> None:
    made = await txt2img(client, send_images=False)
    assert made.raw == []
    assert len(made.info["infotexts"]) == 1


async def test_saving_several_images_puts_a_grid_first(client: httpx.AsyncClient) -> None:
    made = await txt2img(client, save_images=True, batch_size=3, seed=1)
    grid, *pictures = made.images
    assert made.info["index_of_first_image"] == 1
    assert grid.shape == (128, 128, 3)
    assert np.array_equal(grid[:64, 64:], pictures[1])
    assert len(made.info["infotexts"]) == 4


async def test_the_sampler_may_name_its_scheduler_and_an_unknown_one_is_replaced_aloud(
    client: httpx.AsyncClient, capabilities: FakeDiffuser
) -> None:
    await txt2img(client, sampler_name="DPM++ 2M Karras")
    made = await txt2img(client, sampler_name="Wonder")
    first, second = capabilities.requests
    assert (first.sampler, first.scheduler) == ("DPM++ 2M", "Karras")
    assert second.sampler == made.info["sampler_name"] == "DPM++ 2M"
    assert "Wonder" in made.warnings


async def test_sampler_name_wins_over_sampler_index(client: httpx.AsyncClient, capabilities: FakeDiffuser) -> None:
    await txt2img(client, sampler_index="Euler a")
    await txt2img(client, sampler_index="Euler a", sampler_name="DDIM")
    assert [request.sampler for request in capabilities.requests] == ["Euler a", "DDIM"]


async def test_loras_are_taken_out_of_the_prompt_and_missing_ones_are_named(
    client: httpx.AsyncClient, capabilities: FakeDiffuser
) -> None:
    made = await txt2img(client, prompt="a cat <lora:ink:0.5> <lora:nowhere:1>")
    [request] = capabilities.requests
    assert request.loras == (Lora("ink", 0.5, 0.5),)
    assert "<" not in request.prompt
    assert made.info["prompt"] == "a cat <lora:ink:0.5> <lora:nowhere:1>"
    assert "'nowhere'" in made.warnings
    assert 'Lora hashes: "ink: ' in made.info["infotexts"][0] or "Lora hashes" in made.info["extra_generation_params"]


async def test_comments_are_left_out_unless_the_client_wants_them(
    client: httpx.AsyncClient, capabilities: FakeDiffuser
) -> None:
    await txt2img(client, prompt="a cat # or dog")
    await txt2img(client, prompt="a cat # or dog", override_settings={"enable_prompt_comments": False})
    assert [request.prompt for request in capabilities.requests] == ["a cat ", "a cat # or dog"]


async def test_styles_of_this_server_are_put_around_the_prompt(
    client: httpx.AsyncClient, capabilities: FakeDiffuser
) -> None:
    style = next(one for one in (await client.get(f"{V1}/prompt-styles")).json() if "{prompt}" in one["prompt"])
    made = await txt2img(client, prompt="a cat", negative_prompt="dog", styles=[style["name"]])
    assert made.info["prompt"] == style["prompt"].replace("{prompt}", "a cat")
    assert made.info["negative_prompt"] == f"dog, {style['negative_prompt']}"
    assert made.info["styles"] == [style["name"]]
    assert made.warnings == ""


async def test_an_unknown_style_is_named(client: httpx.AsyncClient) -> None:
    assert "'no such style'" in (await txt2img(client, styles=["no such style"])).warnings


async def test_hires_fix_doubles_the_image(client: httpx.AsyncClient, capabilities: FakeDiffuser) -> None:
    made = await txt2img(client, enable_hr=True, denoising_strength=0, hr_second_pass_steps=2)
    assert made.images[0].shape == (128, 128, 3)
    hires = capabilities.requests[0].hires
    assert hires is not None
    assert (hires.width, hires.steps, hires.denoising_strength, hires.upscaler) == (128, 2, 0, "Latent")
    assert "Hires upscale: 2.0, Hires steps: 2, Hires upscaler: Latent" in made.info["infotexts"][0]


async def test_hires_fix_takes_its_size_from_a_scale_or_a_target(
    client: httpx.AsyncClient, capabilities: FakeDiffuser
) -> None:
    cases: list[tuple[dict[str, float], tuple[int, int], tuple[int, int]]] = [
        ({"hr_scale": 1.5}, (64, 96), (96, 144)),
        ({"hr_resize_x": 128}, (64, 96), (128, 192)),
        ({"hr_resize_y": 192}, (64, 96), (128, 192)),
        ({"hr_resize_x": 128, "hr_resize_y": 128}, (64, 96), (128, 128)),
        ({"width": 128, "height": 192, "firstphase_width": 64, "firstphase_height": 96}, (64, 96), (128, 192)),
        ({"width": 70, "height": 101}, (64, 96), (136, 200)),
    ]
    for fields, first, target in cases:
        await txt2img(client, **({"enable_hr": True, "height": 96} | fields))
        request = capabilities.requests[-1]
        assert (request.width, request.height) == first
        assert request.hires is not None
        assert (request.hires.width, request.hires.height) == target
        assert request.hires.denoising_strength == 0.75


async def test_overrides_hold_for_one_request(client: httpx.AsyncClient, capabilities: FakeDiffuser) -> None:
    made = await txt2img(
        client,
        override_settings={"sd_model_checkpoint": "ghiblistyle", "CLIP_stop_at_last_layers": 2, "sd_vae": "clear"},
    )
    await txt2img(client)
    first, second = capabilities.requests
    assert (first.checkpoint, first.clip_skip, first.vae) == ("ghiblistyle", 2, "clear")
    assert (second.checkpoint, second.clip_skip, second.vae) == ("", 1, "")
    assert (made.info["sd_model_name"], made.info["clip_skip"]) == ("ghiblistyle", 2)
    assert "Clip skip: 2" in made.info["infotexts"][0]


async def test_overrides_stay_when_the_client_says_so(client: httpx.AsyncClient, capabilities: FakeDiffuser) -> None:
    sticking = {"override_settings": {"CLIP_stop_at_last_layers": 3}, "override_settings_restore_afterwards": False}
    await txt2img(client, **sticking)
    await txt2img(client)
    assert [request.clip_skip for request in capabilities.requests] == [3, 3]


async def test_an_override_without_effect_is_named_and_an_unknown_checkpoint_is_not_used(
    client: httpx.AsyncClient, capabilities: FakeDiffuser
) -> None:
    made = await txt2img(client, override_settings={"upcast_attn": True, "sd_model_checkpoint": "nowhere"})
    assert "upcast_attn" in made.warnings
    assert "'nowhere'" in made.warnings
    assert capabilities.requests[0].checkpoint == ""


async def test_settings_of_noise_and_prompts_go_to_the_engine_and_into_the_infotext(
    client: httpx.AsyncClient, capabilities: FakeDiffuser
) -> None:
    settings = {
        "eta_noise_seed_delta": 31337, "randn_source": "NV", "emphasis": "No norm", "pad_cond_uncond": True
    }  # fmt: skip
    made = await txt2img(client, override_settings=settings, sampler_name="Euler a")
    await txt2img(client, override_settings={"randn_source": "dice", "emphasis": "loud"}, sampler_name="Euler a")
    first, second = capabilities.requests
    assert (first.noise_seed_delta, first.noise_source, first.emphasis, first.pad_prompts) == (
        31337, "NV", "No norm", True
    )  # fmt: skip
    assert (second.noise_seed_delta, second.noise_source, second.emphasis, second.pad_prompts) == (
        0, "GPU", "Original", False
    )  # fmt: skip
    assert made.warnings == ""
    for words in ("ENSD: 31337", "RNG: NV", "Emphasis: No norm"):
        assert words in made.info["infotexts"][0]


async def test_sdxls_crop_and_scores_go_to_the_engine(client: httpx.AsyncClient, capabilities: FakeDiffuser) -> None:
    settings = {
        "sdxl_crop_top": 8, "sdxl_crop_left": "16", "sdxl_refiner_low_aesthetic_score": 1,
        "sdxl_refiner_high_aesthetic_score": 99,
    }  # fmt: skip
    await txt2img(client, override_settings=settings)
    assert (capabilities.requests[0].crop, capabilities.requests[0].scores) == ((8, 16), (1.0, 10.0))


async def test_the_delta_of_the_seed_is_told_for_samplers_that_use_it_alone(client: httpx.AsyncClient) -> None:
    made = await txt2img(client, override_settings={"eta_noise_seed_delta": 31337}, sampler_name="Euler")
    assert "ENSD" not in made.info["infotexts"][0]


async def test_fields_without_effect_are_named_in_warnings(client: httpx.AsyncClient) -> None:
    made = await txt2img(client, restore_faces=True, s_churn=1, refiner_checkpoint="tiny")
    for word in ("Faces", "s_churn", "refiner_checkpoint"):
        assert word in made.warnings
    assert made.info["restore_faces"] is True


async def test_a_refiner_goes_to_the_engine_and_into_the_infotext(
    client: httpx.AsyncClient, capabilities: FakeDiffuser
) -> None:
    made = await txt2img(client, refiner_checkpoint="ghiblistyle", refiner_switch_at=0.8)
    [wanted] = capabilities.requests
    assert (wanted.refiner, wanted.refiner_switch_at) == ("ghiblistyle", 0.8)
    assert "Refiner: ghiblistyle.safetensors" in made.info["infotexts"][0]
    assert "Refiner switch at: 0.8" in made.info["infotexts"][0]
    assert "refiner" not in made.warnings


@pytest.mark.parametrize("name", ["None", "none", ""])
async def test_no_refiner_is_none_whatever_checkpoints_are_called(
    client: httpx.AsyncClient, capabilities: FakeDiffuser, name: str
) -> None:
    capabilities.without(checkpoints=(*capabilities.catalogue.checkpoints, a_model("nonesuch")))
    made = await txt2img(client, refiner_checkpoint=name)
    assert capabilities.requests[0].refiner == ""
    assert "Refiner" not in made.info["infotexts"][0]


async def test_an_infotext_fills_what_the_client_left_open(
    client: httpx.AsyncClient, capabilities: FakeDiffuser
) -> None:
    text = "a dog\nNegative prompt: cat\nSteps: 5, Sampler: DDIM, CFG scale: 3, Seed: 9, Size: 128x64, Clip skip: 2"
    response = await client.post(f"{V1}/txt2img", json={"infotext": text, "steps": 4})
    assert SdapiAnswer(response).images[0].shape == (64, 128, 3)
    [request] = capabilities.requests
    assert (request.prompt, request.steps, request.sampler, request.seed) == ("a dog", 4, "DDIM", 9)
    assert request.clip_skip == 2


async def test_images_come_in_the_format_of_the_settings(client: httpx.AsyncClient) -> None:
    for format, kind in (("jpg", "JPEG"), ("webp", "WEBP"), ("png", "PNG")):
        made = await txt2img(client, prompt="a cat", override_settings={"samples_format": format})
        assert PillowImage.open(io.BytesIO(base64.b64decode(made.raw[0]))).format == kind
        read = (await client.post(f"{V1}/png-info", json={"image": made.raw[0]})).json()
        assert read["parameters"]["Prompt"] == "a cat"


async def test_every_generation_is_in_the_history_and_its_image_is_stored(client: httpx.AsyncClient) -> None:
    await txt2img(client, prompt="a cat", seed=3)
    [entry] = (await client.get("/api/v1/history?kind=txt2img")).json()["items"]
    assert (entry["status"], entry["engine"]) == ("succeeded", "diffusers")
    assert entry["parameters"]["prompt"] == "a cat"


async def test_a_failed_generation_is_in_the_history_too(client: httpx.AsyncClient, capabilities: FakeDiffuser) -> None:
    capabilities.failure = InvalidRequest("no such thing")
    await client.post(f"{V1}/txt2img", json=SMALL)
    [entry] = (await client.get("/api/v1/history?kind=txt2img")).json()["items"]
    assert entry["status"] == "failed"


async def test_every_answer_says_how_long_it_took(client: httpx.AsyncClient) -> None:
    for path in (f"{V1}/samplers", f"{V1}/nowhere"):
        assert float((await client.get(path)).headers["x-process-time"]) >= 0
    assert "x-process-time" not in (await client.get("/api/v1/albums")).headers


async def test_an_engine_that_is_not_deployed_is_a_503_that_says_how_to_get_it(
    client: httpx.AsyncClient, capabilities: FakeDiffuser
) -> None:
    capabilities.listing_failure = NotDeployed("Say `diffusion: true`.")
    response = await client.post(f"{V1}/txt2img", json=SMALL)
    assert_webui_error(response, 503, "NotDeployed", detail="Say `diffusion: true`.")
    for path in ("sd-models", "loras", "sd-vae"):
        assert (await client.get(f"{V1}/{path}")).json() == []


async def test_missing_weights_are_a_503_that_names_them(client: httpx.AsyncClient, capabilities: FakeDiffuser) -> None:
    capabilities.failure = WeightsMissing("tiny.safetensors is not in the folder that DARKROOM_X names.")
    response = await client.post(f"{V1}/txt2img", json=SMALL)
    assert response.status_code == 503
    assert "tiny.safetensors" in response.json()["detail"]


async def test_absurd_requests_are_refused_in_the_form_of_the_original(idle_client: httpx.AsyncClient) -> None:
    absurd: list[tuple[dict[str, object], str]] = [
        ({"steps": 100_000}, "steps"),
        ({"steps": 0}, "steps"),
        ({"width": 8}, "width"),
        ({"height": 100_000}, "height"),
        ({"batch_size": 17}, "batch_size"),
        ({"batch_size": 5, "n_iter": 4}, "batch_size"),
        ({"cfg_scale": 1e6}, "cfg_scale"),
        ({"denoising_strength": 1.5}, "denoising_strength"),
        ({"seed": -2}, "seed"),
        ({"seed": 10**30}, "seed"),
        ({"steps": "many"}, "steps"),
        ({"steps": [1]}, "steps"),
        ({"cfg_scale": "nan"}, "cfg_scale"),
        ({"prompt": ["a"]}, "prompt"),
        ({"prompt": "a" * 30_000}, "prompt"),
        ({"enable_hr": True, "hr_scale": 1000}, "hr_scale"),
        ({"override_settings": "x"}, "override_settings"),
    ]
    for fields, field in absurd:
        response = await idle_client.post(f"{V1}/txt2img", json=SMALL | fields)
        assert response.status_code == 422, response.text
        [error] = response.json()["detail"]
        assert error["loc"] == ["body", field]
        assert set(error) == {"loc", "msg", "type"}


@pytest.mark.parametrize(
    "field",
    [
        '"script_args": [NaN]',
        '"script_args": ["\\ud800"]',
        '"override_settings": {"s_churn": NaN}',
        '"infotext": "a\\nSteps: 5, Sampler: Euler, Denoising strength: 5"',
        '"infotext": "a\\nSteps: many, Sampler: Euler, CFG scale: 7"',
        f'"infotext": "{"a" * 300_000}"',
        f'"script_args": ["{"a" * 600_000}"]',
        f'"sampler_name": "{"a" * 600_000}"',
    ],
)
async def test_requests_that_cannot_be_stored_or_read_are_refused_and_leave_no_job(
    idle_client: httpx.AsyncClient, field: str
) -> None:
    headers = {"Content-Type": "application/json", "Prefer": "respond-async"}
    response = await idle_client.post(f"{V1}/txt2img", content=f"{{{field}}}", headers=headers)
    assert response.status_code == 422, response.text
    assert response.json()["detail"][0]["type"] == "value_error"
    assert (await idle_client.get("/internal/pending-tasks")).json()["size"] == 0


async def test_overrides_that_stay_leave_out_a_checkpoint_that_is_not_here(
    client: httpx.AsyncClient, capabilities: FakeDiffuser
) -> None:
    before = (await client.get(f"{V1}/options")).json()
    overrides = {"sd_model_checkpoint": "nowhere", "CLIP_stop_at_last_layers": 2}
    made = await txt2img(client, override_settings=overrides, override_settings_restore_afterwards=False)
    assert "nowhere" in made.warnings
    assert (await client.get(f"{V1}/options")).json() == before | {"CLIP_stop_at_last_layers": 2}


async def test_malformed_json_is_refused_as_such(idle_client: httpx.AsyncClient) -> None:
    headers = {"Content-Type": "application/json"}
    response = await idle_client.post(f"{V1}/txt2img", content=b'{"prompt": ', headers=headers)
    assert response.status_code == 422
    assert response.json()["detail"][0]["type"] == "value_error.jsondecode"


async def test_scripts_that_are_not_here_are_refused_by_name(idle_client: httpx.AsyncClient) -> None:
    async def refuse(detail: str, **fields: object) -> None:
        response = await idle_client.post(f"{V1}/txt2img", json=SMALL | fields)
        assert_webui_error(response, 422, "HTTPException", detail=detail, errors="")

    await refuse("Script 'Prompt matrix' not found", script_name="Prompt matrix")
    await refuse("Script 'Dynamic Thresholding' not found", alwayson_scripts={"Dynamic Thresholding": {"args": []}})
    await refuse(
        "Cannot have a selectable script in the always on scripts params",
        alwayson_scripts={"SD upscale": {"args": []}},
    )


async def test_names_that_are_not_known_break_as_in_the_original(idle_client: httpx.AsyncClient) -> None:
    async def break_with(error: str, errors: str, **fields: object) -> None:
        response = await idle_client.post(f"{V1}/txt2img", json=SMALL | fields)
        assert_webui_error(response, 500, error, detail="", errors=errors)

    await break_with("KeyError", "'nonsense'", override_settings={"nonsense": 1})
    await break_with("Exception", "could not find upscaler named R-ESRGAN", enable_hr=True, hr_upscaler="R-ESRGAN")
    await break_with("Exception", "Could not find checkpoint with name sd_xl", refiner_checkpoint="sd_xl")
    await break_with(
        "ValidationError",
        "module(magic) not found in supported modules.",
        alwayson_scripts=controlnet(a_unit(module="magic")),
    )


async def test_unknown_routes_and_methods_answer_as_the_original(idle_client: httpx.AsyncClient) -> None:
    missing = await idle_client.get(f"{V1}/sd-modules")
    assert (missing.status_code, missing.json()) == (404, {"detail": "Not Found"})
    wrong = await idle_client.get(f"{V1}/txt2img")
    assert (wrong.status_code, wrong.json()) == (405, {"detail": "Method Not Allowed"})
    assert (await idle_client.get("/api/v1/nowhere")).headers["content-type"] == "application/problem+json"


async def test_a_body_over_its_own_limit_is_refused(idle_client: httpx.AsyncClient) -> None:
    response = await idle_client.post(f"{V1}/png-info", json={"image": "A" * (65 * 2**20)})
    assert_webui_error(response, 413, "PayloadTooLarge")


async def test_long_texts_that_may_be_images_are_not_echoed(client: httpx.AsyncClient) -> None:
    unit = a_unit(image=base64_png(an_image((64, 64))))
    made = await txt2img(client, alwayson_scripts=controlnet(unit))
    [echoed] = made.parameters["alwayson_scripts"]["ControlNet"]["args"]
    assert echoed["image"] == f"<str {len(unit['image'])}>"
    assert json.dumps(made.parameters)


async def test_empty_and_malformed_credentials_do_not_matter_while_nobody_is_asked_for_any(
    idle_client: httpx.AsyncClient,
) -> None:
    for sent in ("", "Basic", "Basic Og==", "Bearer x"):
        assert (await idle_client.get(f"{V1}/samplers", headers={"Authorization": sent})).status_code == 200


async def test_requests_beyond_the_queue_get_429_and_when_to_come_back(idle_client: httpx.AsyncClient) -> None:
    waiting = [asyncio.create_task(idle_client.post(f"{V1}/txt2img", json=SMALL)) for _ in range(20)]
    await until_waiting(idle_client, 20)
    response = await idle_client.post(f"{V1}/txt2img", json=SMALL)
    assert_webui_error(response, 429, "Overloaded")
    assert int(response.headers["retry-after"]) > 0
    for task in waiting:
        task.cancel()
    await asyncio.gather(*waiting, return_exceptions=True)


async def test_two_hundred_requests_at_once_are_answered_or_told_to_come_back(
    client: httpx.AsyncClient, capabilities: FakeDiffuser
) -> None:
    responses = await asyncio.gather(*(client.post(f"{V1}/txt2img", json=SMALL) for _ in range(200)))
    statuses = {response.status_code for response in responses}
    assert statuses <= {200, 429}
    assert 200 in statuses
    assert 429 in statuses
    assert capabilities.most_running <= 4


async def test_loras_and_textual_inversions_are_named_by_the_hashes_of_the_original(
    client: httpx.AsyncClient, capabilities: FakeDiffuser
) -> None:
    lora = ModelFile("ink", "ink", "11" * 32, "ink.safetensors", addnet_sha256="ab" * 32)
    inversion = ModelFile("EasyNegative", "EasyNegative", "cd" * 32, "EasyNegative.safetensors", family="sd1")
    capabilities.catalogue = replace(capabilities.catalogue, loras=(lora,), embeddings=(inversion,))
    made = await txt2img(client, prompt="a cat <lora:ink:0.5>", negative_prompt="easynegative, badhandv4")
    said = made.info["extra_generation_params"]
    assert (said["Lora hashes"], said["TI hashes"]) == ("ink: abababababab", "EasyNegative: cdcdcdcdcdcd")
    assert "TI hashes: " in made.info["infotexts"][0]
    assert made.info["warnings"] == ["There is no textual inversion 'badhandv4' here: it was read as text"]
