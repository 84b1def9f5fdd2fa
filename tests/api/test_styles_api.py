"""Styles over HTTP: engines in order, and a history with the outcome of each request."""

from __future__ import annotations

import asyncio
import io
from collections.abc import Mapping
from typing import Any

import httpx
import numpy as np
import pytest
from PIL import Image as PillowImage

from configs.settings import Settings, Styles
from configs.styles import Style, load_styles
from deployments.contracts.diffusion import Lora
from deployments.errors import CapabilityFailed, Overloaded, ProviderRejected, ProviderUnavailable, WeightsMissing
from deployments.stylization import StylizingDeployment
from serve_app.services.container import Services
from tests.api.conftest import BASE, assert_problem, upload
from tests.api.sdapi.conftest import until
from tests.support.builders import a_photo, an_image, encoded, encoded_turned
from tests.support.fake_generation import COLOURS
from tests.support.fakes import FakeCapabilities

ENGINES = ("gemini", "bedrock", "opencv")


@pytest.fixture
def settings(settings: Settings) -> Settings:
    styles = Styles(engines=ENGINES, prompter="gemini", max_px=256, engine_timeout_s=10)
    return settings.model_copy(update={"styles": styles})


async def photo(client: httpx.AsyncClient, size: tuple[int, int] = (96, 64)) -> str:
    [url] = await upload(client, encoded(an_image(size), "PNG"))
    return url


async def style(client: httpx.AsyncClient, ref: str, **more: Any) -> httpx.Response:
    headers = more.pop("headers", {})
    body = {"image_url": ref, "style_name": "ink"} | more
    return await client.post("/api/v1/style", json=body, headers=headers)


async def history(client: httpx.AsyncClient, **query: Any) -> list[dict[str, Any]]:
    response = await client.get("/api/v1/history", params=query)
    assert response.status_code == 200, response.text
    return list(response.json()["items"])


async def colour_of(client: httpx.AsyncClient, url: str) -> tuple[int, ...]:
    """The mean colour of a stored picture, to the nearest ten."""
    file = await client.get(url)
    assert file.status_code == 200
    pixels = np.asarray(PillowImage.open(io.BytesIO(file.content)).convert("RGB"))
    return tuple(int(value) for value in pixels.mean((0, 1)).round(-1))


async def test_a_photograph_comes_back_in_the_style_at_an_absolute_url(
    client: httpx.AsyncClient, capabilities: FakeCapabilities
) -> None:
    ref = await photo(client)
    response = await style(client, ref, seed=7)
    assert response.status_code == 200
    answer = response.json()
    assert answer["image_url"].startswith(f"{BASE}/api/v1/files/img_")
    assert answer["image_url"].endswith(".jpg")
    assert {key: answer[key] for key in ("style_name", "engine", "prompt", "seed")} == {
        "style_name": "ink",
        "engine": "gemini",
        "prompt": "a picture of 96 by 64 in ink",
        "seed": 7,
    }
    assert answer["history_id"].startswith("gen_")
    assert await colour_of(client, answer["image_url"]) == COLOURS["gemini"]
    assert capabilities.asked == ["prompter", "gemini"]


async def test_the_list_names_every_style_and_its_engines_in_order(client: httpx.AsyncClient) -> None:
    listed = (await client.get("/api/v1/styles")).json()["styles"]
    assert [entry["name"] for entry in listed] == ["bare", "ink"]
    assert listed[1]["engines"] == list(ENGINES)
    assert listed[1]["description"] == "As if drawn with ink."


async def test_what_the_client_asks_for_reaches_the_engine(
    client: httpx.AsyncClient, capabilities: FakeCapabilities
) -> None:
    asked = {"prompt": "a fox", "negative_prompt": "dogs", "strength": 0.3, "seed": 5, "engine": "bedrock"}
    response = await style(client, await photo(client), **asked)
    assert response.json()["prompt"] == "a fox"
    assert capabilities.asked == ["bedrock"]
    [request] = capabilities.styled
    got = (request.style, request.prompt, request.negative_prompt, request.strength, request.seed)
    assert got == ("ink", "a fox", "dogs", 0.3, 5)


