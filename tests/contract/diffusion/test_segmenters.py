"""Segmentation preprocessors over folders in the form of the hub, of networks of the real classes."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

pytest.importorskip("transformers")

import torch
from safetensors.torch import load_file, save_file
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from transformers import OneFormerImageProcessor

from deployments.assets.palettes import ade20k, coco_panoptic
from deployments.contracts.arrays import Image
from deployments.contracts.diffusion import HintOptions
from deployments.engines.diffusion.descriptions import make_tokenizer
from deployments.engines.diffusion.preprocessors import Preprocessors
from deployments.errors import NotSupported, WeightsMissing
from tests.support.builders import an_image
from tests.support.diffusing import no_faces
from tests.support.hostile import Boom
from tests.support.segmenters import SIDE, a_segmenter, write_segmenter

IMAGE = an_image((96, SIDE), 3)
UPERNET, ONEFORMER, COCO = "upernet-convnext-small", "oneformer_ade20k_swin_large", "oneformer_coco_swin_large"

LARGE = cv2.resize(IMAGE, (1024, 512), interpolation=cv2.INTER_CUBIC)


def draw(folder: Path, module: str, image: Image = IMAGE) -> Image:
    options = HintOptions(processor_res=min(image.shape[:2]))
    return Preprocessors(folder, lambda: no_faces).make(module, image, options)


def seen(image: Image = IMAGE) -> Any:
    """An image as networks see it: padded to the preprocessors' grid, by the means and deviations of the folder."""
    padded = cv2.copyMakeBorder(image, 0, 0, 0, -image.shape[1] % 64, cv2.BORDER_REPLICATE)
    return (torch.from_numpy(padded).permute(2, 0, 1)[None].float() / 255 - 0.5) / 0.25


def expect(labels: Any, palette: np.ndarray, drawn: Image) -> None:
    """Check that labels of the padded image are what was drawn, some pixels at the borders of classes aside."""
    expected = palette[labels.numpy()][: drawn.shape[0], : drawn.shape[1]]
    _, counts = np.unique(drawn.reshape(-1, 3), axis=0, return_counts=True)
    assert counts.max() < 0.95 * counts.sum()  # no class is everywhere
    assert (expected == drawn).all(axis=2).mean() > 0.99


def labels_by_upernet(image: Image = IMAGE) -> Any:
    """Labels by transformers' own ways."""
    with torch.no_grad():
        return a_segmenter("upernet")(seen(image)).logits[0].argmax(dim=0)


def labels_by_oneformer(network: Any, image: Image = IMAGE) -> Any:
    for part in network.modules():  # the published files say that they train, and so leave units out at random
        if hasattr(part, "is_training"):
            part.is_training = False
    network.config.is_training = False
    task = make_tokenizer("sd1")("the task is semantic", padding="max_length", max_length=77)
    tokens = np.array(task.input_ids) * np.array(task.attention_mask)
    given = seen(image)
    with torch.no_grad():
        made = network(pixel_values=given, task_inputs=torch.from_numpy(tokens)[None])
    [labels] = OneFormerImageProcessor.post_process_semantic_segmentation(None, made, [tuple(given.shape[2:])])
    return labels


