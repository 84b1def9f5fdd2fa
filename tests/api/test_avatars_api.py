"""Avatars over HTTP: engines in order, and a history with the outcome of each request."""

from __future__ import annotations

import asyncio
import io
from typing import Any

import httpx
import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image as PillowImage

from configs.settings import Avatars, Deadlines, Settings
from deployments.contracts.arrays import Image
from deployments.errors import (
    NoFace,
    Overloaded,
    ProviderRejected,
    ProviderTimeout,
    ProviderUnavailable,
    WeightsMissing,
)
from serve_app.services.container import Services
from serve_app.services.runner import JobRunner
from serve_app.store.repositories import users
from tests.api.conftest import BASE, assert_problem, upload
from tests.api.sdapi.conftest import until
from tests.support.accounts import Account, with_keys
from tests.support.builders import a_flat_image, an_image, encoded, encoded_turned
from tests.support.fake_portraits import AVATAR_COLOURS
from tests.support.fakes import FakeCapabilities, with_face

URL, TUTORIAL = "/api/v1/avatars", "/generate-animal-avatar/"
ENGINES = ("vertex", "bedrock", "local")
TECHNICAL = (ProviderUnavailable("The quota is used up."), ProviderTimeout("Late."), Overloaded("Full."))


@pytest.fixture
def settings(settings: Settings) -> Settings:
    chosen = Avatars(engines=ENGINES, max_px=256, max_faces=2, engine_timeout_s=10, animal="cat")
    return settings.model_copy(update={"avatars": chosen})


def a_portrait(*persons: int, size: tuple[int, int] = (96, 64)) -> Image:
    """A face for each, the first 16 pixels wide, each next one 4 wider, side by side."""
    image, left = a_flat_image(size), 8
    for place, person in enumerate(persons or (3,)):
        side = 16 + 4 * place
        image, left = with_face(image, person * 16 + 8, (left, 4), side), left + side + 4
    return image


async def portrait(client: httpx.AsyncClient, image: Image | None = None) -> str:
    [url] = await upload(client, encoded(a_portrait() if image is None else image, "PNG"))
    return url


async def avatar(client: httpx.AsyncClient, ref: str, **more: Any) -> httpx.Response:
    headers = more.pop("headers", {})
    return await client.post(URL, json={"image_url": ref, "animal": "fox"} | more, headers=headers)


async def send(client: httpx.AsyncClient, data: bytes, url: str = URL, **fields: Any) -> httpx.Response:
    headers = fields.pop("headers", {})
    files = {"file": ("anna.png", data)}
    return await client.post(url, files=files, data={"animal": "fox"} | fields, headers=headers)


async def history(client: httpx.AsyncClient) -> list[dict[str, Any]]:
    response = await client.get("/api/v1/history", params={"kind": "avatar"})
    assert response.status_code == 200, response.text
    return list(response.json()["items"])


async def pixels_at(client: httpx.AsyncClient, url: str) -> NDArray[np.int64]:
    file = await client.get(url)
    return np.asarray(PillowImage.open(io.BytesIO(file.content)).convert("RGB"), np.int64)


async def test_a_person_becomes_the_animal_at_an_absolute_url(
    client: httpx.AsyncClient, capabilities: FakeCapabilities
) -> None:
    response = await avatar(client, await portrait(client), seed=7)
    assert response.status_code == 200, response.text
    answer = response.json()
    assert answer["image_url"].startswith(f"{BASE}/api/v1/files/img_")
    assert answer["history_id"].startswith("gen_")
    assert {key: answer[key] for key in ("animal", "mode", "engine", "faces", "seed")} == {
        "animal": "fox",
        "mode": "character",
        "engine": "vertex",
        "faces": [{"bbox": [8, 4, 24, 20], "score": 0.99}],
        "seed": 7,
    }
    assert "warnings" not in answer
    made = await pixels_at(client, answer["image_url"])
    assert made[12, 16] == pytest.approx(AVATAR_COLOURS["vertex"], abs=6)
    assert made[50, 80] == pytest.approx((200, 120, 40), abs=6)
    assert capabilities.asked == ["segment:local", "avatar:vertex"]


