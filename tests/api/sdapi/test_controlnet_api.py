"""ControlNet units as clients really send them, applied or left out with a warning."""

from __future__ import annotations

import base64
from types import SimpleNamespace
from typing import Any

import httpx
import numpy as np
import pytest

from configs.settings import Diffusion, Settings
from deployments.contracts.diffusion import ColourFix, ControlHint
from deployments.errors import Overloaded
from serve_app.services.sdapi.controlnet import units
from tests.api.sdapi.conftest import (
    CANNY,
    SMALL,
    V1,
    SdapiAnswer,
    a_unit,
    assert_webui_error,
    controlnet,
    img2img,
    pixels,
    txt2img,
)
from tests.support.builders import a_flat_image, an_image, base64_png
from tests.support.fake_diffuser import CATALOGUE, FakeDiffuser

PICTURE = an_image((64, 64))


async def test_a_units_hint_controls_and_comes_back_after_the_images(
    client: httpx.AsyncClient, capabilities: FakeDiffuser
) -> None:
    unit = a_unit(image=base64_png(PICTURE), weight=0.7, guidance_start=0.1, guidance_end=0.9)
    made = await txt2img(client, alwayson_scripts=controlnet(unit), batch_size=2)
    *_, shown = made.images
    assert len(made.images) == 3
    assert np.array_equal(shown, 255 - PICTURE)
    [control] = capabilities.requests[0].controls
    assert (control.model, control.weight, control.start, control.end, control.mode) == (
        *(CANNY, 0.7, 0.1, 0.9, "balanced"),
    )
    said = made.info["extra_generation_params"]["ControlNet 0"]
    assert said.startswith(f"Module: canny, Model: {CANNY} [")
    assert said.endswith(
        "Weight: 0.7, Resize Mode: Crop and Resize, Processor Res: 512, Threshold A: 100.0, Threshold B: 200.0, "
        "Guidance Start: 0.1, Guidance End: 0.9, Pixel Perfect: False, Control Mode: Balanced"
    )
    assert 'ControlNet 0: "Module: canny' in made.info["infotexts"][0]


async def test_settings_of_the_extension_are_known_and_maps_may_be_left_out(client: httpx.AsyncClient) -> None:
    scripts = controlnet(a_unit(image=base64_png(PICTURE)))
    settings = {"control_net_no_detectmap": True, "control_net_inpaint_blur_sigma": 3}
    made = await txt2img(client, alwayson_scripts=scripts, override_settings=settings)
    assert len(made.images) == 1
    assert made.warnings == "The setting control_net_inpaint_blur_sigma has no effect on this server"
    await client.post(f"{V1}/options", json={"control_net_no_detectmap": True})
    assert len((await txt2img(client, alwayson_scripts=scripts)).images) == 1
    await client.post(f"{V1}/options", json={"control_net_no_detectmap": False})
    assert len((await txt2img(client, alwayson_scripts=scripts)).images) == 2


async def test_the_history_names_every_stored_image_the_generated_ones_first(client: httpx.AsyncClient) -> None:
    scripts = controlnet(a_unit(image=base64_png(an_image((64, 64)))))
    made = await txt2img(client, alwayson_scripts=scripts, batch_size=2, save_images=True)
    [entry] = (await client.get("/api/v1/history")).json()["items"]
    files = [(await client.get(url)).content for url in entry["output_urls"]]
    grid, first, second, shown = [base64.b64decode(one) for one in made.raw]
    assert files == [first, second, grid, shown]


async def test_more_units_than_anybody_needs_are_refused_unread(idle_client: httpx.AsyncClient) -> None:
    response = await idle_client.post(f"{V1}/txt2img", json=SMALL | {"alwayson_scripts": controlnet(*[{}] * 101)})
    assert_webui_error(response, 422, "HTTPException")


async def test_the_controlnet_script_is_known_in_any_case(client: httpx.AsyncClient) -> None:
    for name in ("controlnet", "CONTROLNET"):
        scripts = {name: {"args": [a_unit(image=base64_png(PICTURE))]}}
        assert len((await txt2img(client, alwayson_scripts=scripts)).images) == 2


