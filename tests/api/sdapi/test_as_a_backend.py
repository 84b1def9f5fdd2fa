"""This server as the `sdwebui` engine of another Darkroom: styles made on a machine with a GPU."""

from __future__ import annotations

import numpy as np

from configs.settings import Providers
from configs.styles import StyleControl, StyleLora
from deployments.contracts.diffusion import Lora
from deployments.contracts.styles import StyleTask
from deployments.providers.sdwebui import WebUiStylist
from tests.api.sdapi.conftest import CANNY
from tests.support.builders import an_image
from tests.support.fake_diffuser import FakeDiffuser
from tests.support.styles import a_style


async def test_a_style_is_drawn_by_another_darkroom(live_url: str, capabilities: FakeDiffuser) -> None:
    style = a_style(
        "ink",
        loras=(StyleLora(name="ink", weight=0.5),),
        controls=(StyleControl(module="canny", model=CANNY, mode="prompt"),),
        checkpoint="ghiblistyle",
        sampler="Euler a",
    )
    stylist = WebUiStylist(Providers(sdwebui_url=live_url), timeout_s=30, pixels=128 * 128)
    try:
        styled = await stylist.stylize(StyleTask(an_image((256, 256)), "ink", "a cat", seed=5), style)
    finally:
        await stylist.aclose()
    [request] = capabilities.requests
    assert styled.warnings == ()
    assert styled.image.shape == (request.height, request.width, 3)
    assert request.init_image is not None
    assert np.array_equal(styled.image, 255 - request.init_image)
    assert (request.seed, request.checkpoint, request.sampler) == (5, "ghiblistyle", "Euler a")
    assert request.loras == (Lora("ink", 0.5, 0.5),)
    assert [control.mode for control in request.controls] == ["prompt"]