class Largest(TorchDispatchMode):  # type: ignore[misc]
    """Notes the bytes of the largest tensor that is made."""

    nbytes = 0

    def __torch_dispatch__(self, call: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        made = call(*args, **(kwargs or {}))
        for one in tree_leaves(made):
            if isinstance(one, torch.Tensor):
                self.nbytes = max(self.nbytes, one.untyped_storage().nbytes())
        return made


@pytest.fixture(scope="module")
def upernet(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("annotators")
    return write_segmenter(folder / UPERNET, a_segmenter("upernet"))


@pytest.fixture
def copied(tmp_path: Path, upernet: Path) -> Path:
    """A folder whose files a test may damage."""
    folder = tmp_path / UPERNET
    folder.mkdir()
    for file in upernet.iterdir():
        (folder / file.name).write_bytes(file.read_bytes())
    return folder


def test_upernet_draws_classes_in_the_colours_of_ade20k(upernet: Path) -> None:
    expect(labels_by_upernet(), ade20k(), draw(upernet.parent, "segmentation"))


@pytest.mark.parametrize(
    ("module", "name", "palette"),
    [("seg_ofade20k", ONEFORMER, ade20k), ("seg_ofcoco", COCO, coco_panoptic)],
)
def test_oneformer_draws_what_its_own_processor_sees(
    tmp_path: Path, module: str, name: str, palette: Callable[[], np.ndarray]
) -> None:
    (tmp_path / "oneformer").mkdir()
    network = a_segmenter("oneformer", len(palette()))
    write_segmenter(tmp_path / "oneformer" / name, network)
    expect(labels_by_oneformer(network), palette(), draw(tmp_path, module))


@pytest.mark.parametrize(
    ("kind", "module", "name"), [("upernet", "segmentation", UPERNET), ("oneformer", "seg_ofade20k", ONEFORMER)]
)
def test_of_a_large_image_the_scores_of_all_classes_are_never_held_at_once(
    tmp_path: Path, kind: str, module: str, name: str
) -> None:
    network = a_segmenter(kind)
    write_segmenter(tmp_path / name, network, min(LARGE.shape[:2]))
    with Largest() as largest:
        drawn = draw(tmp_path, module, LARGE)
    all_at_once = 4 * 150 * LARGE.shape[0] * LARGE.shape[1]
    assert 2**22 < largest.nbytes <= 2**26 < all_at_once
    expect(labels_by_upernet(LARGE) if kind == "upernet" else labels_by_oneformer(network, LARGE), ade20k(), drawn)


def test_palettes_have_a_colour_for_each_class() -> None:
    assert ade20k().shape == (150, 3)
    assert coco_panoptic().shape == (133, 3)
    assert coco_panoptic()[0].tolist() == [220, 20, 60]
    assert len(np.unique(coco_panoptic(), axis=0)) > 120


def test_a_pickle_of_the_weights_does_as_well(copied: Path, upernet: Path) -> None:
    weights = copied / "model.safetensors"
    torch.save(load_file(weights), copied / "pytorch_model.bin")
    weights.unlink()
    assert np.array_equal(draw(copied.parent, "segmentation"), draw(upernet.parent, "segmentation"))


def test_a_folder_without_its_configuration_is_refused_by_name(copied: Path) -> None:
    (copied / "preprocessor_config.json").unlink()
    assert draw(copied.parent, "segmentation").shape == IMAGE.shape  # which has a default
    for damage in (b"{", b"[]", b"[" * 100_000, b" " * 2**21):
        (copied / "config.json").write_bytes(damage)
        with pytest.raises(WeightsMissing, match=rf"{UPERNET}/config\.json"):
            draw(copied.parent, "segmentation")
    (copied / "config.json").unlink()
    with pytest.raises(WeightsMissing, match=r"config\.json.*missing"):
        draw(copied.parent, "segmentation")
    modules = {module.name: module for module in Preprocessors(copied.parent, lambda: no_faces).modules()}
    assert not modules["segmentation"].available


def test_a_whole_folder_goes_before_one_that_lacks_its_configuration(copied: Path, upernet: Path) -> None:
    copied.rename(copied.with_name("upernet-swin-tiny"))
    half = copied.parent / UPERNET
    half.mkdir()
    (half / "model.safetensors").write_bytes(b"")
    assert np.array_equal(draw(copied.parent, "segmentation"), draw(upernet.parent, "segmentation"))


@pytest.mark.parametrize(
    "changes",
    [
        {"model_type": "oneformer"},
        {"model_type": "beit"},
        {"backbone_config": {"model_type": "resnet"}},
        {"backbone_config": None},
        {"backbone": "microsoft/resnet-50"},
        {"use_timm_backbone": True},
        {"use_pretrained_backbone": True},
        {"auxiliary_num_convs": 10**9},
        {"hidden_size": 10**9},
        {"hidden_size": 100_000},
        {"pool_scales": [1, 2, 3, 100_000]},
        {"id2label": {"0": "cat"}, "label2id": {"cat": 0}},
    ],
)
def test_a_configuration_of_something_else_is_refused_by_name(copied: Path, changes: Mapping[str, Any]) -> None:
    path = copied / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))
    with pytest.raises((NotSupported, WeightsMissing), match=UPERNET):
        draw(copied.parent, "segmentation")


