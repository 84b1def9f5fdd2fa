"""What the answer says besides the picture: the checkpoint, and warnings about what was left out."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

pytest.importorskip("diffusers")


from deployments.contracts.diffusion import (
    Lora,
)
from deployments.engines.diffusion.engine import DiffusionEngine
from tests.support.diffusing import CONTROL, a_request, difference, make, make_one
from tests.support.tiny_diffusion import LORA, OTHER_CHECKPOINT


def test_the_answer_names_checkpoint_and_hash(engine: DiffusionEngine) -> None:
    (picture,) = make(engine, a_request(checkpoint=OTHER_CHECKPOINT))
    assert picture.checkpoint == OTHER_CHECKPOINT
    (listed,) = [model for model in engine.list_models().checkpoints if model.name == OTHER_CHECKPOINT]
    assert picture.checkpoint_sha256 == listed.sha256
    assert len(listed.sha256) == 64


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"loras": (Lora("nowhere"),)}, "nowhere"),
        ({"sampler": "Eulerian"}, "Eulerian"),
        ({"prompt": "cat AND dog", "guidance_scale": 1.0}, "AND"),
    ],
    ids=lambda value: str(value) if isinstance(value, str) else "-".join(value),
)
def test_options_that_are_not_used_are_warned_of(engine: DiffusionEngine, change: dict[str, Any], said: str) -> None:
    (picture,) = make(engine, a_request(**change))
    assert any(said in warning for warning in picture.warnings)


def test_a_warning_about_one_prompt_is_not_given_to_its_neighbour(engine: DiffusionEngine) -> None:
    plain, composed = (a_request(prompt=words, guidance_scale=1.0) for words in ("a cat", "a cat AND a dog"))
    assert [len(picture.warnings) for picture in make(engine, plain, composed)] == [0, 1]


def test_a_picture_of_values_that_are_no_numbers_is_warned_of(fresh: DiffusionEngine) -> None:
    (picture,) = make(fresh, a_request(loras=(Lora(LORA, 1.0, 1e38),), guidance_scale=100.0))
    assert not picture.image.any()
    assert any("no numbers" in warning for warning in picture.warnings)


def test_clip_skip_is_not_for_the_text_encoder_of_sd_2(
    engine: DiffusionEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain = make_one(engine)
    assert difference(plain, make_one(engine, clip_skip=2)) > 3
    monkeypatch.setattr("deployments.engines.diffusion.loading._OPEN_CLIP_WIDTH", 32)  # that of the small ones
    (picture,) = make(engine, a_request(clip_skip=2))
    np.testing.assert_array_equal(picture.image, plain)
    assert any("Clip skip" in warning for warning in picture.warnings)


def test_an_ordinary_request_has_no_warnings(engine: DiffusionEngine) -> None:
    assert make(engine, a_request(loras=(Lora(LORA),), controls=(CONTROL,)))[0].warnings == ()
