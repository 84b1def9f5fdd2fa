"""Avatar engines: the contract that each one keeps, the vendors' through their own SDKs against servers on this
machine."""

from __future__ import annotations

import asyncio
import contextlib
import gzip
import sys
import tracemalloc
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import cv2
import httpx
import numpy as np
import pytest

from configs.settings import Fetch, Limits, Settings
from deployments.algorithms.segmentation.head_masks import head_mask
from deployments.assets.animals import load_animals
from deployments.contracts.portraits import AvatarMode, AvatarPicture, AvatarTask
from deployments.engines.drawn.avatars import LocalAvatarArtist
from deployments.errors import InvalidRequest, NoFace, ProviderRejected, ProviderTimeout, ProviderUnavailable
from deployments.providers import open_avatar_provider
from deployments.providers.cloud_function import CloudFunctionArtist, check_link
from tests.contract.providers.test_names import with_providers
from tests.support.avatar_vendors import AVATAR_VENDORS, AvatarVendor, Deployed, Imagen, NovaCanvas
from tests.support.builders import a_flat_image, an_image, encoded
from tests.support.portraits import a_portrait
from tests.support.vendor_server import HANG, Reply, VendorServer
from tests.unit.services.images.test_fetch import response, self_signed, serving

pytestmark = pytest.mark.filterwarnings("ignore:The edit_image method is deprecated")
FOX = load_animals()["fox"]
RED = (250, 10, 20)
DEEP = pytest.param(b"[" * 100_000, id="deep")

Maker = Callable[[AvatarTask], Awaitable[AvatarPicture]]


@pytest.fixture(autouse=True)
def _aws(no_credentials: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "test")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "test")


@pytest.fixture(params=AVATAR_VENDORS)
def engine(request: pytest.FixtureRequest, vendor: VendorServer) -> AvatarVendor:
    made: AvatarVendor = AVATAR_VENDORS[request.param](vendor)
    return made


@pytest.fixture
def deployed(vendor: VendorServer) -> Deployed:
    return Deployed(vendor)


@pytest.fixture(params=["local", *AVATAR_VENDORS])
def make(request: pytest.FixtureRequest, vendor: VendorServer) -> Maker:
    """Asks an engine for an avatar; vendors draw everything red."""
    if request.param == "local":
        local = LocalAvatarArtist()

        async def draw(portrait: AvatarTask) -> AvatarPicture:
            return await asyncio.to_thread(local.render, portrait)

        return draw
    engine = AVATAR_VENDORS[request.param](vendor)

    async def ask(portrait: AvatarTask) -> AvatarPicture:
        engine.draws(a_png((portrait.image.shape[1], portrait.image.shape[0])))
        return await made_by(engine, portrait)

    return ask


def a_png(size: tuple[int, int], colour: tuple[int, int, int] = RED) -> bytes:
    return encoded(a_flat_image(size, colour), "PNG")


async def made_by(engine: AvatarVendor, portrait: AvatarTask | None = None, **options: Any) -> AvatarPicture:
    provider = engine.open(**options)
    try:
        return await provider.make_avatar(portrait or a_portrait(), FOX)
    finally:
        await provider.aclose()


@pytest.mark.parametrize("mode", ["character", "overlay"])
@pytest.mark.parametrize("faces", [1, 2])
async def test_heads_change_and_the_photograph_far_from_them_does_not(
    make: Maker, mode: AvatarMode, faces: int
) -> None:
    portrait = a_portrait(faces=faces, mode=mode)
    made = await make(portrait)
    assert made.changed == tuple(range(faces))
    assert made.image.shape == portrait.image.shape
    assert made.image.dtype == np.uint8
    reach = np.ones((73, 73), np.uint8)  # a face's height: drawn ears and fur reach beyond the mask that vendors get
    far = cv2.dilate(head_mask(portrait.segmentation, mode), reach) == 0
    assert far.any()
    assert np.array_equal(made.image[far], portrait.image[far])
    for face in portrait.segmentation.faces:
        x, y = (round(value) for value in face.landmarks["nose_tip"])
        patch = (slice(y - 4, y + 5), slice(x - 4, x + 5))
        assert np.abs(made.image[patch].astype(int) - portrait.image[patch]).mean() > 5


