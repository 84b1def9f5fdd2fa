"""LaMa of inpaint_only+lama: a file of the real shapes, under the names that its authors' files have."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

pytest.importorskip("torch")
pytest.importorskip("spandrel")

import torch

from deployments.contracts.arrays import Gray, Image
from deployments.contracts.diffusion import HintOptions
from deployments.engines.diffusion.lama import open_lama
from deployments.engines.diffusion.preprocessors import Preprocessors
from deployments.errors import DarkroomError, InvalidRequest, NotSupported, WeightsMissing
from tests.support.builders import an_image
from tests.support.diffusing import no_faces
from tests.support.hostile import Boom

FILE, MODULE = "ControlNetLama.pth", "inpaint_only+lama"
IMAGE = an_image((256, 320), 3)


@pytest.fixture(scope="module")
def network() -> Any:
    from spandrel.architectures.LaMa import LaMa

    torch.manual_seed(0)
    return LaMa(in_nc=4, out_nc=3).eval()


@pytest.fixture(scope="module")
def tensors(network: Any) -> dict[str, Any]:
    """The generator's state dict, as the extension's file has it; in half precision, for it is large."""
    halved = network.half().state_dict()
    named = {name.removeprefix("model."): tensor.clone() for name, tensor in halved.items()}
    network.float()
    return named


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory, tensors: dict[str, Any]) -> Path:
    made = tmp_path_factory.mktemp("annotators")
    (made / "lama").mkdir()
    torch.save(tensors, made / "lama" / FILE)
    return made


def a_mask(image: Image) -> Gray:
    mask = np.zeros(image.shape[:2], np.uint8)
    mask[50:150, 60:200] = 255
    return mask


def fill(folder: Path, image: Image, mask: Gray | None) -> Image:
    return Preprocessors(folder, lambda: no_faces).make(MODULE, image, HintOptions(mask=mask))


def test_what_the_mask_hides_is_filled_as_the_network_does_it(folder: Path, network: Any) -> None:
    mask = a_mask(IMAGE)
    with torch.no_grad():
        given = torch.from_numpy(IMAGE).permute(2, 0, 1)[None].float() / 255
        made = network(given, torch.from_numpy(mask)[None, None].float() / 255)[0].clamp(0, 1) * 255
    expected = np.rint(made.permute(1, 2, 0).numpy()).astype(np.int16)
    filled = fill(folder, IMAGE, mask)
    assert np.abs(filled.astype(np.int16) - expected)[mask > 0].max() <= 1
    assert np.array_equal(filled[mask == 0], IMAGE[mask == 0])
    assert (filled != IMAGE)[mask > 0].mean() > 0.5


def test_what_lies_under_the_mask_does_not_matter(folder: Path) -> None:
    mask, other = a_mask(IMAGE), IMAGE.copy()
    other[mask > 0] = 77
    assert np.array_equal(fill(folder, IMAGE, mask), fill(folder, other, mask))


def test_an_image_of_another_size_is_filled_in_its_own(folder: Path) -> None:
    image = cv2.resize(IMAGE, (500, 380))
    filled = fill(folder, image, a_mask(image))
    assert filled.shape == image.shape
    assert np.array_equal(filled[a_mask(image) == 0], image[a_mask(image) == 0])


def test_without_a_mask_nothing_is_filled(folder: Path) -> None:
    assert np.array_equal(fill(folder, IMAGE, None), IMAGE)
    assert np.array_equal(fill(folder, IMAGE, np.zeros(IMAGE.shape[:2], np.uint8)), IMAGE)
    with pytest.raises(InvalidRequest, match="size"):
        fill(folder, IMAGE, np.full((8, 8), 255, np.uint8))


@pytest.mark.parametrize("prefix", ["generator.", "model."])
def test_names_of_the_whole_training_and_of_packages_are_understood(
    tmp_path: Path, tensors: dict[str, Any], prefix: str
) -> None:
    path = tmp_path / FILE
    torch.save({f"{prefix}{name}": tensor for name, tensor in tensors.items()}, path)
    loaded = open_lama([path]).network.state_dict()
    assert torch.equal(loaded["model.model.34.weight"], tensors["model.34.weight"].float())


def test_files_of_other_networks_are_refused_by_name(tmp_path: Path, tensors: dict[str, Any]) -> None:
    path, mask, ran = tmp_path / FILE, a_mask(IMAGE), tmp_path / "ran"

    def refused(kind: type[DarkroomError]) -> None:
        with pytest.raises(kind, match="ControlNetLama"):
            fill(tmp_path, IMAGE, mask)

    refused(WeightsMissing)
    torch.save({name: tensor for name, tensor in tensors.items() if "model.34" not in name}, path)
    refused(WeightsMissing)
    torch.save(tensors | {"model.34.weight": torch.zeros(3, 8, 7, 7)}, path)
    refused(WeightsMissing)
    path.write_bytes(path.read_bytes()[:-1000])
    refused(WeightsMissing)
    torch.save({"model.34.weight": Boom(os.system, f"touch {ran}")}, path)
    refused(NotSupported)
    assert not ran.exists()


def test_it_can_run_where_its_file_is_and_says_which(folder: Path, tmp_path: Path) -> None:
    here, away = (
        {one.name: one for one in Preprocessors(place, lambda: no_faces).modules()}[MODULE]
        for place in (folder, tmp_path)
    )
    assert (here.available, away.available) == (True, False)
    assert (here.weights, here.source) == ((FILE,), "lllyasviel/Annotators")
