"""The diffusion engine beyond diffusers: batches, cancellation, second passes, refusals, memory."""

from __future__ import annotations

import gc
import shutil
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import replace
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
    ControlHint,
    GeneratedPicture,
    GenerationRequest,
    GenerationStep,
    Hires,
    Lora,
)
from deployments.engines.diffusion import lycoris, merged_sets
from deployments.engines.diffusion.catalogue import Model
from deployments.engines.diffusion.device import open_device
from deployments.engines.diffusion.engine import DiffusionEngine
from deployments.engines.diffusion.loading import Loader, expected_bytes, module_bytes
from deployments.engines.diffusion.noise import draw_noise, make_generator
from deployments.engines.diffusion.ram_stage import RamStage
from deployments.errors import InvalidRequest, NotSupported, Overloaded, Unavailable, WeightsMissing
from tests.support.builders import an_image
from tests.support.diffusing import SIZE, Listening, a_mask, a_request, an_engine, difference, make, make_one
from tests.support.tiny_diffusion import CHECKPOINT, CONTROLNETS, LORA, OTHER_CHECKPOINT

HINT = an_image((SIZE, SIZE), 1)
CONTROL = ControlHint(CONTROLNETS["canny"], HINT)
INIT = an_image((SIZE, SIZE), 5)


@pytest.fixture(scope="module")
def engine(tiny_models: Path) -> DiffusionEngine:
    return an_engine(tiny_models)


@pytest.fixture
def fresh(tiny_models: Path) -> Iterator[DiffusionEngine]:
    """An engine with nothing loaded."""
    made = an_engine(tiny_models)
    yield made
    made.close()


@pytest.mark.parametrize(
    "shape",
    [
        {},
        {"sampler": "Euler a"},
        {"sampler": "DPM++ 2M SDE"},
        {"sampler": "DDIM", "eta": 1.0},
        {"controls": (CONTROL, replace(CONTROL, mode="control"))},
        {"init_image": INIT, "sampler": "Euler a"},
        {"init_image": INIT, "mask": a_mask(), "masked_content": "noise"},
        {"loras": (Lora(LORA, 0.7, 0.7),)},
        {"hires": Hires(96, 96, 2, 0.6), "sampler": "Euler a"},
        {"prompt": "[cat:dog:0.5] AND red:0.4"},
    ],
    ids=lambda shape: "-".join(shape) or "text",
)
def test_a_request_in_a_batch_is_the_same_request_alone(engine: DiffusionEngine, shape: dict[str, Any]) -> None:
    own = a_request(**shape)
    others = [replace(own, seed=1, prompt="dog"), replace(own, seed=2, negative_prompt="", prompt="red (house:1.4)")]
    batch = make(engine, others[0], own, others[1])
    assert len({engine.key(request) for request in (own, *others)}) == 1
    assert difference(batch[1].image, make(engine, own)[0].image) <= 1
    assert difference(batch[0].image, batch[1].image) > 3


def test_a_long_prompt_beside_a_short_one_changes_neither(engine: DiffusionEngine) -> None:
    short, long = a_request(), a_request(prompt="cat, " * 60)
    together = make(engine, short, long)
    for picture, request in zip(together, (short, long), strict=True):
        assert difference(picture.image, make(engine, request)[0].image) <= 1


@pytest.mark.parametrize(
    "change",
    [
        {"steps": 5},
        {"width": 128},
        {"sampler": "Heun"},
        {"guidance_scale": 3.0},
        {"loras": (Lora(LORA),)},
        {"controls": (CONTROL,)},
        {"init_image": INIT},
        {"checkpoint": OTHER_CHECKPOINT},
        {"tiling": True},
        {"hires": Hires(96, 96, 2, 0.6)},
    ],
    ids=lambda change: "-".join(change),
)
def test_requests_of_another_shape_do_not_share_a_batch(engine: DiffusionEngine, change: dict[str, Any]) -> None:
    assert engine.key(a_request()) != engine.key(a_request(**change))