async def test_a_vendors_picture_is_used_under_the_mask_of_the_heads_and_nowhere_else(engine: AvatarVendor) -> None:
    portrait = a_portrait()
    engine.draws(a_png((320, 240)))
    made = await made_by(engine, portrait)
    mask = head_mask(portrait.segmentation, portrait.mode)
    assert np.array_equal(made.image[mask == 0], portrait.image[mask == 0])
    assert (np.abs(made.image[mask == 255].astype(int) - RED) <= 3).all()
    assert made.warnings


async def test_the_vendor_is_sent_the_portrait_the_animal_and_what_it_may_paint(engine: AvatarVendor) -> None:
    portrait = a_portrait((480, 360))
    engine.draws(a_png((480, 360)))
    await made_by(engine, portrait)
    sent = engine.sent()
    assert sent.image.shape == (360, 480, 3)
    assert np.abs(sent.image.astype(int) - portrait.image).mean() < 6
    assert "fox" in sent.words
    assert "1.2" not in sent.words  # weights are for models that read them
    if sent.paint is not None:
        assert np.array_equal(sent.paint, np.where(head_mask(portrait.segmentation, "character") > 0, 255, 0))


@pytest.mark.parametrize("size", [(160, 120), (640, 480), (1000, 752)])
async def test_a_picture_of_another_size_is_brought_to_that_of_the_portrait(
    engine: AvatarVendor, size: tuple[int, int]
) -> None:
    engine.draws(a_png(size))
    assert (await made_by(engine)).image.shape == (240, 320, 3)


@pytest.mark.parametrize("size", [(240, 240), (240, 320), (640, 300)])
async def test_a_picture_of_another_shape_cannot_be_laid_over_the_portrait(
    engine: AvatarVendor, size: tuple[int, int]
) -> None:
    engine.draws(a_png(size))
    with pytest.raises(ProviderUnavailable, match="makes no sense"):
        await made_by(engine)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"<html>busy</html>",
        b"[]",
        b"{}",
        b"null",
        b"\xff\xfe",
        DEEP,
        b'{"predictions": 7}',
        b'{"finish_reasons": 7}',
        '{"images": ["é"]}'.encode(),
    ],
)
async def test_an_answer_that_makes_no_sense_is_unavailability(engine: AvatarVendor, body: bytes) -> None:
    engine.garbles(body)
    with pytest.raises((ProviderUnavailable, ProviderRejected)) as raised:
        await made_by(engine)
    # Imagen says by an answer without predictions that its filter took them out.
    assert isinstance(raised.value, ProviderUnavailable) or isinstance(engine, Imagen)


@pytest.mark.parametrize("body", [b"null", b"[]", b'"no"', b'{"__type": 7}', b'{"error": 7}', DEEP])
@pytest.mark.parametrize("status", [400, 500])
async def test_an_error_whose_words_make_no_sense_is_still_one_of_ours(
    engine: AvatarVendor, vendor: VendorServer, status: int, body: bytes
) -> None:
    vendor.always(status, body=body)
    with pytest.raises((ProviderUnavailable, ProviderRejected)):
        await made_by(engine)


@pytest.mark.parametrize("file", [b"no picture", b"", encoded(an_image())[:200]])
async def test_a_file_that_is_no_picture_is_unavailability(engine: AvatarVendor, file: bytes) -> None:
    engine.draws(file)
    with pytest.raises(ProviderUnavailable):
        await made_by(engine)