async def test_a_picture_that_is_sent_along_is_treated_the_same_way(
    client: httpx.AsyncClient, capabilities: FakeCapabilities
) -> None:
    fields = {"mode": "overlay", "engine": "local", "prompt": "a sly fox", "negative_prompt": "dogs"}
    response = await send(client, encoded(a_portrait(), "PNG"), **fields, strength="0.4", seed="5")
    assert response.status_code == 200, response.text
    answer = response.json()
    assert (answer["mode"], answer["engine"], answer["seed"]) == ("overlay", "local", 5)
    [request] = capabilities.avatars
    got = (request.animal, request.mode, request.prompt, request.negative_prompt, request.strength, request.seed)
    assert got == ("fox", "overlay", "a sly fox", "dogs", 0.4, 5)


async def test_what_the_client_leaves_out_is_the_animals_own(
    client: httpx.AsyncClient, capabilities: FakeCapabilities
) -> None:
    ref = await portrait(client)
    seeds = {(await avatar(client, ref)).json()["seed"] for _ in range(2)}
    assert len(seeds) == 2
    await avatar(client, ref, engine="local", mode="overlay")
    vendor, _, local = capabilities.avatars
    assert (vendor.prompt, vendor.negative_prompt, vendor.strength) == ("a fox", "blurry", 0.8)
    assert (local.prompt, local.strength) == ("like a fox", 1.0)


async def test_empty_fields_of_a_form_are_left_out(client: httpx.AsyncClient) -> None:
    response = await send(client, encoded(a_portrait(), "PNG"), mode="", seed="", prompt="")
    assert response.status_code == 200, response.text
    assert response.json()["mode"] == "character"


async def test_every_face_is_changed_and_listed(client: httpx.AsyncClient) -> None:
    answer = (await avatar(client, await portrait(client, a_portrait(1, 5)))).json()
    assert [face["bbox"] for face in answer["faces"]] == [[8, 4, 24, 20], [28, 4, 48, 24]]


async def test_of_too_many_faces_the_largest_are_changed_and_the_answer_says_so(
    client: httpx.AsyncClient, capabilities: FakeCapabilities
) -> None:
    answer = (await avatar(client, await portrait(client, a_portrait(1, 3, 5, 7, size=(160, 64))))).json()
    assert [face["bbox"][2] - face["bbox"][0] for face in answer["faces"]] == [24, 28]
    assert answer["warnings"] == ["Of 4 faces the 2 largest were changed, 2 were left."]
    assert len(capabilities.avatars[0].segmentation.faces) == 2


async def test_only_the_faces_that_the_engine_changed_are_listed(
    client: httpx.AsyncClient, capabilities: FakeCapabilities
) -> None:
    capabilities.changes = (1,)
    answer = (await avatar(client, await portrait(client, a_portrait(1, 5)))).json()
    assert [face["bbox"][0] for face in answer["faces"]] == [28]


async def test_faces_are_told_in_pixels_of_the_upright_original(
    client: httpx.AsyncClient, capabilities: FakeCapabilities
) -> None:
    image = with_face(a_flat_image((1024, 512)), person=56, at=(400, 100), size=200)
    [ref] = await upload(client, encoded_turned(image, 6, "PNG"))
    answer = (await avatar(client, ref)).json()
    assert capabilities.avatars[0].image.shape == (128, 256, 3)
    assert answer["faces"][0]["bbox"] == pytest.approx([400, 100, 600, 300], abs=4)


async def test_faces_of_a_panorama_are_as_high_as_in_the_original_though_the_small_picture_is_flatter(
    client: httpx.AsyncClient,
) -> None:
    image = with_face(a_flat_image((2000, 70)), person=56, at=(1000, 0), size=70)
    answer = (await avatar(client, await portrait(client, image))).json()
    assert answer["faces"][0]["bbox"][1::2] == [0, 70]