async def test_what_the_client_leaves_out_is_the_styles_own(
    client: httpx.AsyncClient, capabilities: FakeCapabilities
) -> None:
    ref = await photo(client)
    seeds = {(await style(client, ref)).json()["seed"] for _ in range(2)}
    assert len(seeds) == 2
    assert (await style(client, ref, engine="opencv")).status_code == 200
    vendor, _, local = capabilities.styled
    assert (vendor.strength, vendor.negative_prompt) == (0.6, "photograph")
    assert local.strength == 0.7


async def test_engines_see_the_picture_upright_and_small(
    client: httpx.AsyncClient, capabilities: FakeCapabilities
) -> None:
    [ref] = await upload(client, encoded_turned(an_image((600, 300)), 6))
    await style(client, ref)
    assert capabilities.styled[0].image.shape == (128, 256, 3)


async def test_an_unknown_style_is_404_with_the_known_ones(client: httpx.AsyncClient) -> None:
    problem = assert_problem(await style(client, await photo(client), style_name="nope"), 404, "not-found")
    assert problem["styles"] == ["bare", "ink"]
    assert await history(client) == []


async def test_an_engine_that_is_not_configured_is_422_with_those_that_are(client: httpx.AsyncClient) -> None:
    response = await style(client, await photo(client), engine="vertex")
    assert assert_problem(response, 422, "invalid-request")["engines"] == list(ENGINES)


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"image_url": "x"},
        {"image_url": "", "style_name": "ink"},
        {"image_url": "x", "style_name": "ink", "strength": 1.5},
        {"image_url": "x", "style_name": "ink", "seed": -1},
        {"image_url": "x", "style_name": "ink", "seed": 2**32},
        {"image_url": "x", "style_name": "ink", "prompt": "a\0b"},
        {"image_url": "x", "style_name": "ink", "colour": "red"},
    ],
)
async def test_a_request_that_makes_no_sense_is_422(client: httpx.AsyncClient, body: dict[str, Any]) -> None:
    assert_problem(await client.post("/api/v1/style", json=body), 422, "invalid-request")


@pytest.mark.parametrize(
    ("ref", "code"),
    [
        ("http://10.0.0.1/a.jpg", "forbidden_address"),
        ("http://169.254.169.254/latest/meta-data", "forbidden_address"),
        ("img_01m80cw92wytpj416mh8yyxn5m", "not_found"),
        ("file:///etc/passwd", "not_found"),
        ("s3://bucket/key", "forbidden_address"),
    ],
)
async def test_a_reference_that_cannot_be_read_is_a_bad_image_and_a_failed_entry(
    client: httpx.AsyncClient, ref: str, code: str
) -> None:
    assert assert_problem(await style(client, ref), 400, "bad-image")["code"] == code
    [entry] = await history(client)
    assert (entry["status"], entry["input"], entry["problem"]["code"]) == ("failed", ref, code)


async def test_a_file_behind_a_url_that_is_no_picture_is_refused(client: httpx.AsyncClient, live_url: str) -> None:
    response = await style(client, f"{live_url}/healthz")
    assert assert_problem(response, 415, "unsupported-image")["code"] == "unsupported_type"


async def test_a_picture_behind_a_url_is_fetched_and_becomes_one_of_the_users(
    client: httpx.AsyncClient, live_url: str, capabilities: FakeCapabilities
) -> None:
    made = (await style(client, await photo(client))).json()["image_url"]
    foreign = f"{live_url}/api/v1/f%69les/{made.rsplit('/', 1)[1]}"  # not spelled as one of ours
    response = await style(client, foreign)
    assert response.status_code == 200, response.text
    assert capabilities.styled[1].image.shape == (64, 96, 3)


async def test_a_technical_failure_goes_on_to_the_next_engine_and_the_history_names_that_one(
    client: httpx.AsyncClient, capabilities: FakeCapabilities
) -> None:
    capabilities.failures = {"gemini": ProviderUnavailable("The quota is used up."), "bedrock": Overloaded("Full.")}
    answer = (await style(client, await photo(client))).json()
    assert capabilities.asked == ["prompter", "gemini", "bedrock", "opencv"]
    assert answer["engine"] == "opencv"
    assert await colour_of(client, answer["image_url"]) == COLOURS["opencv"]
    entry = (await client.get(f"/api/v1/history/{answer['history_id']}")).json()
    assert (entry["status"], entry["engine"], entry["output_url"]) == ("succeeded", "opencv", answer["image_url"])