async def controls_of(client: httpx.AsyncClient, diffuser: FakeDiffuser, *units: dict[str, Any]) -> list[ControlHint]:
    """What the engine is told of these units."""
    whole = [a_unit(image=base64_png(PICTURE)) | one for one in units]
    made = await txt2img(client, alwayson_scripts=controlnet(*whole))
    assert made.warnings == ""
    return list(diffuser.requests[-1].controls)


async def test_unit_fields_are_known_by_all_their_names(client: httpx.AsyncClient, capabilities: FakeDiffuser) -> None:
    picture, other = base64_png(PICTURE), base64_png(a_flat_image((64, 64)))
    spellings: list[dict[str, Any]] = [
        {"input_image": picture, "lowvram": True, "guidance": 0.5},
        {"image": {"image": picture, "mask": None}, "guidance_end": 0.5},
        {"image": [picture, other], "guidance_end": 0.5},
        {"image": [{"image": picture}], "guidance_end": 0.5, "guessmode": False},
        {"image": f"data:image/png;base64,{picture}", "guidance_end": "0.5", "mask": ""},
    ]
    await txt2img(client, alwayson_scripts=controlnet(*(a_unit() | one for one in spellings)))
    controls = capabilities.requests[0].controls
    assert [control.end for control in controls] == [0.5] * 5
    assert all(np.array_equal(control.image, 255 - PICTURE) for control in controls)


async def test_control_modes_are_numbers_or_words(client: httpx.AsyncClient, capabilities: FakeDiffuser) -> None:
    modes = {
        0: "balanced",
        1: "prompt",
        "2": "control",
        "Balanced": "balanced",
        "My prompt is more important": "prompt",
        "ControlNet is more important": "control",
    }
    controls = await controls_of(client, capabilities, *({"control_mode": sent} for sent in modes))
    assert [control.mode for control in controls] == list(modes.values())


async def test_resize_modes_are_numbers_or_words(client: httpx.AsyncClient, capabilities: FakeDiffuser) -> None:
    wide = a_flat_image((192, 64), (0, 0, 0))
    wide[:, 64:128] = 255
    crops = {
        0: False,
        1: True,
        2: False,
        3: False,
        "Just Resize": False,
        "Crop and Resize": True,
        "Resize and Fill": False,
        "Inner Fit (Scale to Fit)": True,
        "Scale to Fit (Inner Fit)": True,
        "Envelope (Outer Fit)": False,
    }
    shared = {"module": "none", "image": base64_png(wide)}
    controls = await controls_of(client, capabilities, *({"resize_mode": sent} | shared for sent in crops))
    assert [bool(np.all(control.image == 255)) for control in controls] == list(crops.values())


async def test_preprocessors_are_known_by_name_and_label(client: httpx.AsyncClient, capabilities: FakeDiffuser) -> None:
    await controls_of(client, capabilities, *({"module": name} for name in ("hed", "softedge_hed", "Softedge_HED")))
    assert [name for name, _, _ in capabilities.hints] == ["hed"] * 3


async def test_controlnet_models_are_known_with_and_without_their_hash(
    client: httpx.AsyncClient, capabilities: FakeDiffuser
) -> None:
    names = [CANNY, f"{CANNY} [d14c016b]", "sd15_canny", CANNY.upper(), f"{CANNY} [00000000]"]
    controls = await controls_of(client, capabilities, *({"model": name} for name in names))
    assert [control.model for control in controls] == [CANNY] * 5


async def test_a_disabled_unit_does_nothing_and_one_that_does_not_say_is_enabled(client: httpx.AsyncClient) -> None:
    off, on = a_unit(image=base64_png(PICTURE), enabled=False), a_unit(image=base64_png(PICTURE))
    made = await txt2img(client, alwayson_scripts=controlnet(off, on, None))
    assert len(made.images) == 2


async def test_a_unit_without_an_image_uses_the_init_image(
    client: httpx.AsyncClient, capabilities: FakeDiffuser
) -> None:
    made = await img2img(client, PICTURE, alwayson_scripts=controlnet(a_unit(image="")))
    assert np.array_equal(made.images[1], 255 - PICTURE)


async def test_units_see_the_masked_area_alone(client: httpx.AsyncClient, capabilities: FakeDiffuser) -> None:
    picture = an_image((128, 128))
    mask = np.zeros((128, 128, 3), np.uint8)
    mask[32:96, 32:96] = 255
    units = controlnet(a_unit(module="none"), a_unit(module="none", image=base64_png(picture)))
    await img2img(client, picture, mask=base64_png(mask), mask_blur=0, alwayson_scripts=units)
    for control in capabilities.requests[0].controls:
        assert np.array_equal(control.image, picture[32:96, 32:96])


