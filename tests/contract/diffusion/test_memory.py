"""Models in memory: what leaves for others, what is kept in the stage, what does not fit."""

from __future__ import annotations

import gc
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("diffusers")

import diffusers
import torch
from safetensors.torch import load_file, save_file

from configs.settings import Diffusion
from deployments.contracts.diffusion import (
    Lora,
)
from deployments.engines.diffusion.catalogue import Model
from deployments.engines.diffusion.device import open_device
from deployments.engines.diffusion.engine import DiffusionEngine
from deployments.engines.diffusion.loading import Loader, expected_bytes, module_bytes
from deployments.engines.diffusion.ram_stage import RamStage
from deployments.errors import Overloaded, Unavailable
from tests.support.diffusing import CONTROL, SIZE, Listening, a_request, an_engine, difference, make, make_one
from tests.support.tiny_diffusion import CHECKPOINT, LORA, OTHER_CHECKPOINT


def test_models_beyond_the_budget_leave_in_turn(tiny_models: Path) -> None:
    engine = an_engine(tiny_models, memory_budget_mb=9)  # one checkpoint is 5 MB, a ControlNet 2
    make(engine, a_request(controls=(CONTROL,)))
    make(engine, a_request(checkpoint=OTHER_CHECKPOINT))
    kept = {key[1] for key in engine.models.cache.keys()}
    assert OTHER_CHECKPOINT in kept
    assert CHECKPOINT not in kept
    assert engine.models.cache.used_bytes < 9 * 2**20


def test_a_request_whose_models_exceed_the_budget_is_refused(tiny_models: Path) -> None:
    engine = an_engine(tiny_models, memory_budget_mb=6)
    with pytest.raises(Overloaded):
        make(engine, a_request(controls=(CONTROL,)))
    assert make_one(engine).shape == (SIZE, SIZE, 3)


def test_switching_checkpoints_does_not_take_more_and_more_memory(tiny_models: Path) -> None:
    engine = an_engine(tiny_models, memory_budget_mb=9)  # one checkpoint with what a LoRA changes of it, not two

    def switch(times: int) -> None:
        for turn in range(times):
            make(engine, a_request(steps=1, checkpoint=(CHECKPOINT, OTHER_CHECKPOINT)[turn % 2], loras=(Lora(LORA),)))
        gc.collect()

    switch(2)
    before = weights_alive()
    switch(2)
    assert weights_alive() <= before


def weights_alive() -> int:
    return sum(type(thing) is torch.nn.Parameter for thing in gc.get_objects())


def test_a_refusal_holds_no_model_that_did_not_fit(tiny_models: Path) -> None:
    engine = an_engine(tiny_models, memory_budget_mb=6)
    make_one(engine)
    gc.collect()
    before = weights_alive()
    (refusal,) = engine.run([a_request(controls=(CONTROL,))], Listening())
    assert isinstance(refusal, Overloaded)
    assert weights_alive() <= before