def test_the_seed_decides_the_picture(engine: DiffusionEngine) -> None:
    np.testing.assert_array_equal(make_one(engine), make_one(engine))
    assert difference(make_one(engine), make_one(engine, seed=8)) > 3


def test_a_variation_goes_from_one_seed_to_the_other(engine: DiffusionEngine) -> None:
    start, half, end = (make_one(engine, variation_seed=8, variation_strength=strength) for strength in (0.0, 0.5, 1.0))
    np.testing.assert_array_equal(start, make_one(engine))
    assert difference(end, make_one(engine, seed=8)) <= 1
    assert min(difference(half, start), difference(half, end)) > 3


def test_noise_of_another_size_is_pasted_into_the_middle(engine: DiffusionEngine) -> None:
    resized = make_one(engine, seed_size=(128, 128))
    assert difference(resized, make_one(engine)) > 3
    np.testing.assert_array_equal(make_one(engine, seed_size=(SIZE, SIZE)), make_one(engine))


def test_the_noise_around_the_pasted_one_is_that_of_the_seed() -> None:
    request = a_request(width=128, height=128)
    plain_generator, generator = make_generator(request, "cpu"), make_generator(request, "cpu")
    plain = draw_noise(request, plain_generator, 4)
    resized = draw_noise(replace(request, seed_size=(SIZE, SIZE)), generator, 4)
    pasted = draw_noise(a_request(), make_generator(request, "cpu"), 4)
    np.testing.assert_array_equal(resized[..., 4:12, 4:12], pasted)
    np.testing.assert_array_equal(resized[..., :4, :], plain[..., :4, :])
    assert torch.equal(generator.get_state(), plain_generator.get_state())  # what samplers draw next is the same


@pytest.mark.parametrize(
    ("shape", "calls"),
    [
        ({}, 4),
        ({"sampler": "Heun"}, 7),
        ({"init_image": INIT, "denoising_strength": 0.5}, 3),
        ({"init_image": INIT, "denoising_strength": 0.5, "exact_steps": True}, 4),
        ({"init_image": INIT, "denoising_strength": 0.0}, 1),
        ({"init_image": INIT, "denoising_strength": 1.0}, 4),
        ({"hires": Hires(96, 96, 3, 0.4)}, 7),
        ({"hires": Hires(96, 96, 3, 0.0)}, 4),
    ],
    ids=str,
)
def test_every_call_of_the_denoiser_is_reported(engine: DiffusionEngine, shape: dict[str, Any], calls: int) -> None:
    listening = Listening()
    engine.run([a_request(**shape), a_request(**shape, seed=3)], listening)
    for place in (0, 1):
        assert [step.step for step in listening.of(place)] == list(range(1, calls + 1))
        assert {step.steps for step in listening.of(place)} == {calls}


def test_the_latents_of_the_last_step_are_those_of_the_picture(engine: DiffusionEngine) -> None:
    listening = Listening()
    (picture,) = engine.run([a_request()], listening)
    last = listening.of(0)[-1].latents
    assert (last.dtype, last.shape) == (np.float16, (4, 8, 8))
    assert difference(engine.decode_latents(last), picture.image) <= 2  # type: ignore[union-attr]


def test_a_preview_shows_the_predicted_x0(engine: DiffusionEngine) -> None:
    listening = Listening()
    (picture,) = engine.run([a_request(steps=8)], listening)
    previews = [engine.decode_latents(step.latents).astype(float) for step in listening.of(0)]
    errors = [np.abs(preview - picture.image).mean() for preview in previews]  # type: ignore[union-attr]
    assert errors[4] < 25
    assert errors[-1] < 2


