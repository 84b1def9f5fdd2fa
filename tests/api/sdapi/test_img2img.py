"""img2img: init images fitted, masked, laid over the original."""

from __future__ import annotations

import asyncio
import base64
import http.server
import threading
from collections.abc import Iterator

import httpx
import numpy as np
import pytest
from sqlalchemy import text

from configs.settings import Fetch, Limits, Settings
from serve_app.services.container import Services
from tests.api.sdapi.conftest import SMALL, V1, SdapiAnswer, a_unit, assert_webui_error, controlnet, img2img
from tests.support.builders import a_flat_image, an_image, base64_png, encoded, encoded_turned
from tests.support.fake_diffuser import FakeDiffuser


def a_mask(size: tuple[int, int], left: int, top: int, right: int, bottom: int) -> str:
    mask = np.zeros((size[1], size[0], 3), np.uint8)
    mask[top:bottom, left:right] = 255
    return base64_png(mask)


async def test_an_init_image_is_fitted_and_redrawn(client: httpx.AsyncClient, capabilities: FakeDiffuser) -> None:
    made = await img2img(client, a_flat_image((96, 64), (10, 20, 30)), denoising_strength=0.5)
    assert np.all(made.images[0] == (245, 235, 225))
    assert made.info["denoising_strength"] == 0.5
    assert "Denoising strength: 0.5" in made.info["infotexts"][0]
    assert capabilities.requests[0].denoising_strength == 0.5


async def test_every_resize_mode_gives_the_size_that_was_asked_for(
    client: httpx.AsyncClient, capabilities: FakeDiffuser
) -> None:
    picture = a_flat_image((128, 64), (0, 0, 0))
    picture[:, :32] = 255
    for mode in range(4):
        made = await img2img(client, picture, resize_mode=mode)
        assert made.images[0].shape == (64, 64, 3)
        init = capabilities.requests[-1].init_image
        assert init is not None
        assert bool(init[32, 2, 0] > 128) == (mode != 1)  # cropping cuts the white strip off
        assert ("latent" in made.warnings) == (mode == 3)


async def test_init_images_are_set_upright_and_laid_on_white(
    client: httpx.AsyncClient, capabilities: FakeDiffuser
) -> None:
    clear = np.dstack([a_flat_image((64, 64)), np.zeros((64, 64), np.uint8)])
    await img2img(client, clear)
    picture = an_image((64, 64))
    turned = base64.b64encode(encoded_turned(picture, 6, "PNG")).decode()
    SdapiAnswer(await client.post(f"{V1}/img2img", json=SMALL | {"init_images": [f"data:image/png;base64,{turned}"]}))
    white, upright = (request.init_image for request in capabilities.requests)
    assert white is not None
    assert np.all(white == 255)
    assert upright is not None
    assert np.array_equal(upright, picture)


async def test_one_init_image_serves_the_whole_batch_and_several_are_one_batch(
    client: httpx.AsyncClient, capabilities: FakeDiffuser
) -> None:
    assert len((await img2img(client, an_image((64, 64)), batch_size=3)).images) == 3
    two = [base64_png(a_flat_image((64, 64), (shade,) * 3)) for shade in (0, 200)]
    made = await img2img(client, an_image(), init_images=two, batch_size=4, n_iter=2)
    assert [int(image[0, 0, 0]) for image in made.images] == [255, 55, 255, 55]


async def test_more_init_images_than_the_batch_holds_are_refused(idle_client: httpx.AsyncClient) -> None:
    body = SMALL | {"init_images": [base64_png(an_image())] * 3, "batch_size": 2}
    response = await idle_client.post(f"{V1}/img2img", json=body)
    assert_webui_error(response, 500, "RuntimeError")
    assert response.json()["errors"].startswith("bad number of images passed: 3")


async def test_inpainting_only_masked_keeps_the_images_size_and_everything_outside(
    client: httpx.AsyncClient, capabilities: FakeDiffuser
) -> None:
    picture = an_image((200, 160))
    mask = a_mask((200, 160), 40, 40, 80, 80)
    made = await img2img(client, picture, mask=mask, mask_blur=0, inpaint_full_res_padding=8)
    result = made.images[0]
    assert result.shape == picture.shape
    outside = np.ones(picture.shape[:2], bool)
    outside[40:80, 40:80] = False
    assert np.array_equal(result[outside], picture[outside])
    assert not np.array_equal(result[50:70, 50:70], picture[50:70, 50:70])
    assert "Inpaint area: Only masked, Masked area padding: 8, Masked content: fill" in made.info["infotexts"][0]