@pytest.mark.parametrize("how", ["quota", "down", "broken"])
async def test_quota_and_failures_are_unavailability_without_a_second_call(
    engine: AvatarVendor, vendor: VendorServer, how: str
) -> None:
    engine.fails(how)
    with pytest.raises(ProviderUnavailable) as raised:
        await made_by(engine)
    assert "secret" not in raised.value.message
    assert ("quota" in raised.value.message) == (how == "quota")
    assert len(vendor.requests) == 1


async def test_a_picture_that_is_refused_is_a_rejection(engine: AvatarVendor) -> None:
    engine.fails("picture")
    with pytest.raises(ProviderRejected):
        await made_by(engine)


async def test_a_picture_that_the_safety_filter_takes_out_is_a_rejection(engine: AvatarVendor) -> None:
    engine.filters()
    with pytest.raises(ProviderRejected):
        await made_by(engine)


async def test_the_deadline_holds_when_the_vendor_is_silent(engine: AvatarVendor, vendor: VendorServer) -> None:
    vendor.hang()
    with pytest.raises(ProviderTimeout):
        await made_by(engine, timeout_s=0.3)


async def test_a_vendor_that_is_not_there_is_unavailability(engine: AvatarVendor) -> None:
    nowhere = "http://127.0.0.1:9"
    gone = {"vertex_base_url": nowhere, "bedrock_endpoint_url": nowhere, "cloud_function_url": nowhere}
    with pytest.raises(ProviderUnavailable, match="cannot be reached"):
        await made_by(engine, **gone)


async def test_credentials_that_are_not_accepted_name_what_to_set_and_what_needs_none(engine: AvatarVendor) -> None:
    engine.fails("credentials")
    with pytest.raises(ProviderUnavailable, match=rf"{engine.credential}.*`local` works without"):
        await made_by(engine)


async def test_no_call_that_costs_money_is_possible_in_a_test(engine: AvatarVendor, vendor: VendorServer) -> None:
    elsewhere = {"vertex_base_url": None, "bedrock_endpoint_url": None, "cloud_function_url": "https://f.invalid/go"}
    with pytest.raises(ProviderUnavailable, match="switched off"):
        await made_by(engine, **elsewhere, allow_paid_calls=True)
    assert vendor.requests == []


@pytest.mark.parametrize(
    ("name", "enough", "message"),
    [
        ("vertex", {"vertex_project": "p"}, "no project (set DARKROOM_PROVIDERS__VERTEX_PROJECT)"),
        ("bedrock", {"bedrock_region": "us-west-2"}, "no region (set DARKROOM_PROVIDERS__BEDROCK_REGION)"),
        (
            "cloud_function",
            {"cloud_function_url": "https://f.invalid/go"},
            "no URL (set DARKROOM_PROVIDERS__CLOUD_FUNCTION_URL)",
        ),
    ],
)
async def test_an_engine_says_what_it_lacks(name: str, enough: dict[str, Any], message: str) -> None:
    await open_avatar_provider(name, with_providers(**enough)).aclose()
    with pytest.raises(ProviderUnavailable) as raised:
        open_avatar_provider(name, with_providers())
    assert message in raised.value.message
    assert "`local` works without one" in raised.value.message


async def test_vertex_without_credentials_names_what_to_set(vendor: VendorServer) -> None:
    settings = with_providers(vertex_project="p", vertex_base_url=vendor.url)
    provider = open_avatar_provider("vertex", settings)
    with pytest.raises(ProviderUnavailable, match=r"GOOGLE_APPLICATION_CREDENTIALS.*`local` works without"):
        await provider.make_avatar(a_portrait(), FOX)
    assert vendor.requests == []
    await provider.aclose()


@pytest.mark.parametrize(("name", "package"), [("vertex", "google.auth.exceptions"), ("bedrock", "boto3")])
def test_a_missing_sdk_names_the_extra(name: str, package: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, package, None)  # as if it were not installed
    with pytest.raises(ProviderUnavailable, match=r"darkroom\[cloud\].*`local` works without"):
        open_avatar_provider(name, with_providers(vertex_project="p", bedrock_region="us-west-2"))