def test_the_pipeline_stops_within_a_step_when_all_requests_are_cancelled(engine: DiffusionEngine) -> None:
    listening = Listening(leaves={0: 2, 1: 2})
    engine.run([a_request(steps=20), a_request(steps=20, seed=1)], listening)
    assert [len(listening.of(place)) for place in (0, 1)] == [2, 2]


def test_requests_get_their_pictures_when_others_of_the_batch_are_cancelled(engine: DiffusionEngine) -> None:
    stays = a_request(seed=1)
    outcomes = engine.run([a_request(), stays], Listening(leaves={0: 1}))
    assert isinstance(outcomes[0], Exception)
    assert difference(outcomes[1].image, make(engine, stays)[0].image) <= 1  # type: ignore[union-attr]


def test_a_pass_of_cancelled_requests_is_not_begun(engine: DiffusionEngine) -> None:
    listening = Listening(leaves={0: 4})
    engine.run([a_request(hires=Hires(96, 96, 3, 0.5))], listening)
    assert len(listening.of(0)) == 4


def test_pixels_that_are_not_masked_stay(engine: DiffusionEngine) -> None:
    ends = []
    for mask in (np.zeros((SIZE, SIZE), np.uint8), a_mask()):
        listening = Listening()
        engine.run([a_request(init_image=INIT, mask=mask)], listening)
        ends.append(listening.of(0)[-1].latents)
    kept, half = ends
    np.testing.assert_array_equal(half[..., 4:], kept[..., 4:])
    assert np.abs(half[..., :4] - kept[..., :4]).mean() > 0.1


def test_masked_content_decides_the_latents_under_the_mask(engine: DiffusionEngine) -> None:
    pictures = [
        make_one(engine, init_image=INIT, mask=a_mask(), masked_content=content, denoising_strength=0.4)
        for content in ("original", "noise", "nothing")
    ]
    for one, other in ((0, 1), (0, 2), (1, 2)):
        assert difference(pictures[one][:, :24], pictures[other][:, :24]) > 3


def test_a_strength_of_zero_in_exact_steps_gives_the_picture_back(engine: DiffusionEngine) -> None:
    same = make_one(engine, init_image=INIT, denoising_strength=0.0, exact_steps=True)
    again = make_one(engine, init_image=INIT, denoising_strength=0.0, exact_steps=True, seed=99)
    np.testing.assert_array_equal(same, again)


@pytest.mark.parametrize("upscaler", ["Latent", "Latent (bicubic antialiased)", "Latent (nearest-exact)", "Lanczos"])
def test_a_second_pass_makes_the_picture_larger(engine: DiffusionEngine, upscaler: str) -> None:
    picture = make_one(engine, hires=Hires(128, 96, 2, 0.5, upscaler=upscaler))
    assert picture.shape == (96, 128, 3)
    assert difference(picture, make_one(engine, hires=Hires(128, 96, 2, 0.5, upscaler="Nearest"))) > 3


def test_a_second_pass_may_have_a_prompt_and_a_sampler_of_its_own(engine: DiffusionEngine) -> None:
    plain = make_one(engine, hires=Hires(96, 96, 3, 0.7))
    for own in (Hires(96, 96, 3, 0.7, prompt="red dog"), Hires(96, 96, 3, 0.7, sampler="Euler a")):
        assert difference(plain, make_one(engine, hires=own)) > 3


def test_tiles_fit_their_own_other_edge(engine: DiffusionEngine) -> None:
    def seam(picture: Any) -> float:
        return float(np.abs(picture[:, 0].astype(int) - picture[:, -1]).mean())

    tiled = make_one(engine, tiling=True)
    assert seam(tiled) < seam(make_one(engine))
    np.testing.assert_array_equal(make_one(engine), make_one(engine))  # and nothing of it stays behind