@pytest.mark.parametrize(
    "changes",
    [
        {"attn_implementation": "kernels-community/flash-attn"},
        {"quantization_config": {"quant_method": "bitsandbytes", "load_in_8bit": True}},
        {"return_dict": False},
        {"auto_map": {"AutoConfig": "hostile.Config"}, "trust_remote_code": True},
    ],
)
def test_how_a_network_is_run_is_not_for_its_configuration_to_say(
    copied: Path, upernet: Path, changes: Mapping[str, Any]
) -> None:
    path = copied / "config.json"
    told = json.loads(path.read_text())
    path.write_text(json.dumps(told | changes | {"backbone_config": told["backbone_config"] | changes}))
    assert np.array_equal(draw(copied.parent, "segmentation"), draw(upernet.parent, "segmentation"))


def test_a_window_whose_places_would_take_all_memory_is_refused(tmp_path: Path) -> None:
    folder = write_segmenter(tmp_path / ONEFORMER, a_segmenter("oneformer"))
    path = folder / "config.json"
    told = json.loads(path.read_text())
    path.write_text(json.dumps(told | {"backbone_config": told["backbone_config"] | {"window_size": 64}}))
    with pytest.raises(NotSupported, match="window_size"):
        draw(tmp_path, "oneformer_ade20k")


def test_a_network_that_fits_its_weights_and_cannot_be_run_is_refused_by_name(copied: Path) -> None:
    path = copied / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"pool_scales": [1, 2, 3, 0]}))
    with pytest.raises(WeightsMissing, match=r"model\.safetensors"):
        draw(copied.parent, "segmentation")


def test_weights_of_something_else_are_refused_by_name(copied: Path, tmp_path: Path) -> None:
    path, ran = copied / "model.safetensors", tmp_path / "ran"
    tensors = load_file(path)
    save_file({name: tensor for name, tensor in tensors.items() if "classifier" not in name}, path)
    with pytest.raises(WeightsMissing, match=f"{UPERNET}.*not complete"):
        draw(copied.parent, "segmentation")
    save_file({name: torch.zeros(3) for name in tensors}, path)
    with pytest.raises(WeightsMissing, match=r"model\.safetensors"):
        draw(copied.parent, "segmentation")
    path.write_bytes(path.read_bytes()[:200])
    with pytest.raises(WeightsMissing, match="model"):
        draw(copied.parent, "segmentation")
    path.unlink()
    torch.save({"weight": Boom(os.system, f"touch {ran}")}, copied / "pytorch_model.bin")
    with pytest.raises(NotSupported, match="pytorch_model"):
        draw(copied.parent, "segmentation")
    assert not ran.exists()


def test_modules_say_which_folder_they_need_and_whether_it_is_here(upernet: Path) -> None:
    modules = {module.name: module for module in Preprocessors(upernet.parent, lambda: no_faces).modules()}
    assert modules["segmentation"].available
    assert not modules["oneformer_coco"].available
    assert modules["oneformer_ade20k"].weights == (f"{ONEFORMER}/model.safetensors",)
    assert modules["oneformer_ade20k"].source.startswith("shi-labs/oneformer_ade20k_swin_large")