async def test_a_logical_failure_stops(client: httpx.AsyncClient, capabilities: FakeCapabilities) -> None:
    capabilities.failures = {"gemini": ProviderRejected("The safety filter refused the picture.")}
    problem = assert_problem(await style(client, await photo(client)), 422, "provider-rejected")
    assert problem["detail"] == "The safety filter refused the picture."
    assert capabilities.asked == ["prompter", "gemini"]
    [entry] = await history(client)
    assert (entry["status"], entry["engine"], entry["output_url"]) == ("failed", None, None)
    assert entry["problem"]["type"] == "/problems/provider-rejected"


async def test_when_all_engines_fail_the_problem_says_what_each_said(
    client: httpx.AsyncClient, capabilities: FakeCapabilities
) -> None:
    capabilities.failures = {
        "gemini": ProviderUnavailable("No quota."),
        "bedrock": WeightsMissing("No weights."),
        "opencv": CapabilityFailed("Broken."),
    }
    problem = assert_problem(await style(client, await photo(client)), 503, "provider-unavailable")
    said = [(one["engine"], one["type"], one["detail"]) for one in problem["engines"]]
    assert said == [
        ("gemini", "/problems/provider-unavailable", "No quota."),
        ("bedrock", "/problems/weights-missing", "No weights."),
        ("opencv", "/problems/unavailable", "Broken."),
    ]
    [entry] = await history(client)
    assert entry["problem"]["engines"] == problem["engines"]


async def test_readiness_draws_a_small_picture_and_asks_no_vendor(
    client: httpx.AsyncClient, capabilities: FakeCapabilities
) -> None:
    checks = (await client.get("/readyz")).json()["checks"]
    assert checks["styles"]["ok"] is checks["segmentation"]["ok"] is checks["avatars"]["ok"] is True
    assert sorted(capabilities.asked) == ["avatar:local", "opencv", "segment:local"]


class TestStylesWithShortDeadlines:
    @pytest.fixture
    def settings(self, settings: Settings) -> Settings:
        return settings.model_copy(update={"styles": Styles(engines=ENGINES, engine_timeout_s=0.2)})

    async def test_an_engine_that_hangs_is_given_up_for_the_next(
        self, client: httpx.AsyncClient, capabilities: FakeCapabilities
    ) -> None:
        capabilities.hanging = {"gemini"}
        assert (await style(client, await photo(client))).json()["engine"] == "bedrock"

    async def test_engines_that_all_hang_are_504(
        self, client: httpx.AsyncClient, capabilities: FakeCapabilities
    ) -> None:
        capabilities.hanging = set(ENGINES)
        problem = assert_problem(await style(client, await photo(client)), 504, "provider-timeout")
        assert [one["engine"] for one in problem["engines"]] == list(ENGINES)