def test_latents_decoded_beside_a_batch_of_tiles_are_no_tile(engine: DiffusionEngine) -> None:
    latents = np.random.default_rng(0).normal(size=(4, 8, 8)).astype(np.float16)
    plain = engine.decode_latents(latents)

    class Decoding(Listening):
        def report(self, place: int, step: GenerationStep) -> None:
            super().report(place, step)
            if len(self.steps) == 1:
                decoded.append(beside.submit(engine.decode_latents, latents))
                wait(decoded, timeout=0.5)  # it may have to wait for the batch

    decoded: list[Future[Any]] = []
    with ThreadPoolExecutor(1) as beside:
        engine.run([a_request(tiling=True, steps=2)], Decoding())
        np.testing.assert_array_equal(decoded[0].result(60), plain)


def test_and_with_all_the_weight_on_one_is_that_one(engine: DiffusionEngine) -> None:
    alone = make_one(engine, prompt="cat")
    assert difference(make_one(engine, prompt="cat AND dog:0"), alone) <= 1
    assert difference(make_one(engine, prompt="cat AND dog:0.7"), alone) > 3
    assert difference(make_one(engine, prompt="cat AND cat:0.5"), make_one(engine, prompt="cat:1.5")) <= 1


def test_a_schedule_changes_the_prompt_on_the_way(engine: DiffusionEngine) -> None:
    cat, dog, scheduled = (make_one(engine, prompt=prompt, steps=8) for prompt in ("cat", "dog", "[cat:dog:0.3]"))
    assert min(difference(scheduled, cat), difference(scheduled, dog)) > 3
    assert difference(make_one(engine, prompt="[cat:dog:8]", steps=8), cat) <= 1


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
@pytest.mark.parametrize(
    "shape", [{"sampler": "Euler a"}, {"init_image": INIT, "mask": a_mask(), "controls": (CONTROL,)}]
)
def test_half_precision_makes_nearly_the_same_picture(
    engine: DiffusionEngine, tiny_models: Path, dtype: str, shape: dict[str, Any]
) -> None:
    half = make_one(an_engine(tiny_models, dtype=dtype), **shape)
    assert np.abs(half.astype(int) - make_one(engine, **shape)).mean() < 2


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


def test_prompts_are_encoded_once_by_the_same_weights(fresh: DiffusionEngine) -> None:
    with fresh.models.cache.lease() as lease:
        encoder = fresh.models.checkpoint(lease, "").text_encoder
    asked: list[int] = []
    hook = encoder.register_forward_pre_hook(lambda _, args: asked.append(len(args[0])))
    counts = []
    try:
        for changes in ({}, {"seed": 8}, {"prompt": "dog"}, {"clip_skip": 2}, {"loras": (Lora(LORA),)}, {}):
            make_one(fresh, **changes)
            counts.append(len(asked))
            asked.clear()
    finally:
        hook.remove()
    assert counts == [2, 0, 1, 2, 2, 2]


@pytest.mark.parametrize(
    "change",
    [
        {"width": 1_000_000},
        {"width": 65},
        {"height": 0},
        {"height": -64},
        {"steps": 0},
        {"steps": 100_000},
        {"steps": 10**400},
        {"seed": 10**400},
        {"width": 10**400},
        {"guidance_scale": float("nan")},
        {"guidance_scale": -1.0},
        {"eta": float("inf")},
        {"clip_skip": 0},
        {"seed": -1},
        {"seed": 2**32},
        {"denoising_strength": 1.5},
        {"variation_strength": -0.1},
        {"seed_size": (10**6, 64)},
        {"prompt": "x" * 100_000},
        {"init_image": an_image((128, 64))},
        {"mask": a_mask()},
        {"init_image": INIT, "mask": a_mask(128)},
        {"controls": (CONTROL,) * 11},
        {"controls": (replace(CONTROL, image=an_image((128, 64))),)},
        {"controls": (replace(CONTROL, image=HINT[..., :1]),)},
        {"controls": (replace(CONTROL, weight=3.0),)},
        {"controls": (replace(CONTROL, start=0.6, end=0.4),)},
        {"loras": (Lora(LORA),) * 100},
        {"loras": (Lora(LORA, float("inf"), float("nan")),)},
        {"hires": Hires(10**6, 64, 2, 0.5)},
        {"hires": Hires(96, 96, 2, 0.5, upscaler="R-ESRGAN 4x+")},
        {"hires": Hires(96, 96, 2, 0.5), "init_image": INIT},
    ],
    ids=lambda change: "-".join(change),
)
def test_absurd_requests_are_refused_before_anything_is_loaded(fresh: DiffusionEngine, change: dict[str, Any]) -> None:
    with pytest.raises(InvalidRequest):
        fresh.check(a_request(**change))
    assert fresh.models.cache.keys() == []


