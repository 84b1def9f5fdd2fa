"""Images made over HTTP by a server with the diffusion engine, through Serve."""

from __future__ import annotations

import io
import sys
import threading
from collections.abc import Iterator, Sequence

import httpx
import numpy as np
import pytest
from PIL import Image as PillowImage

from bench.server import Server
from tests.api.sdapi.conftest import pixels
from tests.support.album_client import PATIENCE_S, until, upload
from tests.support.builders import a_photo, base64_png, encoded
from tests.support.tiny_diffusion import CHECKPOINT, CONTROLNETS, LORA, write_models

pytestmark = [pytest.mark.cluster, pytest.mark.weights]

MANY_STEPS = {"prompt": "a cat", "steps": 150, "width": 256, "height": 256, "sampler_name": "Euler"}
"""Takes minutes unless somebody stops it."""


@pytest.fixture(scope="module")
def maker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server of its own, with small models."""
    folder = tmp_path_factory.mktemp("maker")
    started = Server(
        folder,
        command=(sys.executable, "-m", "serve_app", "--diffusion"),
        DARKROOM_DIFFUSION__MODELS_DIR=str(write_models(folder / "models")),
        DARKROOM_DIFFUSION__CHECKPOINT=CHECKPOINT,
        DARKROOM_DIFFUSION__OFFLINE="true",
        DARKROOM_STYLES__ENGINES='["diffusers", "opencv"]',
        DARKROOM_STYLES__DIFFUSION_PIXELS=str(96 * 96),
        DARKROOM_AVATARS__ENGINES='["local", "diffusers"]',
        DARKROOM_AVATARS__DIFFUSION_PIXELS=str(64 * 64),
        DARKROOM_AVATARS__DIFFUSION_STEPS="4",
    )
    try:
        started.start()
        yield started
        assert started.stop() == []
    finally:
        started.kill()


@pytest.fixture
def web(maker: Server) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=maker.url, timeout=PATIENCE_S, trust_env=False) as client:
        yield client


def is_busy(web: httpx.Client) -> bool:
    return bool(web.get("/sdapi/v1/progress").json()["state"]["sampling_step"] > 0)


def picture_at(web: httpx.Client, url: str) -> np.ndarray:
    return np.asarray(PillowImage.open(io.BytesIO(web.get(url).raise_for_status().content)))


def statuses(web: httpx.Client) -> list[str]:
    """Of everything that was made, the newest first."""
    return [item["status"] for item in web.get("/api/v1/history").json()["items"]]


def test_a_style_is_drawn_by_the_diffusion_engine_and_the_answer_says_so(maker: Server, web: httpx.Client) -> None:
    with httpx.Client(base_url=f"{maker.url}/api/v1", timeout=PATIENCE_S, trust_env=False) as client:
        [url] = upload(client, {"a.png": encoded(a_photo("astronaut", 200), "PNG")}).values()
        answer = client.post("/style", json={"image_url": url, "style_name": "watercolor", "seed": 1}).json()
    assert answer["engine"] == "diffusers"
    assert web.get(answer["image_url"]).headers["content-type"].startswith("image/")


PORTRAIT = encoded(a_photo("astronaut"), quality=90)
FACE = (178, 70, 275, 180)
"""Where hers is, roughly."""


def area_of_overlap(box: Sequence[float]) -> float:
    """With `FACE`, as a share of their union."""
    x1, y1, x2, y2 = (*map(max, box[:2], FACE[:2]), *map(min, box[2:], FACE[2:]))
    common = max(0, x2 - x1) * max(0, y2 - y1)
    areas = [(right - left) * (bottom - top) for left, top, right, bottom in (box, FACE)]
    return common / (sum(areas) - common)


@pytest.mark.parametrize("engine", ["local", "diffusers"])
def test_a_portrait_that_is_sent_along_becomes_an_animal(web: httpx.Client, engine: str) -> None:
    form = {"animal": "fox", "mode": "overlay", "engine": engine, "seed": "1"}
    response = web.post("/api/v1/avatars", files={"file": ("astronaut.jpg", PORTRAIT)}, data=form)
    assert response.status_code == 200, response.text
    answer = response.json()
    assert (answer["animal"], answer["engine"]) == ("fox", engine)
    [face] = answer["faces"]
    assert area_of_overlap(face["bbox"]) > 0.5
    made = picture_at(web, answer["image_url"]).astype(int)
    changed = np.abs(made - a_photo("astronaut")).mean(axis=2)
    x1, y1, x2, y2 = FACE
    assert changed[y1:y2, x1:x2].mean() > 15
    assert changed[300:].mean() < 3


def test_a_portrait_is_cut_out_at_its_own_size(web: httpx.Client) -> None:
    response = web.post("/api/v1/segmentations", files={"file": ("astronaut.jpg", PORTRAIT)}, data={"target": "person"})
    assert response.status_code == 200, response.text
    answer = response.json()
    [face] = answer["faces"]
    assert area_of_overlap(face["bbox"]) > 0.5
    assert face["landmarks"]["left_eye"][0] < face["landmarks"]["nose_tip"][0] < face["landmarks"]["right_eye"][0]
    mask = picture_at(web, answer["mask_url"])
    assert mask.shape == (512, 512)
    assert mask[120, 225] == mask[450, 225] == 255
    assert mask[10, 10] == 0
    assert picture_at(web, answer["cutout_url"]).shape == (512, 512, 4)


def test_the_server_is_ready_with_portraits(web: httpx.Client) -> None:
    checks = web.get("/readyz").json()["checks"]
    assert checks["segmentation"]["ok"] is checks["avatars"]["ok"] is True


def test_units_lora_and_picture_go_all_the_way_and_come_back(web: httpx.Client) -> None:
    photo = base64_png(a_photo("astronaut", 128))
    unit = {"module": "canny", "model": CONTROLNETS["canny"], "image": {"image": photo, "mask": None}}
    answer = web.post(
        "/sdapi/v1/img2img",
        json={
            "prompt": f"a cat <lora:{LORA}:1>",
            "init_images": [photo],
            "width": 64,
            "height": 64,
            "steps": 3,
            "alwayson_scripts": {"ControlNet": {"args": [unit]}},
        },
    ).json()
    picture, edges = map(pixels, answer["images"])
    assert picture.shape == edges.shape == (64, 64, 3)
    assert set(np.unique(edges)) == {0, 255}


def test_interrupting_gives_the_picture_as_it_is(web: httpx.Client) -> None:
    answers: list[httpx.Response] = []
    making = threading.Thread(target=lambda: answers.append(web.post("/sdapi/v1/txt2img", json=MANY_STEPS)))
    making.start()
    until(lambda: is_busy(web), "a step is done")
    web.post("/sdapi/v1/interrupt").raise_for_status()
    making.join(PATIENCE_S)
    assert pixels(answers[0].json()["images"][0]).shape == (256, 256, 3)


def test_a_client_that_hangs_up_ends_the_work(web: httpx.Client, maker: Server) -> None:
    def hang_up() -> None:
        with (
            httpx.Client(base_url=maker.url, timeout=httpx.Timeout(PATIENCE_S, read=5)) as impatient,
            pytest.raises(httpx.ReadTimeout),
        ):
            impatient.post("/sdapi/v1/txt2img", json=MANY_STEPS)

    hang_up()
    until(lambda: statuses(web)[0] == "cancelled", "the job is cancelled")


def test_weights_that_are_missing_are_503_and_named(web: httpx.Client) -> None:
    photo = base64_png(a_photo("astronaut", 128))
    body = {"controlnet_module": "depth_midas", "controlnet_input_images": [photo]}
    answer = web.post("/controlnet/detect", json=body)
    assert answer.status_code == 503
    assert "dpt_hybrid-midas-501f0c75.pt" in answer.text
    assert "DARKROOM_DIFFUSION__MODELS_DIR" in answer.text