async def test_inpainting_the_whole_image_gives_the_size_that_was_asked_for(client: httpx.AsyncClient) -> None:
    picture = a_flat_image((128, 128), (40, 40, 40))
    made = await img2img(
        client, picture, mask=a_mask((128, 128), 0, 0, 64, 128), inpaint_full_res=False, inpainting_fill=1, mask_blur=0
    )
    [result] = made.images
    assert result.shape == (64, 64, 3)
    assert np.all(result[:, :28] == 215)
    assert np.all(result[:, 36:] == 40)


async def test_a_mask_may_be_inverted_and_come_as_transparency(
    client: httpx.AsyncClient, capabilities: FakeDiffuser
) -> None:
    rgba = np.dstack([a_flat_image((64, 64)), np.zeros((64, 64), np.uint8)])
    rgba[:, :32, 3] = 255
    await img2img(
        client,
        an_image((64, 64)),
        mask=base64_png(rgba),
        mask_blur=0,
        inpainting_mask_invert=1,
        inpaint_full_res=False,
    )
    mask = capabilities.requests[0].mask
    assert mask is not None
    assert mask[0, 10] == 0
    assert mask[0, 50] == 255


async def test_the_inpainting_fill_decides_what_is_under_the_mask(
    client: httpx.AsyncClient, capabilities: FakeDiffuser
) -> None:
    picture = a_flat_image((64, 64), (0, 0, 0))
    picture[20:40, 20:40] = 255
    mask = a_mask((64, 64), 20, 20, 40, 40)
    for fill, content in enumerate(("original", "original", "noise", "nothing")):
        await img2img(client, picture, mask=mask, mask_blur=0, inpainting_fill=fill, inpaint_full_res=False)
        request = capabilities.requests[-1]
        assert request.masked_content == content
        assert request.init_image is not None
        assert (request.init_image[30, 30, 0] < 10) == (fill != 1)  # filled with the surroundings


async def test_an_empty_mask_is_none(client: httpx.AsyncClient, capabilities: FakeDiffuser) -> None:
    await img2img(client, an_image((64, 64)), mask=a_mask((64, 64), 0, 0, 0, 0))
    assert capabilities.requests[0].mask is None


async def test_init_images_are_echoed_only_on_demand(client: httpx.AsyncClient) -> None:
    picture = an_image((64, 64))
    plain = await img2img(client, picture)
    assert plain.parameters["init_images"] is None
    asked = await img2img(client, picture, include_init_images=True)
    assert asked.parameters["init_images"] == [f"<str {len(base64_png(picture))}>"]


async def test_img2img_without_an_init_image_is_a_404(idle_client: httpx.AsyncClient) -> None:
    for images in (None, [], [""]):
        response = await idle_client.post(f"{V1}/img2img", json=SMALL | {"init_images": images})
        assert_webui_error(response, 404, "HTTPException", detail="Init image not found")


async def test_text_that_is_no_image_is_refused_as_such_and_paths_are_never_opened(
    idle_client: httpx.AsyncClient,
) -> None:
    good = base64_png(an_image())
    for sent in ("not base64!", "AAAA", "/etc/passwd", "file:///etc/passwd", "data:image/png;base64,", "ü", "A" * 4097):
        for fields in ({"init_images": [sent]}, {"init_images": [good], "mask": sent}):
            response = await idle_client.post(f"{V1}/img2img", json=SMALL | fields)
            assert_webui_error(response, 500, "HTTPException", detail="Invalid encoded image")


async def test_a_truncated_init_image_is_refused(idle_client: httpx.AsyncClient) -> None:
    half = base64_png(an_image())[:400]
    response = await idle_client.post(f"{V1}/img2img", json=SMALL | {"init_images": [half]})
    assert_webui_error(response, 500, "HTTPException", detail="Invalid encoded image")