def test_an_unknown_name_is_an_invalid_request() -> None:
    with pytest.raises(InvalidRequest):
        open_avatar_provider("nobody", Settings())


# What only one of them does.


async def test_imagen_is_asked_to_insert_the_prompt_under_the_mask(vendor: VendorServer) -> None:
    engine = Imagen(vendor)
    engine.draws(a_png((320, 240)))
    await made_by(engine)
    parameters = vendor.requests[0].json["parameters"]
    assert parameters["editMode"] == "EDIT_MODE_INPAINT_INSERTION"
    assert parameters["negativePrompt"] == "text"
    assert parameters["seed"] == 5
    assert engine.sent().words == "portrait of a red fox."


async def test_the_margin_that_makes_the_shape_is_cut_off_again(vendor: VendorServer) -> None:
    engine = AVATAR_VENDORS["gemini"](vendor)
    portrait = a_portrait((330, 240))
    engine.draws(b"")
    with pytest.raises(ProviderUnavailable):
        await made_by(engine, portrait)
    framed = engine.sent().image
    assert vendor.requests[0].json["generationConfig"]["imageConfig"]["aspectRatio"] == "4:3"
    assert framed.shape == (248, 330, 3)
    vendor.requests.clear()
    engine.draws(encoded(np.asarray(cv2.resize(framed, (660, 496))), "PNG"))  # the same at twice the size
    made = await made_by(engine, portrait)
    assert np.abs(made.image.astype(int) - portrait.image).mean() < 4


async def test_amazons_models_are_asked_in_their_own_form(vendor: VendorServer) -> None:
    engine = NovaCanvas(vendor)
    engine.draws(a_png((427, 320)))
    await made_by(engine)
    [request] = vendor.requests
    assert request.path == "/model/amazon.nova-canvas-v1%3A0/invoke"
    assert request.json["imageGenerationConfig"] == {"numberOfImages": 1, "seed": (2**31 + 5) % 858_993_460}
    assert request.json["inPaintingParams"]["negativeText"] == "text"
    assert engine.sent().image.shape == (320, 427, 3)  # its shortest side


@pytest.mark.parametrize(
    "message",
    [
        "The provided model identifier is invalid.",
        "Invocation of model ID amazon.nova-canvas-v1:0 with on-demand throughput isn't supported.",
    ],
)
async def test_a_model_that_bedrock_does_not_serve_is_no_fault_of_the_picture(
    vendor: VendorServer, message: str
) -> None:
    body = {"message": message, "__type": "ValidationException"}
    vendor.always(400, body, **{"x-amzn-ErrorType": "ValidationException"})
    with pytest.raises(ProviderUnavailable, match="does not serve the model"):
        await made_by(NovaCanvas(vendor))


async def test_a_picture_too_long_and_thin_for_bedrock_is_left_to_other_engines(vendor: VendorServer) -> None:
    with pytest.raises(ProviderUnavailable, match="long and thin"):
        await made_by(AVATAR_VENDORS["stability"](vendor), a_portrait((640, 240)))
    assert vendor.requests == []


async def test_the_function_is_sent_a_form_with_the_token(vendor: VendorServer, deployed: Deployed) -> None:
    deployed.draws(a_png((320, 240)))
    await made_by(deployed, a_portrait(mode="overlay"))
    post, get = vendor.requests
    assert Deployed.form(post)[0] == {"animal": "fox", "mode": "overlay"}
    assert post.headers["authorization"] == "Bearer token-1"
    assert "authorization" not in get.headers


async def test_the_function_needs_no_token(vendor: VendorServer, deployed: Deployed) -> None:
    deployed.draws(a_png((320, 240)))
    await made_by(deployed, cloud_function_token=None)
    assert "authorization" not in vendor.requests[0].headers