@pytest.mark.parametrize("image", [a_flat_image(), an_image()])
async def test_a_picture_without_a_face_is_refused_and_recorded(client: httpx.AsyncClient, image: Image) -> None:
    assert_problem(await avatar(client, await portrait(client, image)), 422, "no-face")
    [entry] = await history(client)
    assert (entry["status"], entry["problem"]["type"]) == ("failed", "/problems/no-face")


async def test_an_engine_that_changes_no_face_has_found_none(
    client: httpx.AsyncClient, capabilities: FakeCapabilities
) -> None:
    capabilities.changes = ()
    assert_problem(await avatar(client, await portrait(client)), 422, "no-face")


async def test_a_vendor_that_finds_no_face_is_believed(
    client: httpx.AsyncClient, capabilities: FakeCapabilities
) -> None:
    capabilities.failures = {"avatar:vertex": NoFace("None.")}
    assert_problem(await avatar(client, await portrait(client)), 422, "no-face")
    assert capabilities.asked == ["segment:local", "avatar:vertex"]


async def test_an_unknown_animal_is_404_with_the_known_ones_and_nothing_is_kept(client: httpx.AsyncClient) -> None:
    for response in (
        await avatar(client, await portrait(client), animal="unicorn"),
        await send(client, encoded(a_portrait(), "PNG"), animal="unicorn"),
    ):
        problem = assert_problem(response, 404, "not-found")
        assert problem["animals"] == ["bear", "cat", "fox"]
        assert "bear, cat, fox" in problem["detail"]
    assert await history(client) == []


async def test_an_engine_that_is_not_configured_is_422_with_those_that_are(client: httpx.AsyncClient) -> None:
    response = await avatar(client, await portrait(client), engine="diffusers")
    assert assert_problem(response, 422, "invalid-request")["engines"] == list(ENGINES)


async def test_the_list_names_every_animal_with_its_engines_and_modes(client: httpx.AsyncClient) -> None:
    listed = (await client.get("/api/v1/animals")).json()["animals"]
    assert listed[2] == {
        "name": "fox",
        "title": "Fox",
        "description": "As if it were a fox.",
        "engines": list(ENGINES),
        "modes": ["overlay", "character"],
    }


@pytest.mark.parametrize("failure", TECHNICAL)
async def test_a_technical_failure_goes_on_to_the_next_engine_and_the_history_names_that_one(
    client: httpx.AsyncClient, capabilities: FakeCapabilities, failure: BaseException
) -> None:
    capabilities.failures = {"avatar:vertex": failure}
    answer = (await avatar(client, await portrait(client))).json()
    assert capabilities.asked == ["segment:local", "avatar:vertex", "avatar:bedrock"]
    assert answer["engine"] == "bedrock"
    [entry] = await history(client)
    assert (entry["engine"], entry["output_url"]) == ("bedrock", answer["image_url"])


async def test_a_rejected_picture_stops(client: httpx.AsyncClient, capabilities: FakeCapabilities) -> None:
    capabilities.failures = {"avatar:vertex": ProviderRejected("The safety filter refused the picture.")}
    assert_problem(await avatar(client, await portrait(client)), 422, "provider-rejected")
    assert capabilities.asked == ["segment:local", "avatar:vertex"]
    [entry] = await history(client)
    assert entry["problem"]["detail"] == "The safety filter refused the picture."


async def test_when_all_engines_fail_the_problem_says_what_each_said(
    client: httpx.AsyncClient, capabilities: FakeCapabilities
) -> None:
    capabilities.failures = {f"avatar:{name}": ProviderUnavailable(f"{name} is away.") for name in ENGINES}
    problem = assert_problem(await avatar(client, await portrait(client)), 503, "provider-unavailable")
    assert [(one["engine"], one["detail"]) for one in problem["engines"]] == [
        (name, f"{name} is away.") for name in ENGINES
    ]