async def test_a_units_drawn_mask_replaces_its_image_and_a_uniform_one_does_not(
    client: httpx.AsyncClient, capabilities: FakeDiffuser
) -> None:
    drawn = a_flat_image((64, 64), (0, 0, 0))
    drawn[10:20] = 255
    scribble = a_unit(module="none", image=base64_png(PICTURE), mask=base64_png(drawn))
    uniform = a_unit(module="none", image={"image": base64_png(PICTURE), "mask": base64_png(drawn * 0)})
    nearly_black = a_unit(module="none", image={"image": base64_png(PICTURE), "mask": base64_png(drawn // 64)})
    await txt2img(client, alwayson_scripts=controlnet(scribble, uniform, nearly_black))
    first, *others = capabilities.requests[0].controls
    assert np.array_equal(first.image, drawn)
    assert [np.array_equal(one.image, PICTURE) for one in others] == [True, True]


async def test_hires_fix_shows_two_maps_a_unit_the_large_one_first(
    client: httpx.AsyncClient, capabilities: FakeDiffuser
) -> None:
    unit = a_unit(image=base64_png(PICTURE))
    made = await txt2img(client, enable_hr=True, denoising_strength=0.5, alwayson_scripts=controlnet(unit))
    assert [image.shape[0] for image in made.images] == [128, 128, 64]
    assert [(one.passes, one.image.shape[0]) for one in capabilities.requests[0].controls] == [
        ("first", 64),
        ("hires", 128),
    ]


async def test_a_unit_may_act_in_one_pass_only(client: httpx.AsyncClient, capabilities: FakeDiffuser) -> None:
    for option, passes in (("Low res only", "first"), ("High res only", "hires")):
        unit = a_unit(image=base64_png(PICTURE), hr_option=option)
        made = await txt2img(client, enable_hr=True, alwayson_scripts=controlnet(unit))
        assert len(made.images) == 3
        assert [control.passes for control in capabilities.requests[-1].controls] == [passes]


async def test_hints_may_be_left_out_of_the_answer(client: httpx.AsyncClient) -> None:
    unit = a_unit(image=base64_png(PICTURE), save_detected_map=False)
    assert len((await txt2img(client, alwayson_scripts=controlnet(unit))).images) == 1


async def test_unit_numbers_out_of_range_mean_the_modules_defaults(
    client: httpx.AsyncClient, capabilities: FakeDiffuser
) -> None:
    odd = a_unit(image=base64_png(PICTURE), processor_res=-100, threshold_a=-100, threshold_b=150)
    made = await txt2img(client, alwayson_scripts=controlnet(odd))
    [(_, _, options)] = capabilities.hints
    assert (options.processor_res, options.threshold_a, options.threshold_b) == (512, None, 150)
    assert "Threshold A: 100.0, Threshold B: 150.0" in made.info["extra_generation_params"]["ControlNet 0"]


async def test_pixel_perfect_works_at_the_size_to_make(client: httpx.AsyncClient, capabilities: FakeDiffuser) -> None:
    unit = a_unit(image=base64_png(an_image((300, 200))), pixel_perfect=True, processor_res=999)
    await txt2img(client, width=128, height=256, alwayson_scripts=controlnet(unit))
    assert capabilities.hints[0][2].processor_res == 256


async def test_a_unit_that_cannot_be_applied_leaves_all_out_and_the_answer_says_so(
    client: httpx.AsyncClient, capabilities: FakeDiffuser
) -> None:
    good = a_unit(image=base64_png(PICTURE))
    bad: list[tuple[dict[str, Any], str]] = [
        (a_unit(), "no picture"),
        (a_unit(image=""), "no picture"),
        (a_unit(image="nonsense"), "Invalid encoded image"),
        (a_unit(image="/etc/hostname"), "Invalid encoded image"),
        (good | {"model": "no_such_model"}, "no_such_model"),
        (good | {"model": "None"}, "no model"),
        (good | {"module": "openpose"}, "weights of openpose"),
    ]
    for unit, word in bad:
        made = await txt2img(client, alwayson_scripts=controlnet(good, unit))
        assert len(made.images) == 1
        assert capabilities.requests[-1].controls == ()
        assert "ControlNet 1 was not applied, nor any other unit" in made.warnings
        assert word in made.warnings


async def test_a_busy_preprocessor_is_no_reason_to_leave_a_unit_out(
    client: httpx.AsyncClient, capabilities: FakeDiffuser, monkeypatch: pytest.MonkeyPatch
) -> None:
    tries: list[int] = []
    make = capabilities.make_hint

    async def busy_once(*arguments: Any) -> Any:
        tries.append(1)
        if len(tries) == 1:
            raise Overloaded("make_hint: the queue is full.")
        return await make(*arguments)

    monkeypatch.setattr(capabilities, "make_hint", busy_once)
    made = await txt2img(client, alwayson_scripts=controlnet(a_unit(image=base64_png(PICTURE))))
    assert len(made.images) == 2
    assert len(tries) == 2


async def test_a_unit_that_makes_no_sense_is_an_error(idle_client: httpx.AsyncClient) -> None:
    bad: list[dict[str, Any]] = [
        {"weight": 3},
        {"weight": -1},
        {"guidance_start": 0.8, "guidance_end": 0.2},
        {"guidance_start": 2},
        {"control_mode": 7},
        {"control_mode": "Balanced-ish"},
        {"resize_mode": "Squeeze"},
        {"low_vram": True, "lowvram": True},
        {"image": 5},
        {"processor_res": "large"},
    ]
    for unit in bad:
        body = SMALL | {"alwayson_scripts": controlnet(a_unit() | unit)}
        assert_webui_error(await idle_client.post(f"{V1}/txt2img", json=body), 500, "ValidationError", detail="")


async def test_units_as_a_row_of_values_are_refused(idle_client: httpx.AsyncClient) -> None:
    response = await idle_client.post(
        f"{V1}/txt2img", json=SMALL | {"alwayson_scripts": {"ControlNet": {"args": [True, False, "canny"]}}}
    )
    assert_webui_error(response, 422, "HTTPException")


async def test_an_address_that_is_not_fetched_from_is_an_error_in_a_unit_too(idle_client: httpx.AsyncClient) -> None:
    scripts = controlnet(a_unit(image="http://169.254.169.254/latest"))
    response = await idle_client.post(f"{V1}/txt2img", json=SMALL | {"alwayson_scripts": scripts})
    assert_webui_error(response, 500, "HTTPException", detail="Request to local resource not allowed")


class TestUnitCount:
    @pytest.fixture
    def settings(self, settings: Settings) -> Settings:
        return settings.model_copy(update={"diffusion": Diffusion(max_controls=1)})

    async def test_units_beyond_the_count_are_left_out_aloud(self, client: httpx.AsyncClient) -> None:
        unit = a_unit(image=base64_png(PICTURE))
        made = await txt2img(client, alwayson_scripts=controlnet(unit, unit))
        assert len(made.images) == 2
        assert "at most 1" in made.warnings
        assert (await client.get("/controlnet/settings")).json() == {"control_net_unit_count": 1}


async def test_four_units_as_a_client_sends_them_are_applied(
    client: httpx.AsyncClient, capabilities: FakeDiffuser
) -> None:
    picture = {"image": base64_png(an_image((90, 120))), "mask": None}

    def unit(module: str, model: str, **fields: object) -> dict[str, object]:
        shared = {"enabled": True, "resize_mode": "Crop and Resize", "image": picture}
        return {"module": module, "model": model} | shared | fields

    mine = "My prompt is more important"
    body = {
        "prompt": "ghibli style, 1girl, smiling, close-up, soft lighting, warm color tones, ((masterpiece)), "
        "((best quality)), <lora:ghibli_style_offset:1.1>",
        "negative_prompt": "(worst quality, low quality:1.4), bad anatomy, blurry, jpeg artifacts, watermark, text",
        "seed": 1178811602,
        "steps": 20,
        "width": 512,
        "height": 768,
        "cfg_scale": 8,
        "sampler_name": "Euler a",
        "denoising_strength": 0.5,
        "init_images": [picture["image"]],
        "restore_faces": True,
        "enable_hr": False,
        "override_settings": {"sd_model_checkpoint": "ghiblistyle", "CLIP_stop_at_last_layers": 2},
        "alwayson_scripts": controlnet(
            unit("mediapipe_face", "control_v2p_sd15_mediapipe_face", control_mode="ControlNet is more important"),
            unit("depth_midas", "control_v11f1p_sd15_depth", control_mode=mine),
            unit("softedge_hed", "control_v11p_sd15_softedge", control_mode=mine),
            unit("canny", CANNY, control_mode=mine, threshold_a=100, threshold_b=200),
        ),
    }
    made = SdapiAnswer(await client.post(f"{V1}/img2img", json=body))
    [request] = capabilities.requests
    assert [control.mode for control in request.controls] == ["control", "prompt", "prompt", "prompt"]
    assert [lora.unet_weight for lora in request.loras] == [1.1]
    assert (request.checkpoint, request.clip_skip, request.seed) == ("ghiblistyle", 2, 1178811602)
    assert [image.shape for image in made.images] == [(768, 512, 3)] * 5
    [warning] = made.info["warnings"]
    assert warning.startswith("Faces were not restored: there is no GFPGAN network")


async def test_controlnet_lists_name_models_and_modules(idle_client: httpx.AsyncClient) -> None:
    async def get(path: str) -> Any:
        response = await idle_client.get(f"/controlnet/{path}")
        assert response.status_code == 200
        return response.json()

    assert await get("version") == {"version": 3}
    assert (await get("settings"))["control_net_unit_count"] >= 4
    models = (await get("model_list?update=true"))["model_list"]
    assert models[0] == f"{CANNY} [{CATALOGUE.controlnets[0].sha256[:8]}]"
    modules = await get("module_list")
    assert modules["module_list"] == [module.name for module in CATALOGUE.modules]
    assert modules["module_detail"]["canny"]["sliders"][1]["name"] == "Low Threshold"
    assert "softedge_hed" in (await get("module_list?alias_names=true"))["module_list"]
    types = (await get("control_types"))["control_types"]
    assert types["Canny"] == {
        "module_list": ["none", "canny"],
        "model_list": ["None", models[0]],
        "default_option": "canny",
        "default_model": models[0],
    }
    assert len(types["All"]["model_list"]) == len(models) + 1


async def test_detect_returns_the_hint_of_each_image(idle_client: httpx.AsyncClient) -> None:
    for field in ("controlnet_input_images", "controlnet_images"):
        body = {"controlnet_module": "canny", field: [base64_png(PICTURE)] * 2, "controlnet_processor_res": 512}
        answer = (await idle_client.post("/controlnet/detect", json=body)).json()
        assert answer["info"] == "Success"
        assert [np.array_equal(pixels(one), 255 - PICTURE) for one in answer["images"]] == [True, True]


async def test_detect_refuses_in_the_words_of_the_original(idle_client: httpx.AsyncClient) -> None:
    async def refuse(status: int, detail: str, **body: object) -> None:
        response = await idle_client.post("/controlnet/detect", json=body)
        assert_webui_error(response, status, "HTTPException", detail=detail)

    await refuse(422, "Module not available", controlnet_module="magic")
    await refuse(422, "No image selected", controlnet_module="canny")
    await refuse(500, "Invalid encoded image", controlnet_module="canny", controlnet_input_images=["x"])


async def test_detect_names_missing_weights(idle_client: httpx.AsyncClient) -> None:
    body = {"controlnet_module": "openpose", "controlnet_input_images": [base64_png(PICTURE)]}
    assert_webui_error(await idle_client.post("/controlnet/detect", json=body), 503, "WeightsMissing")


@pytest.mark.parametrize(
    ("field", "value", "warned"),
    [
        *(("guess_mode", True, True), ("guessmode", True, True), ("guessmode", False, False)),
        *(("advanced_weighting", [0.5] * 13, True), ("advanced_weighting", None, False)),
    ],
)
async def test_a_field_without_effect_is_named_where_it_asks_for_something(
    client: httpx.AsyncClient, field: str, value: Any, warned: bool
) -> None:
    made = await txt2img(client, alwayson_scripts=controlnet(a_unit(image=base64_png(PICTURE), **{field: value})))
    assert made.warnings == (f"ControlNet 0: {field} has no effect" if warned else "")


async def test_a_bad_resolution_is_logged_in_the_words_of_the_original_even_where_it_is_not_used(
    client: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    unit = a_unit(image=base64_png(PICTURE), processor_res=-100, pixel_perfect=True)
    lines: list[str] = []
    monkeypatch.setattr(units, "log", SimpleNamespace(warning=lines.append))
    await txt2img(client, alwayson_scripts=controlnet(unit))
    assert lines == ["[canny.processor_res] Invalid value(-100), using default value 512."]


async def test_module_details_name_missing_weights_and_where_they_come_from(idle_client: httpx.AsyncClient) -> None:
    details = (await idle_client.get("/controlnet/module_list")).json()["module_detail"]
    assert list(details["canny"]) == ["model_free", "sliders"]
    assert details["openpose"]["available"] is False
    assert details["openpose"]["weights"] == ["body_pose_model.pth"]
    assert details["openpose"]["source"] == "hub/repo"


async def test_all_kinds_of_control_are_listed_with_what_can_run(idle_client: httpx.AsyncClient) -> None:
    types = (await idle_client.get("/controlnet/control_types")).json()["control_types"]
    assert set(types) == {
        *("All", "Canny", "Depth", "Inpaint", "Instant-ID", "InstructP2P", "IP-Adapter", "Lineart", "MLSD"),
        *("NormalMap", "OpenPose", "Recolor", "Reference", "Revision", "Scribble", "Segmentation", "Shuffle"),
        *("SoftEdge", "SparseCtrl", "T2I-Adapter", "Tile"),
    }
    assert types["OpenPose"]["module_list"] == ["none"]  # its weights are not here
    assert types["Inpaint"]["default_option"] == "inpaint_global_harmonious"


async def test_a_reference_needs_no_model_and_comes_back_as_other_units_do(
    client: httpx.AsyncClient, capabilities: FakeDiffuser
) -> None:
    unit = {
        "module": "reference_only", "model": "None", "image": base64_png(PICTURE), "threshold_a": 0.7, "weight": 0.8,
        "guidance_end": 0.6, "control_mode": 2,
    }  # fmt: skip
    made = await txt2img(client, alwayson_scripts=controlnet(unit, a_unit(image=base64_png(PICTURE))), batch_size=2)
    assert made.warnings == ""
    assert len(made.images) == 4
    [asked, _] = capabilities.requests
    [reference] = asked.references
    assert (reference.fidelity, reference.weight, reference.end, reference.mode) == (0.7, 0.8, 0.6, "control")
    assert reference.image.shape == (64, 64, 3)
    assert [control.model for control in asked.controls] == [CANNY]
    assert made.info["extra_generation_params"]["ControlNet 0"].startswith("Module: reference_only, Model: None")


@pytest.mark.parametrize(
    ("module", "how"),
    [("reference_only", "attention"), ("reference_adain", "statistics"), ("reference_adain+attn", "both")],
)
async def test_the_preprocessor_says_what_is_taken_over_of_a_reference(
    client: httpx.AsyncClient, capabilities: FakeDiffuser, module: str, how: str
) -> None:
    unit = {"module": module, "image": base64_png(PICTURE)}
    await txt2img(client, alwayson_scripts=controlnet(unit))
    assert [one.how for one in capabilities.requests[0].references] == [how]


async def test_a_reference_is_made_for_each_pass_of_hires_fix(
    client: httpx.AsyncClient, capabilities: FakeDiffuser
) -> None:
    unit = {"module": "reference_only", "image": base64_png(PICTURE)}
    made = await txt2img(client, enable_hr=True, denoising_strength=0.5, alwayson_scripts=controlnet(unit))
    assert [image.shape[0] for image in made.images] == [128, 128, 64]
    sizes = [(one.passes, one.image.shape[0]) for one in capabilities.requests[0].references]
    assert sizes == [("first", 64), ("hires", 128)]


async def test_a_unit_of_tile_colorfix_shows_its_hint_and_puts_its_colours_back(
    client: httpx.AsyncClient, capabilities: FakeDiffuser
) -> None:
    unit = a_unit(image=base64_png(PICTURE), module="tile_colorfix+sharp", threshold_a=5, threshold_b=0.5)
    made = await txt2img(client, alwayson_scripts=controlnet(unit, a_unit(image=base64_png(PICTURE))))
    assert np.array_equal(made.images[1], 255 - PICTURE)
    assert [control.colours for control in capabilities.requests[0].controls] == [ColourFix(5, 0.5), None]