async def test_a_function_that_finds_no_face_is_no_face(deployed: Deployed) -> None:
    deployed.finds_nobody()
    with pytest.raises(NoFace):
        await made_by(deployed)


@pytest.mark.parametrize(
    ("status", "error"),
    [(400, ProviderRejected), (409, ProviderRejected), (413, ProviderRejected), (422, ProviderRejected)]
    + [(status, ProviderUnavailable) for status in (301, 401, 404, 405, 408, 500, 502, 504)],
)
async def test_a_status_of_the_function_says_whose_fault_it_is(
    vendor: VendorServer, deployed: Deployed, status: int, error: type[Exception]
) -> None:
    vendor.always(status, {"error": "No image was sent"}, Location=f"{vendor.url}/elsewhere")
    with pytest.raises(error):
        await made_by(deployed)
    assert len(vendor.requests) == 1


@pytest.mark.parametrize(
    "link",
    [
        "http://example.com/made.png",
        "ftp://127.0.0.1/made.png",
        "file:///etc/passwd",
        "https://user:password@example.com/made.png",
        "http://169.254.169.254/latest/meta-data",
        "/made.png",
        "http://[::1",
        "",
        None,
        7,
    ],
)
async def test_a_link_that_must_not_be_followed_is_not(vendor: VendorServer, deployed: Deployed, link: Any) -> None:
    deployed.links(link, Reply(body=a_png((320, 240))))
    with pytest.raises(ProviderUnavailable):
        await made_by(deployed)
    assert len(vendor.requests) == 1


@pytest.mark.parametrize(
    "addresses",
    [
        ["10.0.0.5"],
        ["169.254.169.254"],
        ["127.0.0.1"],
        ["::1"],
        ["::ffff:127.0.0.1"],
        ["93.184.216.34", "10.0.0.5"],
        [],
    ],
    ids=str,
)
async def test_a_name_that_leads_into_our_network_is_not_followed(
    vendor: VendorServer, deployed: Deployed, addresses: list[str]
) -> None:
    asked: list[tuple[str, int]] = []

    async def resolver(host: str, port: int) -> list[str]:
        asked.append((host, port))
        return addresses

    port = int(vendor.url.rsplit(":")[-1])
    deployed.links(f"https://pictures.example:{port}/made.png", Reply(body=a_png((320, 240))))
    artist = CloudFunctionArtist(deployed.settings(10, {}).providers, 10, resolver=resolver)
    with pytest.raises(ProviderUnavailable):
        await artist.make_avatar(a_portrait(), FOX)
    await artist.aclose()
    assert asked == [("pictures.example", port)]
    assert [request.method for request in vendor.requests] == ["POST"]


async def test_a_name_that_an_operator_allows_is_fetched_from_the_address_that_was_checked(
    vendor: VendorServer, deployed: Deployed, tmp_path: Path
) -> None:
    server, client = self_signed("pictures.example", tmp_path)

    async def resolver(host: str, port: int) -> list[str]:
        return ["127.0.0.1"]

    async with serving(response(a_png((320, 240))), server) as store:
        deployed.links(f"https://pictures.example:{store.port}/made.png", Reply(500))
        artist = CloudFunctionArtist(
            deployed.settings(10, {}).providers,
            10,
            Fetch(allowed_hosts=("pictures.example",)),
            resolver=resolver,
            ssl_context=client,
        )
        made = await artist.make_avatar(a_portrait(), FOX)
        await artist.aclose()
    assert made.changed == (0,)
    assert f"Host: pictures.example:{store.port}\r\n" in store.requests[0]


async def test_a_picture_of_more_bytes_than_the_setting_allows_is_not_read_from_the_function(
    vendor: VendorServer, deployed: Deployed
) -> None:
    picture = a_png((320, 240))
    for most, is_read in ((len(picture), True), (len(picture) - 1, False)):
        deployed.links(f"{vendor.url}/made.png", Reply(body=picture))
        artist = CloudFunctionArtist(deployed.settings(10, {}).providers, 10, limits=Limits(max_file_bytes=most))
        with contextlib.nullcontext() if is_read else pytest.raises(ProviderUnavailable):
            assert (await artist.make_avatar(a_portrait(), FOX)).changed == (0,)
        await artist.aclose()