class TestStylesByDiffusers:
    @pytest.fixture
    def settings(self, settings: Settings) -> Settings:
        styles = Styles(engines=("diffusers", "opencv"), engine_timeout_s=0.5, diffusion_pixels=64 * 96)
        return settings.model_copy(update={"styles": styles})

    async def test_the_recipe_becomes_a_request_of_the_diffusion_engine(
        self, client: httpx.AsyncClient, capabilities: FakeCapabilities
    ) -> None:
        answer = (await style(client, await photo(client, (300, 200)), seed=9)).json()
        assert (answer["engine"], answer.get("warnings")) == ("diffusers", None)
        assert await colour_of(client, answer["image_url"]) == COLOURS["diffusers"]
        [request] = capabilities.generated
        assert (request.width, request.height) == (96, 64)
        assert request.init_image is not None
        assert request.init_image.shape == (64, 96, 3)
        assert (request.steps, request.denoising_strength, request.seed) == (12, 0.6, 9)
        assert request.loras == (Lora("ink", 0.8, 0.8),)
        [control] = request.controls
        assert (control.model, control.weight, control.mode) == ("canny [12345678]", 0.9, "prompt")
        assert np.array_equal(control.image, 255 - request.init_image)

    async def test_parts_of_a_recipe_that_are_not_installed_are_left_out_with_a_warning(
        self, client: httpx.AsyncClient, capabilities: FakeCapabilities
    ) -> None:
        answer = (await style(client, await photo(client), style_name="bare")).json()
        assert answer["warnings"] == [
            "Without LoRA nowhere: it is not installed.",
            "Without ControlNet depth: it is not installed.",
        ]
        [request] = capabilities.generated
        assert (request.loras, request.controls) == ((), ())

    async def test_an_engine_that_hangs_is_told_to_stop_before_the_next_is_asked(
        self, client: httpx.AsyncClient, capabilities: FakeCapabilities
    ) -> None:
        capabilities.hanging = {"diffusers"}
        assert (await style(client, await photo(client))).json()["engine"] == "opencv"
        assert capabilities.closed == 1

    async def test_missing_weights_go_on_to_the_next_engine(
        self, client: httpx.AsyncClient, capabilities: FakeCapabilities
    ) -> None:
        capabilities.failures = {"diffusers": WeightsMissing("The checkpoint is missing.")}
        assert (await style(client, await photo(client))).json()["engine"] == "opencv"


async def test_a_prompter_that_cannot_be_had_leaves_the_styles_own_prompt_and_a_warning(
    client: httpx.AsyncClient, capabilities: FakeCapabilities
) -> None:
    capabilities.failures = {"prompter": ProviderUnavailable("Gemini: the quota is used up.")}
    answer = (await style(client, await photo(client))).json()
    assert answer["prompt"] == "ink drawing of the scene of the photograph, fine lines"
    assert answer["warnings"] == ["The style's own prompt was used. Gemini: the quota is used up."]
    entry = (await client.get(f"/api/v1/history/{answer['history_id']}")).json()
    assert entry["parameters"]["warnings"] == answer["warnings"]


class TestTheTemplatePrompter:
    """The default: no deployment is asked for a prompt, no image travels for one."""

    @pytest.fixture
    def settings(self, settings: Settings) -> Settings:
        return settings.model_copy(update={"styles": Styles(engines=ENGINES)})

    async def test_the_template_prompter_fills_the_styles_prompt_without_a_call(
        self, client: httpx.AsyncClient, services: Services, capabilities: FakeCapabilities
    ) -> None:
        answer = (await style(client, await photo(client))).json()
        assert answer["prompt"] == "ink drawing of the scene of the photograph, fine lines"
        assert "warnings" not in answer
        assert capabilities.asked == ["gemini"]
        assert 'provider_calls_total{outcome="ok",provider="template",use="prompt"} 1.0' in (
            services.metrics.render().decode()
        )

    async def test_a_clients_own_prompt_is_used_as_it_is(
        self, client: httpx.AsyncClient, capabilities: FakeCapabilities
    ) -> None:
        assert (await style(client, await photo(client), prompt="a fox")).json()["prompt"] == "a fox"
        assert capabilities.asked == ["gemini"]


async def test_a_picture_that_the_prompter_refuses_goes_to_no_engine(
    client: httpx.AsyncClient, capabilities: FakeCapabilities
) -> None:
    capabilities.failures = {"prompter": ProviderRejected("Refused.")}
    assert_problem(await style(client, await photo(client)), 422, "provider-rejected")
    assert capabilities.asked == ["prompter"]


async def test_a_cancelled_style_stops_and_says_so_in_the_history(
    client: httpx.AsyncClient, capabilities: FakeCapabilities
) -> None:
    capabilities.hanging = {"gemini"}
    job = (await style(client, await photo(client), headers={"Prefer": "respond-async"})).json()
    async with asyncio.timeout(10):
        await capabilities.hangs.wait()
        assert [entry["status"] for entry in await history(client)] == ["started"]
        await client.delete(f"/api/v1/jobs/{job['id']}")
        await client.get(f"/api/v1/jobs/{job['id']}/events")  # until it has ended
    [entry] = await history(client)
    assert (entry["status"], entry["output_urls"], entry["problem"]) == ("cancelled", [], None)
    assert capabilities.asked == ["prompter", "gemini"]