class TestAddresses:
    """Pictures named by where they are."""

    @pytest.fixture
    def settings(self, settings: Settings) -> Settings:
        return settings.model_copy(update={"fetch": Fetch(allowed_networks=("127.0.0.0/8",), timeout_s=5)})

    @pytest.fixture
    def address(self) -> Iterator[str]:
        class Pictures(http.server.BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                data = encoded(an_image((64, 64)), "PNG") if self.path == "/picture" else b"words"
                self.send_response(200)
                self.send_header("Content-Length", str(len(data)))
                self.end_headers()
                self.wfile.write(data)

            def log_message(self, format: str, *args: object) -> None:
                pass

        server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Pictures)
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()
        server.server_close()

    async def test_an_init_image_is_fetched_from_its_url(
        self, client: httpx.AsyncClient, capabilities: FakeDiffuser, address: str
    ) -> None:
        SdapiAnswer(await client.post(f"{V1}/img2img", json=SMALL | {"init_images": [f"{address}/picture"]}))
        init = capabilities.requests[0].init_image
        assert init is not None
        assert np.array_equal(init, an_image((64, 64)))

    async def test_a_url_that_leads_to_no_image_is_refused_as_such(
        self, idle_client: httpx.AsyncClient, address: str
    ) -> None:
        response = await idle_client.post(f"{V1}/img2img", json=SMALL | {"init_images": [f"{address}/words"]})
        assert_webui_error(response, 500, "HTTPException", detail="Invalid image url")

    class TestSmallImg2Img:
        @pytest.fixture
        def settings(self, settings: Settings) -> Settings:
            return settings.model_copy(update={"limits": Limits(max_sdapi_bytes=40_000)})

        async def test_urls_bring_no_more_bytes_than_a_body_may_have(
            self, idle_client: httpx.AsyncClient, address: str
        ) -> None:
            units = [a_unit(image=f"{address}/picture")] * 9  # of twelve thousand bytes
            fields = {"init_images": [f"{address}/picture"], "alwayson_scripts": controlnet(*units)}
            response = await idle_client.post(f"{V1}/img2img", json=SMALL | fields)
            assert_webui_error(response, 413, "PayloadTooLarge")

    async def test_private_addresses_are_not_fetched_from(self, idle_client: httpx.AsyncClient) -> None:
        for field in ("init_images", "mask"):
            fields = {"init_images": [base64_png(an_image())]}
            fields[field] = ["http://10.0.0.7/x.png"] if field == "init_images" else "http://10.0.0.7/x.png"  # type: ignore[assignment]
            response = await idle_client.post(f"{V1}/img2img", json=SMALL | fields)
            assert_webui_error(response, 500, "HTTPException", detail="Request to local resource not allowed")


async def test_job_inputs_are_gone_when_the_job_has_ended(
    client: httpx.AsyncClient, capabilities: FakeDiffuser, services: Services
) -> None:
    capabilities.go.clear()
    making = asyncio.create_task(img2img(client, an_image((64, 64))))
    await asyncio.wait_for(capabilities.begun.acquire(), 20)

    async def count() -> int:
        async with services.database.transaction() as session:
            return int(await session.scalar(text("SELECT count(*) FROM job_inputs")) or 0)

    assert await count() == 1
    capabilities.go.set()
    await making
    assert await count() == 0


async def test_sd_upscale_redraws_the_tiles_of_the_enlarged_image(
    client: httpx.AsyncClient, capabilities: FakeDiffuser
) -> None:
    picture = a_flat_image((64, 48), (10, 20, 30))
    script = {"script_name": "SD upscale", "script_args": ["", 8, "Lanczos", 2.0]}
    made = await img2img(client, picture, **script, seed=5, n_iter=2, denoising_strength=0.3)
    assert [image.shape for image in made.images] == [(96, 128, 3)] * 2
    assert np.all(made.images[0] == (245, 235, 225))
    assert [request.seed for request in capabilities.requests] == [5, 6, 7, 8, 9, 10, 6, 7, 8, 9, 10, 11]
    assert made.info["all_seeds"] == [5, 6]
    assert "SD upscale overlap: 8, SD upscale upscaler: Lanczos" in made.info["infotexts"][0]
    warned = await img2img(
        client, picture, **script, mask=base64_png(picture), alwayson_scripts=controlnet(a_unit(image=""))
    )
    assert "mask has no effect" in warned.warnings
    assert "ControlNets are not applied" in warned.warnings


async def test_sd_upscale_refuses_what_makes_no_sense(client: httpx.AsyncClient, capabilities: FakeDiffuser) -> None:
    async def post(*arguments: object, size: tuple[int, int] = (64, 64)) -> httpx.Response:
        fields = {"script_name": "sd upscale", "script_args": arguments, "init_images": [base64_png(an_image(size))]}
        return await client.post(f"{V1}/img2img", json=SMALL | fields)

    assert (await post("", "wide")).status_code == 422
    assert (await post("", 8, 1, 100)).status_code == 422
    assert (await post("", 8, "Lanczos", 4, size=(400, 400))).status_code == 422
    unknown = await post("", 8, "R-ESRGAN", 2)
    assert_webui_error(unknown, 500, "Exception", errors="could not find upscaler named R-ESRGAN")
    assert capabilities.requests == []


async def test_a_mask_that_is_not_rounded_is_soft_for_the_engine(
    client: httpx.AsyncClient, capabilities: FakeDiffuser
) -> None:
    mask = a_mask((64, 64), 0, 0, 32, 64)
    for is_rounded in (True, False):
        await img2img(client, a_flat_image((64, 64)), mask=mask, mask_round=is_rounded, inpaint_full_res=False)
    assert [request.soft_mask for request in capabilities.requests] == [False, True]
