"""LyCORIS networks, full changes and DoRA: the image is that of a checkpoint with the changed weights."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("diffusers")

import torch
from diffusers import StableDiffusionPipeline
from safetensors.torch import load_file, save_file

from deployments.contracts.diffusion import Lora
from deployments.engines.diffusion import lycoris
from deployments.engines.diffusion.headers import load_tensors
from deployments.engines.diffusion.lycoris import Merger, Network, read_network
from deployments.errors import Overloaded
from tests.support.diffusing import a_request, an_engine, difference, make, make_one
from tests.support.tiny_diffusion import CHECKPOINT, LORA, OTHER_CHECKPOINT

LINEAR = "up_blocks.3.attentions.2.transformer_blocks.0.attn2.to_v"
CONVOLUTION = "up_blocks.3.resnets.1.conv2"
TEXT = "encoder.layers.0.mlp.fc1"
Parts = dict[str, torch.Tensor]
Change = Callable[[np.ndarray], np.ndarray]


def random(*shape: int, seed: int = 0, size: float = 0.4) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(sum(shape) + seed)) * size


def a_loha(weight: np.ndarray) -> tuple[Parts, Change]:
    rows, columns = weight.shape[0], weight[0].size
    w1a, w1b, w2a, w2b = random(rows, 3), random(3, columns), random(rows, 3, seed=1), random(3, columns, seed=2)
    parts = {"hada_w1_a": w1a, "hada_w1_b": w1b, "hada_w2_a": w2a, "hada_w2_b": w2b, "alpha": torch.tensor(1.5)}
    return parts, lambda w: 0.5 * ((w1a @ w1b) * (w2a @ w2b)).numpy().reshape(w.shape)


def a_lokr(weight: np.ndarray) -> tuple[Parts, Change]:
    rows, columns = weight.shape[0], weight[0].size
    w1, w2a, w2b = random(4, 2), random(rows // 4, 2), random(2, columns // 2)
    parts = {"lokr_w1": w1, "lokr_w2_a": w2a, "lokr_w2_b": w2b, "alpha": torch.tensor(1.0)}
    return parts, lambda w: 0.5 * np.kron(w1.numpy(), (w2a @ w2b).numpy()).reshape(w.shape)


def a_locon_with_a_core(weight: np.ndarray) -> tuple[Parts, Change]:
    rows, columns, height, width = weight.shape
    up, down, mid = random(rows, 2, 1, 1), random(2, columns, 1, 1), random(2, 2, height, width)
    parts = {"lora_up.weight": up, "lora_down.weight": down, "lora_mid.weight": mid, "alpha": torch.tensor(2.0)}

    def change(w: np.ndarray) -> np.ndarray:
        made = np.zeros_like(w)
        for n in range(2):
            for m in range(2):
                outer = np.outer(up.numpy()[:, n, 0, 0], down.numpy()[m, :, 0, 0])
                made += outer[..., None, None] * mid.numpy()[n, m]
        return made

    return parts, change


def a_full_change(weight: np.ndarray) -> tuple[Parts, Change]:
    change = random(*weight.shape, size=0.5)
    return {"diff": change}, lambda _: change.numpy()


def a_dora(weight: np.ndarray, *, by_row: bool = False) -> tuple[Parts, Change]:
    rows, columns = weight.shape
    up, down = random(rows, 2), random(2, columns)
    lengths = random(rows if by_row else columns, seed=9).abs() + 0.5
    shaped = lengths[:, None] if by_row else lengths[None]
    parts = {"lora_up.weight": up, "lora_down.weight": down, "alpha": torch.tensor(1.0), "dora_scale": shaped}

    def change(w: np.ndarray) -> np.ndarray:
        changed = w + 0.5 * (up @ down).numpy()
        return changed / np.linalg.norm(changed, axis=1 if by_row else 0, keepdims=True) * shaped.numpy() - w

    return parts, change


CASES: dict[str, tuple[str, Callable[[np.ndarray], tuple[Parts, Change]]]] = {
    "LoHa": (LINEAR, a_loha),
    "LoHa of a convolution": (CONVOLUTION, a_loha),
    "LoKr": (LINEAR, a_lokr),
    "LoKr of a convolution": (CONVOLUTION, a_lokr),
    "LoCon with a core": (CONVOLUTION, a_locon_with_a_core),
    "full": (LINEAR, a_full_change),
    "full of the text encoder": (TEXT, a_full_change),
    "DoRA by columns": (LINEAR, a_dora),
    "DoRA by rows": (LINEAR, lambda weight: a_dora(weight, by_row=True)),
}


@pytest.fixture
def models(tiny_models: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(tiny_models, tmp_path / "models"))


def install(models: Path, layer: str, build: Callable[[np.ndarray], tuple[Parts, Change]], strength: float) -> None:
    """Write the network, and a checkpoint `changed` whose weights have its change by hand."""
    pipeline = StableDiffusionPipeline.from_pretrained(models / "checkpoints" / CHECKPOINT, safety_checker=None)
    network = pipeline.text_encoder if layer == TEXT else pipeline.unet
    weight = getattr(network, "text_model", network).get_submodule(layer).weight
    parts, change = build(weight.detach().numpy().astype(np.float64))
    prefix = ("lora_te_text_model_" if layer == TEXT else "lora_unet_") + layer.replace(".", "_")
    (models / "loras").mkdir(exist_ok=True)
    save_file(
        {f"{prefix}.{name}": t.contiguous() for name, t in parts.items()}, str(models / "loras" / "lyco.safetensors")
    )
    with torch.no_grad():
        weight += strength * torch.from_numpy(change(weight.numpy().astype(np.float64))).float()
    pipeline.save_pretrained(models / "checkpoints" / "changed")


@pytest.mark.parametrize("case", CASES)
def test_the_image_is_that_of_the_changed_weights_and_afterwards_that_of_the_checkpoint(
    models: Path, case: str
) -> None:
    install(models, *CASES[case], strength=2.0)
    engine = an_engine(models)
    plain = make_one(engine)
    (ours,) = make(engine, a_request(loras=(Lora("lyco", 2.0, 2.0),)))
    assert ours.warnings == ()
    assert difference(ours.image, make_one(engine, checkpoint="changed")) <= 1
    assert difference(ours.image, plain) > 2
    assert difference(make_one(engine), plain) == 0


def test_it_goes_with_a_plain_lora_whose_layers_are_wrapped(models: Path) -> None:
    install(models, LINEAR, a_loha, strength=1.0)
    engine = an_engine(models)
    plain = make_one(engine)
    both = make_one(engine, loras=(Lora(LORA), Lora("lyco")))
    assert difference(both, make_one(engine, checkpoint="changed", loras=(Lora(LORA),))) <= 1
    assert difference(make_one(engine), plain) <= 1


def test_another_checkpoint_has_its_own_weights(models: Path) -> None:
    install(models, LINEAR, a_loha, strength=1.0)
    engine = an_engine(models)
    other = make_one(engine, checkpoint=OTHER_CHECKPOINT)
    make_one(engine, loras=(Lora("lyco"),))
    assert difference(make_one(engine, checkpoint=OTHER_CHECKPOINT), other) == 0


def test_layers_that_do_not_fit_are_counted_and_the_others_applied(models: Path) -> None:
    install(models, LINEAR, a_full_change, strength=1.0)
    path = models / "loras" / "lyco.safetensors"
    odd = {"lora_unet_nowhere.diff": torch.zeros(3, 3), "lora_unet_conv_in.diff": torch.zeros(5)}
    save_file(load_file(str(path)) | odd, str(path))
    engine = an_engine(models)
    for _ in range(2):
        (made,) = make(engine, a_request(loras=(Lora("lyco"),)))
        assert any("2 of 3 layers do not fit" in text for text in made.warnings)
        assert difference(made.image, make_one(engine, checkpoint="changed")) <= 1


def test_one_with_layers_that_do_not_fit_is_taken_out_too(models: Path) -> None:
    install(models, LINEAR, a_full_change, strength=1.0)
    path = models / "loras" / "lyco.safetensors"
    save_file(load_file(str(path)) | {"lora_unet_nowhere.diff": torch.zeros(3, 3)}, str(path))
    engine = an_engine(models)
    plain = make_one(engine)
    assert difference(make_one(engine, loras=(Lora("lyco"),)), plain) > 2
    assert difference(make_one(engine), plain) == 0


def test_one_with_layers_that_do_not_fit_is_merged_once_for_all_its_images(
    models: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    install(models, LINEAR, a_full_change, strength=1.0)
    path = models / "loras" / "lyco.safetensors"
    save_file(load_file(str(path)) | {"lora_unet_nowhere.diff": torch.zeros(3, 3)}, str(path))
    engine = an_engine(models)
    merged: list[object] = []
    real = lycoris.change_of
    monkeypatch.setattr(lycoris, "change_of", lambda parts, weight: merged.append(parts) or real(parts, weight))
    told = [make(engine, a_request(loras=(Lora("lyco"),)))[0].warnings for _ in range(2)]
    assert len(merged) == 1
    assert told[0] == told[1] != ()


def test_weights_that_merging_saves_count_to_the_budget_of_the_memory_that_they_lie_in(models: Path) -> None:
    install(models, LINEAR, a_full_change, strength=1.0)
    engine = an_engine(models)
    plain = make_one(engine)
    before = engine.models.cache.used_bytes
    make_one(engine, loras=(Lora("lyco"),))
    size = (models / "loras" / "lyco.safetensors").stat().st_size
    with engine.models.cache.lease() as lease:
        weight = engine.models.checkpoint(lease, "").unet.get_submodule(LINEAR).weight
    assert engine.models.cache.used_bytes == before + size + weight.nbytes
    assert difference(make_one(engine), plain) == 0
    kept = 2 * weight.nbytes  # with the set, for the next request with it, and without
    assert engine.models.cache.used_bytes == before + size + kept


def test_a_lora_whose_saved_weights_exceed_the_budget_is_refused_and_taken_out(tiny_models: Path) -> None:
    engine = an_engine(tiny_models, memory_budget_mb=6)  # the checkpoint is 5 MB
    plain = make_one(engine)
    with pytest.raises(Overloaded):
        make(engine, a_request(loras=(Lora(LORA),)))
    assert difference(make_one(engine), plain) == 0


class Layer(torch.nn.Module):  # type: ignore[misc]
    """A network of one layer, `to_v`."""

    def __init__(self) -> None:
        super().__init__()
        self.to_v = torch.nn.Linear(4, 4)


def test_what_was_merged_before_an_error_is_taken_out(monkeypatch: pytest.MonkeyPatch) -> None:
    unet, encoder, merger = Layer(), torch.nn.Module(), Merger()
    before = unet.to_v.weight.detach().clone()
    first = Network("first", {"lora_unet_to_v": {"diff": torch.ones(4, 4)}})
    second = Network("second", {"lora_unet_to_v": {"diff": torch.ones(4, 4)}})

    def fail_for_the_second(parts: Parts, weight: torch.Tensor) -> torch.Tensor:
        if parts is second.layers["lora_unet_to_v"]:
            raise torch.OutOfMemoryError("no memory")
        return parts["diff"]

    monkeypatch.setattr(lycoris, "change_of", fail_for_the_second)
    with pytest.raises(torch.OutOfMemoryError):
        merger.merge(unet, encoder, [(first, 1.0, 1.0), (second, 1.0, 1.0)])
    assert merger.merge(unet, encoder, []) == []
    assert torch.equal(unet.to_v.weight, before)


HUGE = 10**7
ODD_PARTS = {
    "no rows": {"lora_up.weight": torch.zeros(()), "lora_down.weight": torch.zeros(()), "dora_scale": torch.zeros(1)},
    "a length without a place": {"diff": torch.zeros(4, 4), "dora_scale": torch.tensor(1.0)},
    "a bias of another size": {"diff_b": torch.zeros(1)},
    "a huge product": {"lora_up.weight": torch.zeros(HUGE, 1), "lora_down.weight": torch.zeros(1, HUGE)},
    "a huge LoHa": {
        "hada_w1_a": torch.zeros(HUGE, 1), "hada_w1_b": torch.zeros(1, HUGE), "hada_w2_a": torch.zeros(HUGE, 1),
        "hada_w2_b": torch.zeros(1, HUGE),
    },
    "a LoHa of two forms": {
        "hada_w1_a": torch.zeros(16, 1), "hada_w1_b": torch.zeros(1, 1), "hada_w2_a": torch.zeros(1, 1),
        "hada_w2_b": torch.zeros(1, 16),
    },
    "a huge LoKr": {"lokr_w1": torch.zeros(HUGE, 1), "lokr_w2": torch.zeros(1, HUGE)},
}  # fmt: skip


@pytest.mark.parametrize("case", ODD_PARTS)
def test_a_layer_of_an_impossible_form_is_counted_and_changes_nothing(case: str) -> None:
    unet, merger = Layer(), Merger()
    before = [parameter.detach().clone() for parameter in unet.parameters()]
    network = Network("odd", {"lora_unet_to_v": ODD_PARTS[case]})
    assert "1 of 1 layers do not fit" in merger.merge(unet, torch.nn.Module(), [(network, 1.0, 1.0)])[0]
    assert all(torch.equal(now, then) for now, then in zip(unet.parameters(), before, strict=True))


def test_a_file_that_is_written_over_does_not_change_a_network_that_was_read(tmp_path: Path) -> None:
    path = tmp_path / "lyco.safetensors"
    save_file({"lora_unet_to_v.diff": torch.ones(64, 64)}, str(path))
    network = read_network("lyco", load_tensors(path))
    with path.open("r+b") as stream:
        stream.write(bytes(path.stat().st_size))
    assert network.layers["lora_unet_to_v"]["diff"].eq(1).all()


@pytest.mark.parametrize(("part", "form"), [("oft_blocks", "OFT"), ("on_input", "IA3"), ("a1.weight", "GLoRA")])
def test_a_form_that_is_not_applied_is_left_out_by_its_name(models: Path, part: str, form: str) -> None:
    layer = f"lora_unet_{LINEAR.replace('.', '_')}"
    tensors = {f"{layer}.{part}": torch.zeros(2, 2), f"{layer}.lora_down.weight": torch.zeros(2, 32)}
    save_file(tensors, str(models / "loras" / "odd.safetensors"))
    (made,) = make(an_engine(models), a_request(loras=(Lora("odd"),)))
    assert any(f"'odd' was left out: it is of the form {form}" in text for text in made.warnings)
