"""The deployments of styles and prompts, over the real local engine and the real styles."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
from pydantic import SecretStr

from configs.settings import Providers, Settings, Styles
from configs.styles import load_styles
from deployments.algorithms.styles.prompt import UNKNOWN_SUBJECT
from deployments.contracts.styles import StyleTask
from deployments.errors import InvalidRequest, ProviderUnavailable
from deployments.prompting import PromptingDeployment
from deployments.stylization import StylizingDeployment
from tests.support.builders import a_photo, an_image
from tests.support.vendor_server import VendorServer

STYLE_NAMES = list(load_styles())
PHOTO = a_photo("astronaut", 160)


@pytest.fixture(scope="module")
def stylizing() -> StylizingDeployment:
    return StylizingDeployment(Settings())


@pytest.mark.parametrize("name", STYLE_NAMES)
async def test_every_style_is_drawn_without_weights_in_the_size_of_the_picture(
    stylizing: StylizingDeployment, name: str
) -> None:
    request = StyleTask(PHOTO, name, prompt="", strength=load_styles()[name].local.strength, seed=3)
    made = (await stylizing.stylize("opencv", request)).image
    assert (made.shape, made.dtype) == (PHOTO.shape, np.uint8)
    assert np.abs(made.astype(int) - PHOTO).mean() > 3
    assert np.array_equal(made, (await stylizing.stylize("opencv", request)).image)


async def test_the_deployment_is_healthy_without_asking_a_vendor(stylizing: StylizingDeployment) -> None:
    await stylizing.check_health()


async def test_an_unknown_style_or_engine_is_an_invalid_request(stylizing: StylizingDeployment) -> None:
    with pytest.raises(InvalidRequest):
        await stylizing.stylize("opencv", StyleTask(PHOTO, "nope", ""))
    with pytest.raises(InvalidRequest):
        await stylizing.stylize("nobody", StyleTask(PHOTO, STYLE_NAMES[0], ""))


async def test_a_vendor_that_lacks_its_credential_says_so_when_it_is_asked(no_credentials: None) -> None:
    with pytest.raises(ProviderUnavailable, match="GEMINI_API_KEY"):
        await StylizingDeployment(Settings()).stylize("gemini", StyleTask(PHOTO, STYLE_NAMES[0], ""))


async def test_a_vendor_is_opened_once_and_asked_by_its_name(vendor: VendorServer) -> None:
    stylizing = StylizingDeployment(Settings(providers=Providers(sdwebui_url=vendor.url)))
    vendor.always(500)
    for _ in range(2):
        with pytest.raises(ProviderUnavailable):
            await stylizing.stylize("sdwebui", StyleTask(an_image((32, 32)), STYLE_NAMES[0], ""))
    assert vendor.requests
    await stylizing.aclose()


@pytest.mark.parametrize("name", STYLE_NAMES)
async def test_the_template_prompter_fills_every_styles_prompt(name: str) -> None:
    prompt = await PromptingDeployment(Settings()).write_prompt(PHOTO, name)
    assert UNKNOWN_SUBJECT in prompt
    assert "{" not in prompt


async def test_the_gemini_prompter_is_the_one_that_the_settings_name(vendor: VendorServer) -> None:
    answer = {"candidates": [{"content": {"role": "model", "parts": [{"text": "a woman in orange"}]}}]}
    vendor.always(json=answer)
    providers = Providers(gemini_api_key=SecretStr("k"), gemini_base_url=vendor.url)
    prompting = PromptingDeployment(Settings(providers=providers, styles=Styles(prompter="gemini")))
    await prompting.check_health()
    assert vendor.requests == []
    assert "a woman in orange" in await prompting.write_prompt(PHOTO, STYLE_NAMES[0])
    await prompting.aclose()


async def test_a_prompt_for_an_unknown_style_is_an_invalid_request() -> None:
    with pytest.raises(InvalidRequest):
        await PromptingDeployment(Settings()).write_prompt(PHOTO, "nope")


def test_a_process_that_only_draws_imports_no_vendors_sdk() -> None:
    code = (
        "import sys; from configs.settings import Settings;"
        "from deployments.stylization import StylizingDeployment as S;"
        "from deployments.prompting import PromptingDeployment as P; S(Settings()); P(Settings());"
        "print([name for name in ('google.genai', 'boto3', 'botocore', 'torch') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout.strip() == "[]"