class TestAvatarsWithShortDeadlines:
    @pytest.fixture
    def settings(self, settings: Settings) -> Settings:
        chosen = Avatars(engines=ENGINES, engine_timeout_s=0.3)
        return settings.model_copy(update={"avatars": chosen, "deadlines": Deadlines(avatar_s=0.75)})

    async def test_a_vendor_that_answers_after_its_deadline_is_given_up_for_the_next(
        self, client: httpx.AsyncClient, capabilities: FakeCapabilities
    ) -> None:
        capabilities.hanging = {"avatar:vertex"}
        answer = (await avatar(client, await portrait(client))).json()
        assert answer["engine"] == "bedrock"
        assert (await pixels_at(client, answer["image_url"]))[12, 16] == pytest.approx(AVATAR_COLOURS["bedrock"], abs=6)

    async def test_engines_that_are_all_late_are_504(
        self, client: httpx.AsyncClient, capabilities: FakeCapabilities
    ) -> None:
        capabilities.hanging = {f"avatar:{name}" for name in ENGINES}
        problem = assert_problem(await avatar(client, await portrait(client)), 504, "provider-timeout")
        assert [one["engine"] for one in problem["engines"]] == list(ENGINES)
        [entry] = await history(client)
        assert (entry["status"], entry["output_urls"]) == ("failed", [])


class TestAvatarsByDiffusers:
    @pytest.fixture
    def settings(self, settings: Settings) -> Settings:
        chosen = Avatars(
            engines=("diffusers", "local"), diffusion_pixels=64 * 64, diffusion_steps=12, engine_timeout_s=2
        )
        return settings.model_copy(update={"avatars": chosen})

    async def test_each_head_is_painted_over_and_the_rest_is_untouched(
        self, client: httpx.AsyncClient, capabilities: FakeCapabilities
    ) -> None:
        image = with_face(with_face(a_flat_image((400, 200)), 24, (60, 60), 40), 88, (300, 60), 40)
        answer = (await avatar(client, await portrait(client, image), seed=9)).json()
        assert (answer["engine"], len(answer["faces"])) == ("diffusers", 2)
        made = await pixels_at(client, answer["image_url"])
        for at in (80, 320):
            assert made[80, at] == pytest.approx((30, 200, 200), abs=8)
        assert made[150:, 180:220].reshape(-1, 3) == pytest.approx(np.tile((200, 120, 40), (2000, 1)), abs=6)
        first, second = capabilities.generated
        assert (first.prompt, first.negative_prompt) == ("a fox", "blurry")
        assert (first.steps, first.denoising_strength, first.masked_content) == (12, 0.8, "original")
        assert first.width * first.height == 64 * 64
        assert (first.seed, second.seed) == (9, 10)
        assert first.mask is not None
        assert first.mask.max() == 255

    async def test_missing_weights_go_on_to_the_next_engine(
        self, client: httpx.AsyncClient, capabilities: FakeCapabilities
    ) -> None:
        capabilities.failures = {"diffusers": WeightsMissing("The checkpoint is missing.")}
        assert (await avatar(client, await portrait(client))).json()["engine"] == "local"

    async def test_an_engine_that_hangs_is_told_to_stop_before_the_next_is_asked(
        self, client: httpx.AsyncClient, capabilities: FakeCapabilities
    ) -> None:
        capabilities.hanging = {"diffusers"}
        assert (await avatar(client, await portrait(client))).json()["engine"] == "local"
        assert capabilities.closed == 1


async def test_a_repeated_request_with_an_idempotency_key_makes_one_picture(
    client: httpx.AsyncClient, capabilities: FakeCapabilities
) -> None:
    data, key = encoded(a_portrait(), "PNG"), {"Idempotency-Key": "k"}
    first, again = [await send(client, data, headers=key) for _ in range(2)]
    assert (first.status_code, first.json()) == (200, again.json())
    assert again.headers["idempotent-replayed"] == "true"
    assert len(capabilities.avatars) == len(await history(client)) == 1
    assert_problem(await send(client, data, animal="cat", headers=key), 422)