def test_a_prompt_that_is_too_long_in_tokens_is_refused(engine: DiffusionEngine) -> None:
    with pytest.raises(InvalidRequest):
        make(engine, a_request(prompt="cat, " * 3_900))


class Company(Listening):
    """Listener with requests that come while the batch makes ready, one after the other."""

    def __init__(self, *company: GenerationRequest) -> None:
        super().__init__()
        self._company = list(company)

    def join(self, *, wait: bool = False) -> list[GenerationRequest]:
        return [self._company.pop(0)] if self._company else []


def test_requests_that_join_a_batch_are_made_as_they_would_be_alone(engine: DiffusionEngine) -> None:
    own, *others = (a_request(seed=seed, sampler="Euler a") for seed in (7, 8, 9))
    refused = a_request(prompt="cat, " * 3_900)
    outcomes = engine.run([own], Company(others[0], refused, others[1]))
    assert isinstance(outcomes[2], InvalidRequest)
    for request, outcome in zip((own, others[0], others[1]), (outcomes[0], outcomes[1], outcomes[3]), strict=True):
        assert isinstance(outcome, GeneratedPicture)
        assert difference(outcome.image, make(engine, request)[0].image) <= 1


class Late(Listening):
    """Listener with requests that come while the first pass is made ready, and one that is too late."""

    def __init__(self, *late: GenerationRequest) -> None:
        super().__init__()
        self._late = list(late)

    def join(self, *, wait: bool = False) -> list[GenerationRequest]:
        assert not self.steps
        return [self._late.pop(0)] if wait and self._late else []


def test_requests_join_until_the_first_call_and_those_of_other_lengths_follow(engine: DiffusionEngine) -> None:
    own, other, long = (
        a_request(init_image=INIT, controls=(CONTROL,), sampler="Euler a", **changes)
        for changes in ({}, {"seed": 8, "prompt": "dog"}, {"seed": 9, "prompt": "cat, " * 60})
    )
    rows: list[int] = []
    with engine.models.cache.lease() as lease:
        unet = engine.models.checkpoint(lease, "").unet
    hook = unet.register_forward_pre_hook(lambda _, args: rows.append(len(args[0])))
    try:
        outcomes = engine.run([own], Late(long, other))
    finally:
        hook.remove()
    calls = len(rows) // 3
    assert rows == [4] * calls + [1] * (2 * calls)
    for request, outcome in zip((own, long, other), outcomes, strict=True):
        assert difference(outcome.image, make(engine, request)[0].image) <= 1  # type: ignore[union-attr]


def test_a_request_has_its_picture_before_those_of_other_lengths_are_begun(engine: DiffusionEngine) -> None:
    class Ordered(Listening):
        def report(self, place: int, step: GenerationStep) -> None:
            super().report(place, step)
            ended[place] = [at for at, _ in self.finished]

    ended: dict[int, list[int]] = {}
    listening = Ordered()
    outcomes = engine.run([a_request(), a_request(prompt="cat, " * 60), a_request(seed=8)], listening)
    assert ended == {0: [], 2: [], 1: [0, 2]}
    assert [listening.finished.index((place, outcome)) for place, outcome in enumerate(outcomes)] == [0, 2, 1]