async def test_a_style_that_is_cancelled_before_any_worker_has_it_is_in_the_history(
    idle_client: httpx.AsyncClient,
) -> None:
    ref = await photo(idle_client)
    job = (await style(idle_client, ref, headers={"Prefer": "respond-async"})).json()
    assert [entry["status"] for entry in await history(idle_client)] == ["started"]
    await idle_client.delete(f"/api/v1/jobs/{job['id']}")
    [entry] = await history(idle_client)
    assert (entry["status"], entry["input"]) == ("cancelled", ref)


async def until_cancelled(client: httpx.AsyncClient, jobs: int) -> None:
    async def ended() -> bool:
        return [entry["status"] for entry in await history(client)] == ["cancelled"] * jobs

    await until(ended)


async def test_hanging_up_stops_the_work(live_url: str, capabilities: FakeCapabilities) -> None:
    capabilities.hanging = {"gemini"}
    async with httpx.AsyncClient(base_url=live_url, timeout=20) as client:
        asking = asyncio.create_task(style(client, await photo(client)))
        await asyncio.wait_for(capabilities.hangs.wait(), 10)
        asking.cancel()
        await until_cancelled(client, 1)


async def test_a_request_that_is_repeated_after_hanging_up_does_not_run_twice(
    client: httpx.AsyncClient, capabilities: FakeCapabilities
) -> None:
    capabilities.hanging = {"gemini"}
    ref = await photo(client)
    for _ in range(2):
        capabilities.hangs.clear()
        asking = asyncio.create_task(style(client, ref, headers={"Idempotency-Key": "k"}))
        await asyncio.wait_for(capabilities.hangs.wait(), 10)
        asking.cancel()
        await asyncio.wait({asking})
    await until_cancelled(client, 2)


async def test_respond_async_gives_a_job_whose_result_is_the_answer(client: httpx.AsyncClient) -> None:
    later = await style(client, await photo(client), seed=3, headers={"Prefer": "respond-async"})
    assert later.status_code == 202
    location = later.headers["location"]
    await client.get(f"{location}/events")
    job = (await client.get(location)).json()
    assert (job["kind"], job["status"], job["progress"]) == ("style", "succeeded", 1)
    [entry] = await history(client)
    assert job["result"]["history_id"] == entry["id"]
    assert job["result"]["image_url"] == entry["output_url"]
    assert entry["job"] == location


async def test_a_repeated_request_with_an_idempotency_key_makes_one_picture(
    client: httpx.AsyncClient, capabilities: FakeCapabilities
) -> None:
    ref = await photo(client)
    first, again = [await style(client, ref, headers={"Idempotency-Key": "k"}) for _ in range(2)]
    assert first.json() == again.json()
    assert len(capabilities.styled) == 1
    assert len(await history(client)) == 1


async def test_a_full_queue_is_429(idle_client: httpx.AsyncClient) -> None:
    ref, asked = await photo(idle_client), {"headers": {"Prefer": "respond-async"}}
    answers = [await style(idle_client, ref, **asked) for _ in range(21)]
    assert [answer.status_code for answer in answers] == [202] * 20 + [429]
    assert int(answers[-1].headers["retry-after"]) > 0


async def test_the_history_of_successes_and_failures_reads_back_complete_newest_first(
    client: httpx.AsyncClient, capabilities: FakeCapabilities
) -> None:
    ref = await photo(client)
    expected = []
    for number in range(7):
        capabilities.failures = {"gemini": ProviderRejected(f"No {number}.")} if number % 3 == 1 else {}
        await style(client, ref, seed=number)
        expected.append((number, "failed" if number % 3 == 1 else "succeeded"))
    seen: list[dict[str, Any]] = []
    cursor: str | None = None
    while True:
        page = (
            await client.get("/api/v1/history", params={"limit": 3} | ({"cursor": cursor} if cursor else {}))
        ).json()
        seen += page["items"]
        if (cursor := page["next_cursor"]) is None:
            break
    assert [(entry["parameters"]["seed"], entry["status"]) for entry in seen] == expected[::-1]
    for entry in seen:
        assert (entry["kind"], entry["input"], entry["user"]) == ("style", ref, "usr_local")
        assert entry["duration"] >= 0
        assert entry["parameters"]["prompt"] == "a picture of 96 by 64 in ink"
        assert (entry["problem"] is None) == (entry["status"] == "succeeded") == (entry["output_url"] is not None)