async def test_a_small_answer_that_unpacks_into_a_large_one_is_not_unpacked(
    vendor: VendorServer, deployed: Deployed
) -> None:
    bomb = gzip.compress(gzip.compress(bytes(2**26)))
    assert len(bomb) < 10_000
    packed = {"Content-Encoding": "gzip, gzip"}
    tracemalloc.start()
    try:
        deployed.links(f"{vendor.url}/made.png", Reply(body=bomb, headers=packed))
        with pytest.raises(ProviderUnavailable):
            await made_by(deployed)
        vendor.always(body=bomb, **packed)
        with pytest.raises(ProviderUnavailable):
            await made_by(deployed)
        assert tracemalloc.get_traced_memory()[1] < 2**24
    finally:
        tracemalloc.stop()
    assert all(request.headers["accept-encoding"] == "identity" for request in vendor.requests)


async def test_redirects_are_followed_and_checked_again(vendor: VendorServer, deployed: Deployed) -> None:
    def answer(request: Any) -> Reply:
        if request.method == "POST":
            return Reply(json={"image_url": f"{vendor.url}/old.png"})
        if request.path == "/old.png":
            return Reply(302, headers={"Location": "/new.png"})
        return Reply(body=a_png((320, 240)))

    vendor.answer = answer
    await made_by(deployed)
    assert [request.path for request in vendor.requests] == ["/generate", "/old.png", "/new.png"]
    for location in ("http://example.com/made.png", "file:///etc/passwd"):
        deployed.links(f"{vendor.url}/old.png", Reply(302, headers={"Location": location}))
        with pytest.raises(ProviderUnavailable):
            await made_by(deployed)


@pytest.mark.parametrize(
    "picture",
    [
        Reply(404),
        Reply(302, headers={"Location": "/made.png"}),  # to itself
        Reply(302),  # to nowhere
        Reply(body=bytes(21 * 2**20)),
    ],
)
async def test_a_picture_that_cannot_be_fetched_is_unavailability(deployed: Deployed, picture: Reply) -> None:
    deployed.links(f"{deployed.server.url}/made.png", picture)
    with pytest.raises(ProviderUnavailable):
        await made_by(deployed)


async def test_the_deadline_holds_for_the_picture_too(deployed: Deployed) -> None:
    deployed.links(f"{deployed.server.url}/made.png", HANG)
    with pytest.raises(ProviderTimeout):
        await made_by(deployed, timeout_s=0.4)


async def test_an_answer_of_the_function_without_end_is_cut_off(vendor: VendorServer, deployed: Deployed) -> None:
    vendor.always(body=b" " * 2**20)
    with pytest.raises(ProviderUnavailable):
        await made_by(deployed)


@pytest.mark.parametrize(
    ("link", "function", "allowed"),
    [
        ("https://storage.googleapis.com/b/made.png", "https://f.run.app/go", True),
        ("http://f.run.app/made.png", "https://f.run.app/go", True),
        ("http://storage.googleapis.com/b/made.png", "https://f.run.app/go", False),
        ("http://127.0.0.1:9000/made.png", "https://f.run.app/go", False),
        ("https://localhost/made.png", "https://f.run.app/go", False),
        ("http://localhost:9000/made.png", "http://127.0.0.1:8080/go", True),
        ("https://storage.googleapis.com/b/made.png", "http://127.0.0.1:8080/go", True),
    ],
)
def test_a_picture_is_fetched_by_https_or_from_where_the_function_is(link: str, function: str, allowed: bool) -> None:
    with contextlib.nullcontext() if allowed else pytest.raises(ProviderUnavailable):
        check_link(httpx.URL(link), httpx.URL(function))