async def test_respond_async_gives_a_job_whose_result_is_the_answer(client: httpx.AsyncClient) -> None:
    later = await send(client, encoded(a_portrait(), "PNG"), headers={"Prefer": "respond-async"})
    assert later.status_code == 202
    location = later.headers["location"]
    await client.get(f"{location}/events")
    job = (await client.get(location)).json()
    assert (job["kind"], job["status"], job["progress"]) == ("avatar", "succeeded", 1)
    [entry] = await history(client)
    assert (job["result"]["history_id"], entry["job"]) == (entry["id"], location)


async def test_a_cancelled_avatar_stops_and_says_so_in_the_history(
    client: httpx.AsyncClient, capabilities: FakeCapabilities
) -> None:
    capabilities.hanging = {"avatar:vertex"}
    job = (await avatar(client, await portrait(client), headers={"Prefer": "respond-async"})).json()
    async with asyncio.timeout(10):
        await capabilities.hangs.wait()
        await client.delete(f"/api/v1/jobs/{job['id']}")
        await client.get(f"/api/v1/jobs/{job['id']}/events")  # until it has ended
    [entry] = await history(client)
    assert (entry["status"], entry["output_urls"], entry["problem"]) == ("cancelled", [], None)


async def test_hanging_up_stops_the_work_of_a_picture_that_was_sent_along(
    live_url: str, capabilities: FakeCapabilities
) -> None:
    capabilities.hanging = {"avatar:vertex"}
    async with httpx.AsyncClient(base_url=live_url, timeout=20) as client:
        asking = asyncio.create_task(send(client, encoded(a_portrait(), "PNG")))
        await asyncio.wait_for(capabilities.hangs.wait(), 10)
        asking.cancel()

        async def is_cancelled() -> bool:
            return [entry["status"] for entry in await history(client)] == ["cancelled"]

        await until(is_cancelled)


async def test_the_history_of_successes_and_failures_reads_back_complete(
    client: httpx.AsyncClient, capabilities: FakeCapabilities
) -> None:
    ref, alone = await portrait(client), await portrait(client, a_flat_image())
    await avatar(client, ref, seed=1)
    await avatar(client, alone, seed=2)
    capabilities.failures = {"avatar:vertex": ProviderUnavailable("Away.")}
    await avatar(client, ref, seed=3, mode="overlay")
    capabilities.failures = {"avatar:vertex": ProviderRejected("No.")}
    await avatar(client, ref, seed=4)
    capabilities.failures = {}
    await send(client, b"no picture", seed="5")
    await avatar(client, "img_01m80cw92wytpj416mh8yyxn5m", seed=6)
    entries = (await history(client))[::-1]
    told = [(one["parameters"]["seed"], one["status"], one["engine"]) for one in entries]
    assert told == [
        (1, "succeeded", "vertex"),
        (2, "failed", None),
        (3, "succeeded", "bedrock"),
        (4, "failed", None),
        (5, "failed", None),
        (6, "failed", None),
    ]
    slugs = [one["problem"] and one["problem"]["type"].removeprefix("/problems/") for one in entries]
    assert slugs == [None, "no-face", None, "provider-rejected", "unsupported-image", "bad-image"]
    assert [one["input"] for one in entries] == [ref, alone, ref, ref, None, "img_01m80cw92wytpj416mh8yyxn5m"]
    for one in entries:
        assert (one["kind"], one["user"], one["parameters"]["animal"]) == ("avatar", "usr_local", "fox")
        assert one["duration"] >= 0
        assert (one["output_url"] is None) == (one["status"] == "failed")
    assert entries[2]["parameters"] == {
        "animal": "fox",
        "mode": "overlay",
        "seed": 3,
        "prompt": "like a fox",
        "segmentation_engine": "local",
        "faces": [{"bbox": [8, 4, 24, 20], "score": 0.99}],
    }