async def test_the_history_is_filtered_by_kind(client: httpx.AsyncClient) -> None:
    await style(client, await photo(client))
    assert len(await history(client, kind="style")) == 1
    assert await history(client, kind="avatar") == []


@pytest.mark.parametrize("query", [{"cursor": "x"}, {"cursor": ""}, {"kind": "x"}, {"limit": "0"}, {"limit": "x"}])
async def test_a_query_of_the_history_that_makes_no_sense_is_422(
    client: httpx.AsyncClient, query: dict[str, str]
) -> None:
    assert_problem(await client.get("/api/v1/history", params=query), 422, "invalid-request")


async def test_an_entry_that_is_not_there_is_404(client: httpx.AsyncClient) -> None:
    assert_problem(await client.get("/api/v1/history/gen_01m80cw92wytpj416mh8yyxn5m"), 404, "not-found")


async def test_a_deleted_picture_leaves_its_history_without_an_address(client: httpx.AsyncClient) -> None:
    answer = (await style(client, await photo(client))).json()
    await client.delete("/api/v1/images/" + answer["image_url"].rsplit("/", 1)[1].removesuffix(".jpg"))
    [entry] = await history(client)
    assert (entry["status"], entry["output_url"], entry["output_urls"]) == ("succeeded", None, [])


async def test_metrics_count_what_engines_answered(
    client: httpx.AsyncClient, services: Services, capabilities: FakeCapabilities
) -> None:
    capabilities.failures = {"gemini": ProviderUnavailable("x")}
    await style(client, await photo(client))
    told = services.metrics.render().decode()
    assert 'provider_calls_total{outcome="unavailable",provider="gemini",use="style"} 1.0' in told
    assert 'provider_calls_total{outcome="ok",provider="bedrock",use="style"} 1.0' in told
    assert 'provider_calls_total{outcome="ok",provider="gemini",use="prompt"} 1.0' in told


class TestTheLocalEngine:
    """The real engine and styles, and the template prompter; only the album's capabilities are fakes."""

    @pytest.fixture
    def settings(self, settings: Settings) -> Settings:
        return settings.model_copy(update={"styles": Styles()})

    @pytest.fixture
    def styles(self) -> Mapping[str, Style]:
        return load_styles()

    @pytest.fixture
    def capabilities(self, settings: Settings) -> FakeCapabilities:
        class WithRealStyles(FakeCapabilities):
            def __init__(self) -> None:
                super().__init__()
                self.stylize = StylizingDeployment(settings).stylize  # type: ignore[method-assign]

        return WithRealStyles()

    async def test_a_photograph_is_drawn_in_the_style_the_same_way_for_the_same_seed(
        self, client: httpx.AsyncClient
    ) -> None:
        [ref] = await upload(client, encoded(a_photo("astronaut", 128), "PNG"))
        listed = (await client.get("/api/v1/styles")).json()["styles"]
        assert len(listed) >= 10
        assert all(entry["engines"] == ["opencv"] for entry in listed)
        made = []
        for name in ("pencil", "pixel-art", "pop-art"):
            answer = (await style(client, ref, style_name=name, seed=1)).json()
            assert (answer["engine"], answer["style_name"]) == ("opencv", name)
            made.append((await client.get(answer["image_url"])).content)
        assert len(set(made)) == 3
        again = (await style(client, ref, style_name="pencil", seed=1)).json()
        assert (await client.get(again["image_url"])).content == made[0]

    async def test_a_style_that_is_not_there_is_404_with_all_that_are(self, client: httpx.AsyncClient) -> None:
        problem = assert_problem(await style(client, await photo(client), style_name="nope"), 404, "not-found")
        assert {"watercolor", "oil", "pencil", "cartoon", "pop-art", "pixel-art", "anime"} <= set(problem["styles"])
