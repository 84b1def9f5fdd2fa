"""What clients of the ControlNet extension rely on, and its own public tests ask for, in txt2img and img2img alike."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import httpx
import numpy as np
import pytest

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
from tests.support.fake_diffuser import FakeDiffuser

PICTURE = an_image((64, 64))
WHITE = base64_png(a_flat_image((64, 64), (255, 255, 255)))
UNIT = a_unit(image=base64_png(PICTURE))


async def make(client: httpx.AsyncClient, kind: str, *units: Mapping[str, Any], **fields: Any) -> SdapiAnswer:
    fields |= {"alwayson_scripts": controlnet(*units)} if units else {}
    return await (txt2img(client, **fields) if kind == "txt2img" else img2img(client, PICTURE, **fields))


@pytest.mark.parametrize("kind", ["txt2img", "img2img"])
@pytest.mark.parametrize(
    ("units", "fields", "images"),
    [
        pytest.param((), {}, 1, id="no unit"),
        pytest.param((UNIT | {"foo": True, "is_ui": False},), {}, 2, id="unknown fields"),
        pytest.param((UNIT,), {"n_iter": 2}, 3, id="two batches"),
        pytest.param((UNIT,), {"batch_size": 2}, 3, id="a batch of two"),
        pytest.param((UNIT, UNIT), {}, 3, id="two units"),
        pytest.param((UNIT | {"save_detected_map": False},), {}, 1, id="no map"),
        pytest.param((UNIT | {"hr_option": "HiResFixOption.BOTH"},), {}, 2, id="an option of hires fix without it"),
        pytest.param((UNIT | {"advanced_weighting": [0.75] * 13},), {}, 2, id="advanced weighting"),
        pytest.param(({"image": base64_png(PICTURE), "model": CANNY},), {}, 2, id="defaults"),
        pytest.param(
            (UNIT | {"mask": WHITE, "lowvram": False, "guessmode": False},),
            {},
            2,
            id="fields of old clients",
        ),
    ],
)
async def test_as_many_images_come_as_the_extension_sends(
    client: httpx.AsyncClient, kind: str, units: tuple[dict[str, Any], ...], fields: dict[str, Any], images: int
) -> None:
    made = await make(client, kind, *units, **fields)
    assert len(made.images) == images


async def test_hires_fix_adds_a_map_of_its_size(client: httpx.AsyncClient) -> None:
    unit = UNIT | {"hr_option": "HiResFixOption.BOTH"}
    assert len((await make(client, "txt2img", unit, enable_hr=True, denoising_strength=0.75)).images) == 3


@pytest.mark.parametrize(
    ("field", "value", "meant"),
    [
        ("hr_option", "HiResFixOption.HIGH_RES_ONLY", ("hires",)),
        ("hr_option", "HiResFixOption.LOW_RES_ONLY", ("first",)),
        ("hr_option", "HiResFixOption.BOTH", ("first", "hires")),
    ],
)
async def test_choices_may_be_named_as_python_writes_enumerations(
    client: httpx.AsyncClient, capabilities: FakeDiffuser, field: str, value: str, meant: tuple[str, ...]
) -> None:
    await make(client, "txt2img", UNIT | {field: value}, enable_hr=True, denoising_strength=0.5)
    assert tuple(one.passes for one in capabilities.requests[0].controls) == meant


@pytest.mark.parametrize(
    ("value", "mode"),
    [("ControlMode.BALANCED", "balanced"), ("ControlMode.PROMPT", "prompt"), ("ControlMode.CONTROL", "control")],
)
async def test_control_modes_too(client: httpx.AsyncClient, capabilities: FakeDiffuser, value: str, mode: str) -> None:
    await make(client, "txt2img", UNIT | {"control_mode": value})
    assert [one.mode for one in capabilities.requests[0].controls] == [mode]


async def test_units_under_the_name_that_was_given_up_are_not_read(
    client: httpx.AsyncClient, capabilities: FakeDiffuser
) -> None:
    made = SdapiAnswer(await client.post(f"{V1}/txt2img", json=SMALL | {"controlnet_units": [UNIT]}))
    assert len(made.images) == 1
    assert capabilities.requests[0].controls == ()


async def test_the_infotext_names_each_unit_by_its_place(client: httpx.AsyncClient) -> None:
    made = await make(client, "txt2img", UNIT, UNIT | {"weight": 0.25, "control_mode": 2})
    text = made.info["infotexts"][0]
    assert 'ControlNet 0: "Module: canny' in text
    assert "Weight: 0.25" in text[text.index("ControlNet 1:") :]
    assert "Control Mode: ControlNet is more important" in text


async def test_settings_say_how_many_units_are_used(idle_client: httpx.AsyncClient) -> None:
    said = (await idle_client.get("/controlnet/settings")).json()
    assert set(said) == {"control_net_unit_count"}
    assert said["control_net_unit_count"] >= 3


async def test_details_are_listed_by_the_names_that_were_asked_for(idle_client: httpx.AsyncClient) -> None:
    for alias in ("true", "false"):
        listed = (await idle_client.get(f"/controlnet/module_list?alias_names={alias}")).json()
        assert list(listed["module_detail"]) == listed["module_list"]
        assert ("softedge_hed" if alias == "true" else "hed") in listed["module_list"]
        for detail in listed["module_detail"].values():
            assert isinstance(detail["model_free"], bool)
            assert all(set(one) == {"name", "value", "min", "max", "step"} for one in detail["sliders"])


async def detect(client: httpx.AsyncClient, module: str, **fields: Any) -> httpx.Response:
    body = {"controlnet_module": module, "controlnet_input_images": [base64_png(PICTURE)], **fields}
    return await client.post("/controlnet/detect", json=body)


@pytest.mark.parametrize("module", ["none", "canny", "depth_midas", "softedge_hed", "mediapipe_face"])
async def test_detect_takes_every_preprocessor_that_draws(idle_client: httpx.AsyncClient, module: str) -> None:
    answer = (await detect(idle_client, module, low_vram=True)).json()
    assert (answer["info"], len(answer["images"])) == ("Success", 1)
    assert pixels(answer["images"][0]).shape == PICTURE.shape


async def test_detect_wants_a_mask_for_each_image_of_an_inpaint_preprocessor(idle_client: httpx.AsyncClient) -> None:
    words = "Preprocessor inpaint requires `controlnet_masks` param."
    assert_webui_error(await detect(idle_client, "inpaint"), 422, "HTTPException", detail=words)
    mask = np.zeros((64, 64, 3), np.uint8)
    mask[:, 32:] = 255
    answer = (await detect(idle_client, "inpaint", controlnet_masks=[base64_png(mask)])).json()
    shown = pixels(answer["images"][0])
    assert not shown[:, 34:].any()
    assert np.array_equal(shown[:, :30], PICTURE[:, :30])


async def test_detect_shows_what_lama_filled(idle_client: httpx.AsyncClient) -> None:
    mask = np.zeros((32, 32, 3), np.uint8)  # of another size than the image
    mask[:, 16:] = 255
    answer = (await detect(idle_client, "inpaint_only+lama", controlnet_masks=[base64_png(mask)])).json()
    shown = pixels(answer["images"][0])
    assert (shown[:, 36:] == 200).all()
    assert np.array_equal(shown[:, :28], PICTURE[:, :28])


async def test_a_mask_for_a_preprocessor_that_takes_none_is_ignored(idle_client: httpx.AsyncClient) -> None:
    answer = (await detect(idle_client, "canny", controlnet_masks=["no picture"])).json()
    assert np.array_equal(pixels(answer["images"][0]), 255 - PICTURE)


def a_person(**points: list[float] | None) -> dict[str, Any]:
    """A person whose nose and neck are known."""
    body = [10.0, 20.0, 1.0, 50.0, 60.0, 1.0, *[0.0] * 48]
    return {"pose_keypoints_2d": body, **points}


def a_pose(*people: dict[str, Any], size: tuple[int, int] = (80, 100)) -> dict[str, Any]:
    return {"people": list(people), "canvas_width": size[0], "canvas_height": size[1]}


async def test_poses_are_drawn_an_image_each(idle_client: httpx.AsyncClient) -> None:
    poses = [a_pose(a_person()), a_pose(size=(40, 30))]
    answer = (await idle_client.post("/controlnet/render_openpose_json", json=poses)).json()
    assert answer["info"] == "Success"
    first, second = map(pixels, answer["images"])
    assert (first.shape, second.shape) == ((100, 80, 3), (30, 40, 3))
    assert first[20, 10].tolist() == [255, 0, 0]
    assert first[60, 50].tolist() == [255, 85, 0]
    assert first[40, 30].any()
    assert not second.any()


async def test_points_that_are_shares_of_the_image_are_the_same_pose(idle_client: httpx.AsyncClient) -> None:
    face = [0.5, 0.5, 1.0] * 70
    shares = a_person(face_keypoints_2d=face, hand_left_keypoints_2d=None)
    answer = (await idle_client.post("/controlnet/render_openpose_json", json=[a_pose(shares)])).json()
    assert pixels(answer["images"][0])[50, 40].tolist() == [255, 255, 255]


async def test_animals_are_drawn_too(idle_client: httpx.AsyncClient) -> None:
    animal = [[4.0 * place, 10.0 + 60 * (place % 2), 0.9] for place in range(17)]
    answer = await idle_client.post("/controlnet/render_openpose_json", json=[a_pose() | {"animals": [animal]}])
    drawn = pixels(answer.json()["images"][0])
    assert drawn[40, 2].tolist() == [255, 255, 255]  # between the eyes
    for wrong in (animal[:-1], [[1.0]] * 17, [["x", 1.0]] * 17):
        refused = await idle_client.post("/controlnet/render_openpose_json", json=[a_pose() | {"animals": [wrong]}])
        assert refused.status_code == 422


async def test_no_pose_is_no_success_and_what_is_none_is_refused(idle_client: httpx.AsyncClient) -> None:
    empty = await idle_client.post("/controlnet/render_openpose_json", json=[])
    assert (empty.status_code, empty.json()) == (200, {"info": "No pose data detected."})
    for wrong in ({"foo": 10}, a_pose({"pose_keypoints_2d": [1.0]}), a_pose(size=(80, 100_000))):
        refused = await idle_client.post("/controlnet/render_openpose_json", json=[wrong])
        assert refused.status_code == 422
        assert not {"info", "images"} & set(refused.json())
    many = await idle_client.post("/controlnet/render_openpose_json", json=[a_pose()] * 1_000)
    assert many.status_code == 422