@pytest.mark.parametrize(
    ("data", "status", "code"),
    [
        (encoded(an_image(), "PNG")[:200], 400, "corrupt"),
        (b"", 400, "empty"),
        (b"GIF89a", 400, "corrupt"),
        (b"hello", 415, "unsupported_type"),
        (b"\0" * (2**20 + 1), 413, "too_large"),
    ],
)
async def test_an_unusable_file_is_a_bad_image_and_a_failed_entry(
    client: httpx.AsyncClient, data: bytes, status: int, code: str
) -> None:
    problem = assert_problem(await send(client, data), status)
    assert problem["code"] == code
    [entry] = await history(client)
    assert (entry["status"], entry["problem"]["code"], entry["job"]) == ("failed", code, None)


async def test_exactly_one_file_is_taken(client: httpx.AsyncClient) -> None:
    good = ("a.png", encoded(a_portrait(), "PNG"))
    for files in ([("file", good), ("file", good)], [("picture", good)], [("file", (None, "text"))]):
        response = await client.post(URL, files=files, data={"animal": "fox"})
        problem = assert_problem(response, 422, "invalid-request")
        assert problem["errors"][0]["pointer"] == "/file"
    assert await history(client) == []


@pytest.mark.parametrize("fields", [{"mode": "hat"}, {"strength": "2"}, {"seed": "-1"}, {"seed": "x"}, {"hue": "red"}])
async def test_fields_of_a_form_that_make_no_sense_are_422(
    idle_client: httpx.AsyncClient, fields: dict[str, str]
) -> None:
    problem = assert_problem(await send(idle_client, encoded(a_portrait(), "PNG"), **fields), 422, "invalid-request")
    [name] = fields
    assert problem["errors"][0]["pointer"] == f"/{name}"


async def test_a_field_that_is_sent_twice_is_422(idle_client: httpx.AsyncClient) -> None:
    response = await send(idle_client, encoded(a_portrait(), "PNG"), animal=["fox", "cat"])
    assert_problem(response, 422, "invalid-request")


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"image_url": "x"},
        {"animal": "fox"},
        {"image_url": "x", "animal": "fox", "strength": 1.5},
        {"image_url": "x", "animal": "fox", "seed": 2**32},
        {"image_url": "x", "animal": "fox", "prompt": "a\0b"},
        {"image_url": "x", "animal": "fox", "hue": "red"},
    ],
)
async def test_a_request_that_makes_no_sense_is_422(idle_client: httpx.AsyncClient, body: dict[str, Any]) -> None:
    assert_problem(await idle_client.post(URL, json=body), 422, "invalid-request")


@pytest.mark.parametrize("body", [b"", b"{", b"[" * 100_000, b"\xff", b'{"image_url": ' + b"9" * 5000 + b"}"])
async def test_json_that_cannot_be_read_is_422(idle_client: httpx.AsyncClient, body: bytes) -> None:
    response = await idle_client.post(URL, content=body, headers={"Content-Type": "application/json"})
    assert_problem(response, 422, "invalid-request")


async def test_other_bodies_are_415(idle_client: httpx.AsyncClient) -> None:
    for url in (URL, TUTORIAL):
        assert_problem(await idle_client.post(url, data={"animal": "fox"}), 415, "unsupported-media-type")
    assert_problem(await idle_client.post(TUTORIAL, json={"animal": "fox"}), 415, "unsupported-media-type")


async def test_the_first_frame_of_an_animated_gif_is_used(client: httpx.AsyncClient) -> None:
    frames = [PillowImage.fromarray(image) for image in (a_portrait(), a_flat_image())]
    data = encoded(frames[0], "GIF", save_all=True, append_images=frames[1:])
    assert len((await send(client, data)).json()["faces"]) == 1


