"""Units with a ControlNet union model, which is told what the hint shows."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import httpx
import pytest

from tests.api.sdapi.conftest import SdapiAnswer, controlnet, txt2img
from tests.support.builders import an_image, base64_png
from tests.support.fake_diffuser import CATALOGUE, FakeDiffuser, a_model

UNION = "controlnet-union-sdxl"
XL = replace(a_model("juggernautXL"), family="sdxl", role="checkpoint")


@pytest.fixture(autouse=True)
def _union(capabilities: FakeDiffuser) -> None:
    capabilities.catalogue = replace(
        CATALOGUE,
        checkpoints=(XL, replace(CATALOGUE.checkpoints[0], family="sd1")),
        controlnets=(
            replace(a_model(UNION), role="controlnet-union", family="sdxl", types=6),
            replace(a_model("diffusers_xl_canny_mid"), role="controlnet", family="sdxl"),
            replace(a_model("control_v11p_sd15_canny"), role="controlnet", family="sd1"),
        ),
        default_checkpoint=XL.name,
    )


async def make(client: httpx.AsyncClient, **unit: Any) -> SdapiAnswer:
    given = {"model": UNION, "image": base64_png(an_image((64, 64))), **unit}
    return await txt2img(client, alwayson_scripts=controlnet(given))


@pytest.mark.parametrize(
    ("unit", "shows"),
    [
        ({"module": "canny"}, "hardedge"),
        ({"module": "none", "union_control_type": "Depth"}, "depth"),
        ({"module": "none", "union_control_type": "Soft Edge"}, "softedge"),
        ({"module": "none", "union_control_type": "Normal Map"}, "normal"),
        ({"module": "canny", "union_control_type": "Segmentation"}, "segmentation"),
        ({"module": "canny", "union_control_type": "Unknown"}, "hardedge"),
    ],
)
async def test_the_preprocessor_or_the_unit_says_what_the_hint_shows(
    client: httpx.AsyncClient, capabilities: FakeDiffuser, unit: dict[str, Any], shows: str
) -> None:
    made = await make(client, **unit)
    assert made.warnings == ""
    assert [(one.model, one.shows) for one in capabilities.requests[0].controls] == [(UNION, shows)]
    assert len(made.images) == 2


@pytest.mark.parametrize("unit", [{"module": "none"}, {"module": "none", "union_control_type": "Tile"}])
async def test_a_hint_that_the_model_does_not_know_leaves_out_its_unit_by_name(
    client: httpx.AsyncClient, capabilities: FakeDiffuser, unit: dict[str, Any]
) -> None:
    made = await make(client, **unit)
    assert f"{UNION!r} is a ControlNet union model, which does not know such hints" in made.warnings
    assert "left out" in made.warnings
    assert capabilities.requests[0].controls == ()


async def test_a_union_model_of_another_family_is_replaced_by_a_controlnet_of_the_hints_kind(
    client: httpx.AsyncClient, capabilities: FakeDiffuser
) -> None:
    given = {"model": UNION, "image": base64_png(an_image((64, 64))), "module": "canny"}
    options = {"sd_model_checkpoint": "tiny"}
    made = await txt2img(client, alwayson_scripts=controlnet(given), override_settings=options)
    assert "is for SDXL and the checkpoint is Stable Diffusion 1.x" in made.warnings
    assert [one.model for one in capabilities.requests[0].controls] == ["control_v11p_sd15_canny"]
    assert capabilities.requests[0].controls[0].shows == ""