def test_out_of_memory_is_overloaded_and_the_cache_given_back(
    fresh: DiffusionEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    def exhausted(*_: Any, **__: Any) -> None:
        raise torch.OutOfMemoryError("CUDA out of memory")

    make(fresh, a_request())
    with monkeypatch.context() as patched:
        patched.setattr("diffusers.UNet2DConditionModel.forward", exhausted)
        with pytest.raises(Overloaded, match="memory"):
            make(fresh, a_request())
    assert make_one(fresh).shape == (SIZE, SIZE, 3)


def test_the_memory_of_the_gpu_is_capped_to_the_share_that_ray_gave() -> None:
    calls: list[tuple[float, str]] = []
    open_device(Diffusion(), gpu_share=0.5, cap_memory=lambda share, device: calls.append((share, device)))
    open_device(
        Diffusion(memory_fraction=0.3), gpu_share=0.5, cap_memory=lambda share, device: calls.append((share, device))
    )
    open_device(Diffusion(), gpu_share=0, cap_memory=lambda share, device: calls.append((share, device)))
    assert calls == [(0.5, "cpu"), (0.3, "cpu")]


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU here")
def test_a_gpu_that_is_not_there_is_unavailable() -> None:
    with pytest.raises(Unavailable, match="DARKROOM_DIFFUSION__DEVICE"):
        open_device(Diffusion(device="cuda"), gpu_share=0)


def test_a_model_that_is_replaced_under_its_name_is_loaded_anew(tiny_models: Path, tmp_path: Path) -> None:
    folder = tmp_path / "models"
    shutil.copytree(tiny_models, folder)
    engine = an_engine(folder)
    lora = a_request(loras=(Lora(LORA),))
    before, other = make_one(engine), make_one(engine, checkpoint=OTHER_CHECKPOINT)
    styled, strong = make(engine, lora)[0].image, make(engine, a_request(loras=(Lora(LORA, 2, 2),)))[0].image

    shutil.rmtree(folder / "checkpoints" / CHECKPOINT)
    shutil.copytree(folder / "checkpoints" / OTHER_CHECKPOINT, folder / "checkpoints" / CHECKPOINT)
    assert difference(make_one(engine), other) <= 1
    shutil.rmtree(folder / "checkpoints" / CHECKPOINT)
    shutil.copytree(tiny_models / "checkpoints" / CHECKPOINT, folder / "checkpoints" / CHECKPOINT)
    assert difference(make_one(engine), before) <= 1

    file = folder / "loras" / f"{LORA}.safetensors"
    tensors = {name: tensor * (2 if "lora_up" in name else 1) for name, tensor in load_file(file).items()}
    save_file(tensors, file)
    twice = make(engine, lora)[0].image
    assert difference(twice, styled) > 1
    assert difference(twice, strong) <= 1
    kept = [key for key in engine.models.cache.keys() if key[:2] == ("checkpoints", CHECKPOINT) and len(key) == 4]
    assert len(kept) == 1


def test_a_checkpoint_from_the_stage_is_not_loaded_again_and_has_the_weights_of_its_file(
    tiny_models: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = an_engine(tiny_models, memory_budget_mb=9)  # one checkpoint is 5 MB
    monkeypatch.setattr(engine.models, "_stage", RamStage(2**30, open_device(Diffusion(), 0)))
    loaded: list[str] = []
    real = Loader.checkpoint
    monkeypatch.setattr(Loader, "checkpoint", lambda self, model: loaded.append(model.name) or real(self, model))
    plain = make_one(engine)
    styled = make_one(engine, loras=(Lora(LORA),))
    for _ in range(2):
        make_one(engine, checkpoint=OTHER_CHECKPOINT)
        np.testing.assert_array_equal(make_one(engine, loras=(Lora(LORA),)), styled)
        make_one(engine, checkpoint=OTHER_CHECKPOINT, loras=(Lora(LORA),))
        np.testing.assert_array_equal(make_one(engine), plain)
    assert loaded == [CHECKPOINT, OTHER_CHECKPOINT]


def test_a_checkpoint_that_cannot_be_kept_is_no_error_of_the_request_that_pushes_it_out(
    tiny_models: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = an_engine(tiny_models, memory_budget_mb=6)
    monkeypatch.setattr(engine.models, "_stage", RamStage(2**30, open_device(Diffusion(), 0)))
    real = torch.nn.Module.to

    def to(self: Any, *arguments: Any, **options: Any) -> Any:
        if parking and arguments == ("cpu",) and type(self).__name__ == "AutoencoderKL":
            raise RuntimeError("no pages to lock")
        return real(self, *arguments, **options)

    parking: list[int] = []
    plain = make_one(engine)
    monkeypatch.setattr(torch.nn.Module, "to", to)
    given: list[int] = []
    monkeypatch.setattr(engine.models.cache, "_give_back", lambda: given.append(1))
    monkeypatch.setattr(RamStage, "put", _while_parking(RamStage.put, parking))
    assert make_one(engine, checkpoint=OTHER_CHECKPOINT).shape == (SIZE, SIZE, 3)
    assert given
    np.testing.assert_array_equal(make_one(engine), plain)


def _while_parking(put: Any, parking: list[int]) -> Any:
    def noted(*arguments: Any) -> None:
        parking.append(1)
        try:
            put(*arguments)
        finally:
            parking.clear()

    return noted


def test_a_checkpoint_is_kept_without_its_loras_and_what_they_saved(
    tiny_models: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = an_engine(tiny_models, memory_budget_mb=9)
    monkeypatch.setattr(engine.models, "_stage", RamStage(2**30, open_device(Diffusion(), 0)))
    make_one(engine, loras=(Lora(LORA),))
    saved = engine.models.saved_bytes
    make_one(engine, checkpoint=OTHER_CHECKPOINT)
    assert saved > 0
    assert engine.models.saved_bytes == 0


def test_nothing_is_moved_when_the_engine_closes(tiny_models: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    engine = an_engine(tiny_models)
    stage = RamStage(2**30, open_device(Diffusion(), 0))
    monkeypatch.setattr(engine.models, "_stage", stage)
    kept: list[str] = []
    monkeypatch.setattr(stage, "put", lambda key, _: kept.append(key))
    make_one(engine)
    engine.close()
    assert kept == []
    assert engine.models.cache.keys() == []


def test_a_checkpoint_is_reckoned_by_what_it_takes_once_loaded(tiny_models: Path, tmp_path: Path) -> None:
    pipeline = diffusers.StableDiffusionPipeline.from_pretrained(tiny_models / "checkpoints" / CHECKPOINT)
    engine = an_engine(tiny_models)
    with engine.models.cache.lease() as lease:
        loaded = engine.models.checkpoint(lease, "")
        size = module_bytes(loaded.unet, loaded.vae, loaded.text_encoder)
    pipeline.to(torch.float16).save_pretrained(tmp_path / "half")
    pipeline.to(torch.float32).save_pretrained(tmp_path / "both")
    pipeline.to(torch.float16).save_pretrained(tmp_path / "both", variant="fp16")
    for folder in (tiny_models / "checkpoints" / CHECKPOINT, tmp_path / "half", tmp_path / "both"):
        reckoned = expected_bytes(Model("checkpoints", "any", folder), torch.float32)
        assert reckoned == pytest.approx(size, rel=0.01)
        assert expected_bytes(Model("checkpoints", "any", folder), torch.float16) == reckoned / 2


def test_a_refiner_that_does_not_fit_beside_its_base_is_refused_before_either_is_loaded(tiny_models: Path) -> None:
    engine = an_engine(tiny_models, memory_budget_mb=9)
    with pytest.raises(Overloaded, match=r"'tiny' 4 MB, 'tiny-other' 4 MB.*9 MB.*MEMORY_BUDGET_MB"):
        make(engine, a_request(refiner=OTHER_CHECKPOINT, refiner_switch_at=0.5))
    assert engine.models.cache.keys() == []
    assert make_one(engine).shape == (SIZE, SIZE, 3)