@pytest.mark.parametrize(
    ("ref", "code"),
    [
        ("http://169.254.169.254/latest/meta-data", "forbidden_address"),
        ("img_01m80cw92wytpj416mh8yyxn5m", "not_found"),
        ("file:///etc/passwd", "not_found"),
    ],
)
async def test_a_reference_that_cannot_be_read_is_a_bad_image(client: httpx.AsyncClient, ref: str, code: str) -> None:
    assert assert_problem(await avatar(client, ref), 400, "bad-image")["code"] == code


async def test_another_users_picture_is_not_found(client: httpx.AsyncClient, services: Services) -> None:
    async with services.database.transaction() as session:
        other = await users.add(session, "other", "other@example.org")
    stored = await services.pictures.store_result(other.id, a_portrait(), "theirs.jpg")
    assert assert_problem(await avatar(client, stored.id), 400, "bad-image")["code"] == "not_found"


@pytest.mark.parametrize("url", [TUTORIAL, TUTORIAL.rstrip("/")])
async def test_the_tutorials_spelling_answers_too(client: httpx.AsyncClient, url: str) -> None:
    response = await client.post(url, files={"file": ("anna.png", encoded(a_portrait(), "PNG"))})
    assert response.status_code == 200, response.text
    assert response.json()["animal"] == "cat"
    assert (await client.get(response.json()["image_url"])).status_code == 200
    named = await send(client, encoded(a_portrait(), "PNG"), url)
    assert named.json()["animal"] == "fox"


async def test_a_full_queue_is_429(idle_client: httpx.AsyncClient) -> None:
    ref, later = await portrait(idle_client), {"Prefer": "respond-async"}
    answers = [await avatar(idle_client, ref, headers=later) for _ in range(21)]
    assert [answer.status_code for answer in answers] == [202] * 20 + [429]


async def test_avatars_have_a_queue_apart_from_that_of_albums(idle_client: httpx.AsyncClient) -> None:
    ref, later = await portrait(idle_client), {"Prefer": "respond-async"}
    for _ in range(20):
        await idle_client.post("/api/v1/albums/tags", json={"images": [ref]}, headers=later)
    assert (await avatar(idle_client, ref, headers=later)).status_code == 202


async def test_metrics_count_what_engines_answered(
    client: httpx.AsyncClient, services: Services, capabilities: FakeCapabilities
) -> None:
    capabilities.failures = {"avatar:vertex": ProviderUnavailable("x")}
    await avatar(client, await portrait(client))
    told = services.metrics.render().decode()
    assert 'provider_calls_total{outcome="ok",provider="local",use="segmentation"} 1.0' in told
    assert 'provider_calls_total{outcome="unavailable",provider="vertex",use="avatar"} 1.0' in told
    assert 'provider_calls_total{outcome="ok",provider="bedrock",use="avatar"} 1.0' in told


class TestTwoUsers:
    @pytest.fixture
    def settings(self, settings: Settings) -> Settings:
        return with_keys(settings)

    async def test_what_one_has_made_does_not_exist_for_the_other(
        self, eva: Account, bob: Account, worker: JobRunner
    ) -> None:
        made = (await send(eva.client, encoded(a_portrait(), "PNG"))).json()
        cut = (await eva.client.post("/api/v1/segmentations", json={"image_url": made["image_url"]})).status_code
        assert cut == 422  # found, and without a face: it was painted over
        [entry] = await history(eva.client)
        for url in (made["image_url"], f"/api/v1/history/{made['history_id']}", entry["job"], entry["input"]):
            assert (await eva.client.get(url)).status_code == 200
            assert_problem(await bob.client.get(url), 404)
        assert await history(bob.client) == []
        assert assert_problem(await avatar(bob.client, made["image_url"]), 400)["code"] != "corrupt"

    async def test_a_request_without_a_key_is_refused_before_its_picture_is_read(
        self, nobody: httpx.AsyncClient, services: Services
    ) -> None:
        for url in (URL, TUTORIAL, "/api/v1/segmentations"):
            assert_problem(await send(nobody, b"no picture", url), 401)