def test_memory_that_is_out_for_a_long_prompt_is_no_error_of_the_short_one_before_it(
    fresh: DiffusionEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = diffusers.UNet2DConditionModel.forward

    def forward(self: Any, *arguments: Any, **options: Any) -> Any:
        if options["encoder_hidden_states"].shape[1] > 77:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return real(self, *arguments, **options)

    monkeypatch.setattr("diffusers.UNet2DConditionModel.forward", forward)
    long = a_request(prompt="cat, " * 60)
    first, refused, last = fresh.run([a_request(), long, a_request(prompt="dog", seed=8)], Listening())
    assert isinstance(refused, Overloaded)
    assert isinstance(first, GeneratedPicture)
    assert isinstance(last, GeneratedPicture)


def test_a_request_that_is_refused_in_its_batch_is_refused_alone(engine: DiffusionEngine) -> None:
    refused, good = engine.run([a_request(prompt="cat, " * 3_900), a_request()], Listening())
    assert isinstance(refused, InvalidRequest)
    assert difference(good.image, make_one(engine)) <= 1  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"checkpoint": "dreamy"}, "dreamy"),
        ({"vae": "dreamy-vae"}, "dreamy-vae"),
        ({"controls": (replace(CONTROL, model="control_v9"),)}, "control_v9"),
        ({"checkpoint": "../../../etc/passwd"}, "passwd"),
        ({"checkpoint": "/etc"}, "/etc"),
    ],
    ids=["checkpoint", "vae", "controlnet", "a path upwards", "an absolute path"],
)
def test_models_that_are_not_there_are_named_with_the_setting(
    engine: DiffusionEngine, change: dict[str, Any], named: str
) -> None:
    with pytest.raises(WeightsMissing, match="DARKROOM_DIFFUSION__MODELS_DIR") as raised:
        make(engine, a_request(**change))
    assert named in raised.value.message


def test_a_configured_checkpoint_that_is_not_there_names_its_setting(tiny_models: Path) -> None:
    with pytest.raises(WeightsMissing, match="DARKROOM_DIFFUSION__CHECKPOINT"):
        make(an_engine(tiny_models, checkpoint="gone"), a_request())


def test_a_hub_name_that_is_not_cached_is_missing_when_offline(tiny_models: Path) -> None:
    with pytest.raises(WeightsMissing, match="DARKROOM_DIFFUSION__CHECKPOINT"):
        make(an_engine(tiny_models, checkpoint="nobody/nothing"), a_request())


def test_a_checkpoint_that_is_cut_short_is_missing_weights(tmp_path: Path, tiny_models: Path) -> None:
    import shutil

    shutil.copytree(tiny_models / "checkpoints" / CHECKPOINT, tmp_path / "checkpoints" / "cut")
    weights = tmp_path / "checkpoints" / "cut" / "unet" / "diffusion_pytorch_model.safetensors"
    weights.write_bytes(weights.read_bytes()[:100_000])
    with pytest.raises(WeightsMissing) as raised:
        make(an_engine(tmp_path, checkpoint="cut"), a_request())
    assert str(tmp_path) not in raised.value.message


def test_another_family_of_checkpoints_is_refused_by_name(tmp_path: Path) -> None:
    folder = tmp_path / "checkpoints" / "big"
    folder.mkdir(parents=True)
    (folder / "model_index.json").write_text('{"_class_name": "StableDiffusion3Pipeline"}')
    with pytest.raises(NotSupported, match="big"):
        make(an_engine(tmp_path, checkpoint="big"), a_request())


def test_decoding_refuses_what_are_no_latents(engine: DiffusionEngine) -> None:
    for shape in [(3, 8, 8), (4, 8), (4, 10_000, 10_000)]:
        with pytest.raises(InvalidRequest):
            engine.decode_latents(np.zeros(shape, np.float16))


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
