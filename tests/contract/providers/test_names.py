"""Providers by name: which class, what each says without a credential, and that none can cost money here."""

from __future__ import annotations

import sys
import threading
from base64 import b64encode
from typing import Any

import pytest
from pydantic import SecretStr

from configs.settings import Providers, Settings
from deployments.algorithms.images.decoding import decode
from deployments.contracts.arrays import Image
from deployments.errors import InvalidRequest, ProviderUnavailable
from deployments.providers import open_prompt_provider, open_style_provider, policy
from tests.contract.providers.test_gemini import REQUEST, STYLE
from tests.support.builders import an_image, encoded

pytestmark = pytest.mark.usefixtures("no_credentials")

STYLISTS = [
    ("sdwebui", "WebUiStylist", "no address (set DARKROOM_PROVIDERS__SDWEBUI_URL)", {"sdwebui_url": "http://gpu:1"}),
    (
        "gemini",
        "GeminiStylist",
        "no API key (set DARKROOM_PROVIDERS__GEMINI_API_KEY)",
        {"gemini_api_key": SecretStr("k")},
    ),
    ("vertex", "VertexStylist", "no project (set DARKROOM_PROVIDERS__VERTEX_PROJECT)", {"vertex_project": "p"}),
    (
        "bedrock",
        "BedrockStylist",
        "no region (set DARKROOM_PROVIDERS__BEDROCK_REGION)",
        {"bedrock_region": "us-west-2"},
    ),
]
PAID = ["gemini", "vertex", "bedrock"]


def with_providers(**providers: Any) -> Settings:
    return Settings(providers=Providers(**providers))


@pytest.fixture
def _aws(monkeypatch: pytest.MonkeyPatch, no_credentials: None) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "test")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "test")


@pytest.mark.parametrize(("name", "cls", "message", "enough"), STYLISTS)
@pytest.mark.usefixtures("_aws")
async def test_a_style_engine_has_its_class_and_says_what_it_lacks(
    name: str, cls: str, message: str, enough: dict[str, Any]
) -> None:
    opened = open_style_provider(name, with_providers(**enough))
    assert type(opened).__name__ == cls
    await opened.aclose()
    with pytest.raises(ProviderUnavailable) as raised:
        open_style_provider(name, with_providers())
    assert message in raised.value.message
    assert "`opencv` works without one" in raised.value.message


async def test_the_prompter_has_its_class_and_says_what_it_lacks() -> None:
    opened = open_prompt_provider("gemini", with_providers(gemini_api_key=SecretStr("k")))
    assert type(opened).__name__ == "GeminiPrompter"
    await opened.aclose()
    with pytest.raises(ProviderUnavailable) as raised:
        open_prompt_provider("gemini", with_providers())
    assert "set DARKROOM_PROVIDERS__GEMINI_API_KEY" in raised.value.message
    assert "`template` works without one" in raised.value.message


@pytest.mark.parametrize("variable", ["GOOGLE_API_KEY", "GEMINI_API_KEY"])
async def test_the_key_may_stand_in_the_sdks_own_variable(variable: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(variable, "k")
    await open_style_provider("gemini", with_providers()).aclose()


def test_bedrock_without_credentials_says_so() -> None:
    with pytest.raises(ProviderUnavailable, match=r"AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY.*`opencv`"):
        open_style_provider("bedrock", with_providers(bedrock_region="us-west-2"))


def test_an_unknown_name_is_an_invalid_request() -> None:
    with pytest.raises(InvalidRequest):
        open_style_provider("nobody", Settings())
    with pytest.raises(InvalidRequest):
        open_prompt_provider("nobody", Settings())


@pytest.mark.parametrize("name", PAID)
@pytest.mark.usefixtures("_aws")
async def test_no_call_that_costs_money_is_possible_in_a_test(name: str) -> None:
    """Not even for one that forgets the setting: its default would allow it."""
    enough = {key: value for _, _, _, settings in STYLISTS for key, value in settings.items()}
    opened = open_style_provider(name, Settings(providers=Providers(**enough, allow_paid_calls=True)))
    with pytest.raises(ProviderUnavailable, match="switched off"):
        await opened.stylize(REQUEST, STYLE)
    await opened.aclose()


async def test_the_paying_prompter_is_switched_off_too() -> None:
    prompter = open_prompt_provider("gemini", with_providers(gemini_api_key=SecretStr("k")))
    with pytest.raises(ProviderUnavailable, match="switched off"):
        await prompter.write_prompt(REQUEST.image, STYLE)
    await prompter.aclose()


def test_the_setting_alone_switches_paid_calls_off(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(policy, "paid_calls_possible", True)
    policy.check_paid_call(Providers(), "V", None)
    with pytest.raises(ProviderUnavailable):
        policy.check_paid_call(Providers(allow_paid_calls=False), "V", None)


def test_processes_that_tests_start_have_the_setting_off() -> None:
    assert not Settings().providers.allow_paid_calls


@pytest.mark.parametrize(
    ("url", "loopback"),
    [
        ("http://127.0.0.1:9", True),
        ("http://localhost:9", True),
        ("http://[::1]:9", True),
        ("https://generativelanguage.googleapis.com", False),
        ("http://127.0.0.1.example.org", False),
        ("http://localhost.example.org", False),
        ("http://127.0.0.1@example.org", False),
        ("", False),
    ],
)
def test_only_a_server_on_this_machine_costs_nothing(url: str, loopback: bool) -> None:
    assert policy.is_loopback(url) is loopback


@pytest.mark.parametrize(
    ("name", "package"),
    [("gemini", "google.auth.exceptions"), ("vertex", "google.auth.exceptions"), ("bedrock", "boto3")],
)
def test_a_missing_sdk_names_the_extra(name: str, package: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, package, None)  # as if it were not installed
    enough = {key: value for _, _, _, settings in STYLISTS for key, value in settings.items()}
    with pytest.raises(ProviderUnavailable, match=r"darkroom\[cloud\]"):
        open_style_provider(name, with_providers(**enough))


async def test_pictures_in_answers_are_decoded_beside_the_event_loop(monkeypatch: pytest.MonkeyPatch) -> None:
    threads: list[int] = []

    def watched(*arguments: Any) -> Image:
        threads.append(threading.get_ident())
        return decode(*arguments)

    monkeypatch.setattr(policy, "decode", watched)
    image = await policy.picture_of(b64encode(encoded(an_image())).decode(), "A vendor")
    assert image.ndim == 3
    assert threads != [threading.get_ident()]
    with pytest.raises(ProviderUnavailable):
        await policy.picture_of("no base64", "A vendor")
