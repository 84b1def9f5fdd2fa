"""LoRAs in the weights of a checkpoint: merged once, taken out without a trace, kept by their sets."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("diffusers")

import torch
from safetensors.torch import load_file, save_file

from deployments.contracts.diffusion import (
    Lora,
)
from deployments.engines.diffusion import lycoris, merged_sets
from deployments.engines.diffusion.engine import DiffusionEngine
from deployments.errors import Overloaded
from tests.support.diffusing import a_request, an_engine, difference, make, make_one
from tests.support.tiny_diffusion import LORA


def test_a_lora_leaves_no_trace(engine: DiffusionEngine) -> None:
    before = make_one(engine)
    assert difference(before, make_one(engine, loras=(Lora(LORA),))) > 3
    np.testing.assert_array_equal(before, make_one(engine))


def test_a_lora_that_fits_only_the_unet_acts_there_and_leaves_no_trace(tmp_path: Path, tiny_models: Path) -> None:
    shutil.copytree(tiny_models, tmp_path / "models")
    loras = tmp_path / "models" / "loras"
    tensors = load_file(loras / f"{LORA}.safetensors")
    for name, tensor in tensors.items():
        if name.startswith("lora_te_") and tensor.ndim == 2:
            tensors[name] = torch.zeros(tensor.shape[0] + 1, tensor.shape[1] + 1)
    save_file(tensors, loras / "half.safetensors")
    engine = an_engine(tmp_path / "models")
    plain = make_one(engine)
    (picture,) = make(engine, a_request(loras=(Lora("half"),)))
    assert any("'half': 72 of" in warning and "do not fit" in warning for warning in picture.warnings)
    assert difference(picture.image, make_one(engine, loras=(Lora(LORA, 0.0, 1.0),))) <= 1
    np.testing.assert_array_equal(plain, make_one(engine))


def test_weights_are_those_of_the_file_bit_for_bit_once_loras_are_off(fresh: DiffusionEngine) -> None:
    def weights() -> dict[str, Any]:
        with fresh.models.cache.lease() as lease:
            checkpoint = fresh.models.checkpoint(lease, "")
            networks = (checkpoint.unet, checkpoint.text_encoder)
            return {
                f"{place} {name}": tensor.clone()
                for place, network in enumerate(networks)
                for name, tensor in network.state_dict().items()
            }

    before = weights()
    make_one(fresh, loras=(Lora(LORA, 0.7, 1.3),))
    during = weights()
    assert during.keys() == before.keys()  # no wrappers
    assert any(not torch.equal(during[name], before[name]) for name in before)
    make_one(fresh)
    after = weights()
    assert all(torch.equal(after[name], before[name]) for name in before)


def test_loras_are_merged_once_for_all_images_with_the_same_set(
    fresh: DiffusionEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    merged: list[Any] = []
    real = lycoris.change_of
    monkeypatch.setattr(lycoris, "change_of", lambda parts, weight: merged.append(parts) or real(parts, weight))
    first = make_one(fresh, loras=(Lora(LORA),))
    count = len(merged)
    assert count > 0
    np.testing.assert_array_equal(first, make_one(fresh, loras=(Lora(LORA),)))
    assert len(merged) == count
    make_one(fresh, loras=(Lora(LORA, 0.5, 0.5),))
    assert len(merged) == 2 * count


def test_sets_of_loras_that_take_turns_are_merged_once_each(
    fresh: DiffusionEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    merged: list[Any] = []
    real = lycoris.change_of
    monkeypatch.setattr(lycoris, "change_of", lambda parts, weight: merged.append(parts) or real(parts, weight))
    sets = ((Lora(LORA),), (Lora(LORA, 0.5, 1.5),), ())
    first = [make_one(fresh, loras=loras) for loras in sets]
    count = len(merged)
    assert count > 0
    for loras, image in zip(sets, first, strict=True):
        np.testing.assert_array_equal(make_one(fresh, loras=loras), image)
    assert len(merged) == count


def test_no_more_sets_of_loras_are_kept_than_there_is_room_for(
    fresh: DiffusionEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain = make_one(fresh)
    make_one(fresh, loras=(Lora(LORA),))
    one = fresh.models.saved_bytes
    monkeypatch.setattr(merged_sets, "KEPT_BYTES", 2 * one + one // 2)
    for strength in (0.2, 0.4, 0.6, 0.8):
        make_one(fresh, loras=(Lora(LORA, strength, strength),))
        assert fresh.models.saved_bytes <= 3 * one  # the file's weights, and two sets
    monkeypatch.setattr(merged_sets, "KEPT_BYTES", one // 2)
    np.testing.assert_array_equal(make_one(fresh), plain)


@pytest.mark.parametrize("form", ["peft", "diffusers", "processors"])
def test_a_lora_by_the_names_of_diffusers_is_the_one_by_kohyas(tmp_path: Path, tiny_models: Path, form: str) -> None:
    folder = Path(shutil.copytree(tiny_models, tmp_path / "models"))
    engine = an_engine(folder)
    with engine.models.cache.lease() as lease:
        checkpoint = engine.models.checkpoint(lease, "")
        modules = {
            f"{prefix}{name.removeprefix('text_model.').replace('.', '_')}": (network, name.removeprefix("text_model."))
            for prefix, network, parts in (
                ("lora_unet_", "unet", checkpoint.unet),
                ("lora_te_text_model_", "text_encoder", checkpoint.text_encoder),
            )
            for name, _ in parts.named_modules()
        }
    tensors = {}
    for key, tensor in load_file(folder / "loras" / f"{LORA}.safetensors").items():
        layer, _, part = key.partition(".")
        network, name = modules[layer]
        direction = "down" if "down" in part else "up"
        if network == "text_encoder":
            name = f"text_model.{name}"
        if part == "alpha":
            new = f"{network}.{name}.alpha"
        elif form == "peft":
            new = f"{network}.{name}.lora_{'A' if direction == 'down' else 'B'}.weight"
        elif form == "processors" and network == "unet":
            attention, _, own = name.removesuffix(".0").rpartition(".")
            new = f"{network}.{attention}.processor.{own}_lora.{direction}.weight"
        else:
            new = f"{network}.{name}.lora{'_linear_layer' if network != 'unet' else ''}.{direction}.weight"
        tensors[new] = tensor
    save_file(tensors, folder / "loras" / "other.safetensors")
    (made,) = make(engine, a_request(loras=(Lora("other"),)))
    assert made.warnings == ()
    np.testing.assert_array_equal(made.image, make_one(engine, loras=(Lora(LORA),)))


def test_a_lora_for_which_memory_is_out_is_not_left_out(
    fresh: DiffusionEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    def exhausted(*_: Any, **__: Any) -> None:
        raise torch.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr(lycoris, "change_of", exhausted)
    with pytest.raises(Overloaded):
        make(fresh, a_request(loras=(Lora(LORA),)))
