"""Depth preprocessors: files with the names of their authors' tensors.

ZoeDepth has 345 million weights and is too large to make here; it is opened as LeReS is.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("torch")

import torch

from deployments.contracts.albums import Face
from deployments.contracts.arrays import Image
from deployments.contracts.diffusion import HintOptions
from deployments.engines.diffusion.annotators import NETWORKS
from deployments.engines.diffusion.preprocessors import Preprocessors
from deployments.errors import WeightsMissing
from tests.support.builders import an_image

IMAGE = an_image((96, 64), 3)
WIDTH, LAYERS, STAGES = 64, 8, (24, 32, 40, 48)
FUSED, HEAD = 16, 8


def no_faces(_: Image) -> Sequence[Face]:
    return []


def draw(folder: Path, module: str, threshold_b: float | None = None) -> Image:
    options = HintOptions(processor_res=64, threshold_b=threshold_b)
    return Preprocessors(folder, no_faces_here).make(module, IMAGE, options)


def no_faces_here() -> Callable[[Image], Sequence[Face]]:
    return no_faces


def random_tensors(shapes: Mapping[str, tuple[int, ...]]) -> dict[str, Any]:
    """Make tensors of the real shapes in half precision: numbers of one small pool, which are quickly copied."""
    pool = torch.randn(2**16 + 1, generator=torch.Generator().manual_seed(0)).mul(0.05).half()
    made = {}
    for name, shape in shapes.items():
        count = math.prod(shape)
        made[name] = pool.repeat(count // len(pool) + 1)[:count].reshape(shape)
        if name.endswith("running_var"):
            made[name] = torch.ones(shape)
    return made


def depth_anything_shapes() -> dict[str, tuple[int, ...]]:
    """Names of the published files, in the widths above."""
    shapes: dict[str, tuple[int, ...]] = {
        "pretrained.cls_token": (1, 1, WIDTH),
        "pretrained.mask_token": (1, WIDTH),
        "pretrained.pos_embed": (1, 1 + 4 * 4, WIDTH),
        "pretrained.patch_embed.proj.weight": (WIDTH, 3, 14, 14),
        "pretrained.patch_embed.proj.bias": (WIDTH,),
        "pretrained.norm.weight": (WIDTH,),
        "pretrained.norm.bias": (WIDTH,),
    }
    layer = {
        **{f"{norm}.{part}": (WIDTH,) for norm in ("norm1", "norm2") for part in ("weight", "bias")},
        **{"attn.qkv.weight": (3 * WIDTH, WIDTH), "attn.qkv.bias": (3 * WIDTH,)},
        **{"attn.proj.weight": (WIDTH, WIDTH), "attn.proj.bias": (WIDTH,)},
        **{"ls1.gamma": (WIDTH,), "ls2.gamma": (WIDTH,)},
        **{"mlp.fc1.weight": (4 * WIDTH, WIDTH), "mlp.fc1.bias": (4 * WIDTH,)},
        **{"mlp.fc2.weight": (WIDTH, 4 * WIDTH), "mlp.fc2.bias": (WIDTH,)},
    }
    shapes |= {f"pretrained.blocks.{n}.{name}": shape for n in range(LAYERS) for name, shape in layer.items()}
    head: dict[str, tuple[int, ...]] = {}
    for number, (width, kernel) in enumerate(zip(STAGES, (4, 2, 0, 3), strict=True)):
        head |= {f"projects.{number}.weight": (width, WIDTH, 1, 1), f"projects.{number}.bias": (width,)}
        head |= {f"scratch.layer{number + 1}_rn.weight": (FUSED, width, 3, 3)}
        if kernel:
            head |= {f"resize_layers.{number}.weight": (width, width, kernel, kernel)}
            head |= {f"resize_layers.{number}.bias": (width,)}
        net = f"scratch.refinenet{number + 1}"
        head |= {f"{net}.out_conv.weight": (FUSED, FUSED, 1, 1), f"{net}.out_conv.bias": (FUSED,)}
        for unit in ("resConfUnit1.conv1", "resConfUnit1.conv2", "resConfUnit2.conv1", "resConfUnit2.conv2"):
            head |= {f"{net}.{unit}.weight": (FUSED, FUSED, 3, 3), f"{net}.{unit}.bias": (FUSED,)}
    head |= {"scratch.output_conv1.weight": (FUSED // 2, FUSED, 3, 3), "scratch.output_conv1.bias": (FUSED // 2,)}
    head |= {"scratch.output_conv2.0.weight": (HEAD, FUSED // 2, 3, 3), "scratch.output_conv2.0.bias": (HEAD,)}
    head |= {"scratch.output_conv2.2.weight": (1, HEAD, 1, 1), "scratch.output_conv2.2.bias": (1,)}
    return shapes | {f"depth_head.{name}": shape for name, shape in head.items()}


def write_depth_anything(path: Path) -> Path:
    generator = torch.Generator().manual_seed(0)
    tensors = {
        name: torch.randn(shape, generator=generator) * (0.3 if len(shape) > 1 else 0.1)
        for name, shape in depth_anything_shapes().items()
    }
    if path.suffix == ".safetensors":
        from safetensors.torch import save_file

        save_file(tensors, path)
    else:
        torch.save(tensors, path)
    return path


@pytest.mark.parametrize(
    ("module", "file"),
    [
        ("depth_anything", "depth_anything_vitl14.pth"),
        ("depth_anything", "depth_anything_vits14.pth"),
        ("depth_anything_v2", "depth_anything_v2_vitl.safetensors"),
        ("depth_anything_v2", "depth_anything_v2_vits.pth"),
    ],
)
def test_depth_anything_draws_with_its_authors_file(tmp_path: Path, module: str, file: str) -> None:
    write_depth_anything(tmp_path / file)
    drawn = draw(tmp_path, module)
    assert drawn.shape == IMAGE.shape
    assert (drawn.min(), drawn.max()) == (0, 255)
    assert len(np.unique(drawn)) > 64
    np.testing.assert_array_equal(drawn[..., 0], drawn[..., 2])


def test_the_two_versions_look_at_other_layers_of_one_file(tmp_path: Path) -> None:
    for name in ("depth_anything_vits14.pth", "depth_anything_v2_vits.pth"):
        write_depth_anything(tmp_path / name)
    assert (draw(tmp_path, "depth_anything") != draw(tmp_path, "depth_anything_v2")).any()


def test_tensors_of_depth_anything_have_their_places(tmp_path: Path) -> None:
    path = write_depth_anything(tmp_path / "depth_anything_vits14.pth")
    whole, tensors = draw(tmp_path, "depth_anything"), torch.load(path)

    def turned(group: str) -> Image:
        torch.save({name: tensor.flip(0) if group in name else tensor for name, tensor in tensors.items()}, path)
        return draw(tmp_path, "depth_anything")

    for group in ("attn.qkv", "attn.proj", "ls2", "mlp.fc2", "projects.0", "layer1_rn", "refinenet1", "output_conv2.0"):
        assert (turned(group) != whole).any(), group
    # Nothing comes before the coarsest stage, so one half of it has nothing to do.
    np.testing.assert_array_equal(turned("refinenet4.resConfUnit1"), whole)


def test_a_file_of_depth_anything_that_lacks_a_tensor_is_refused_by_name(tmp_path: Path) -> None:
    path = write_depth_anything(tmp_path / "depth_anything_vits14.pth")
    torch.save({key: tensor for key, tensor in torch.load(path).items() if "refinenet2.out_conv" not in key}, path)
    with pytest.raises(WeightsMissing, match=r"depth_anything_vits14\.pth.*2 of"):
        draw(tmp_path, "depth_anything")


@pytest.mark.parametrize("positions", [1, 1 + 200 * 200])
def test_a_file_of_depth_anything_that_looks_at_no_such_picture_is_refused_by_name(
    tmp_path: Path, positions: int
) -> None:
    path = write_depth_anything(tmp_path / "depth_anything_vits14.pth")
    torch.save(torch.load(path) | {"pretrained.pos_embed": torch.zeros(1, positions, WIDTH)}, path)
    with pytest.raises(WeightsMissing, match=r"depth_anything_vits14\.pth"):
        draw(tmp_path, "depth_anything")


def write_leres(folder: Path) -> None:
    with warnings.catch_warnings(), torch.device("meta"):
        warnings.simplefilter("ignore")
        from controlnet_aux.leres.leres.multi_depth_model_woauxi import RelDepthModel

        network = RelDepthModel(backbone="resnext101")
    tensors = random_tensors({name: tuple(tensor.shape) for name, tensor in network.state_dict().items()})
    torch.save({"depth_model": {f"module.{name}": value for name, value in tensors.items()}}, folder / "res101.pth")


def test_leres_draws_with_a_file_of_the_real_shapes(tmp_path: Path) -> None:
    (tmp_path / "leres").mkdir()
    write_leres(tmp_path / "leres")
    drawn = draw(tmp_path, "depth_leres")
    assert drawn.shape == IMAGE.shape
    assert len(np.unique(drawn)) > 16
    far_removed = draw(tmp_path, "depth_leres", threshold_b=60)
    assert ((far_removed == 0) >= (drawn < 100)).all()
    assert (far_removed == 0).sum() > (drawn == 0).sum()


def write_merger(folder: Path) -> Path:
    with warnings.catch_warnings(), torch.device("meta"):
        warnings.simplefilter("ignore")
        from controlnet_aux.leres.pix2pix.models.networks import UnetGenerator, get_norm_layer

        network = UnetGenerator(2, 1, 10, norm_layer=get_norm_layer("none"))
    path = folder / "latest_net_G.pth"
    torch.save(random_tensors({name: tuple(tensor.shape) for name, tensor in network.state_dict().items()}), path)
    return path


def test_sharp_leres_merges_what_it_saw_twice_and_reads_no_command_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "leres").mkdir()
    write_leres(tmp_path / "leres")
    path = write_merger(tmp_path / "leres")
    monkeypatch.setattr("sys.argv", ["darkroom", "--no-such-option"])
    drawn = draw(tmp_path, "depth_leres++")
    assert drawn.shape == IMAGE.shape
    assert len(np.unique(drawn)) > 16
    assert capsys.readouterr().out == ""
    torch.save({name: tensor for name, tensor in torch.load(path).items() if "model.3" not in name}, path)
    with pytest.raises(WeightsMissing, match=r"latest_net_G\.pth"):
        draw(tmp_path, "depth_leres++")
    path.unlink()
    with pytest.raises(WeightsMissing, match=r"latest_net_G\.pth"):
        draw(tmp_path, "depth_leres++")


def test_two_depths_are_merged_by_the_network_from_minus_one_to_one() -> None:
    from deployments.engines.diffusion.depth_networks import Merger

    merger = Merger(torch.nn.Conv2d(2, 1, 1))
    with torch.no_grad():
        merger.network.weight.copy_(torch.tensor([1.0, 10.0]).reshape(1, 2, 1, 1))
        merger.network.bias.zero_()
        merger.set_input(np.array([[0.0, 2.0], [4.0, 1.0]]), np.full((2, 2), 3.0))
        merger.test()
    made = merger.get_current_visuals()["fake_B"]
    assert made.flatten().tolist() == [-11, -10, -9, -10.5]  # an even depth is no division by nothing


@pytest.mark.parametrize(
    ("module", "file"),
    [("depth_zoe", "ZoeD_M12_N.pt"), ("depth_leres", "res101.pth"), ("depth_anything", "depth_anything_vitl14.pth")],
)
def test_a_file_of_another_network_is_refused_by_name(tmp_path: Path, module: str, file: str) -> None:
    torch.save({"model": {"weight": torch.zeros(3)}}, tmp_path / file)
    with pytest.raises(WeightsMissing, match=file.replace(".", r"\.")):
        draw(tmp_path, module)


def test_modules_of_depth_say_which_file_they_need_and_whether_it_is_here(tmp_path: Path) -> None:
    write_depth_anything(tmp_path / "depth_anything_v2_vits.pth")
    modules = {module.name: module for module in Preprocessors(tmp_path, no_faces_here).modules()}
    assert modules["depth_anything_v2"].available
    assert not modules["depth_anything"].available
    for name, network in (("depth_zoe", "zoe"), ("depth_leres", "leres"), ("depth_anything_v2", "depth_anything_v2")):
        assert modules[name].weights == NETWORKS[network].files
        assert modules[name].source == NETWORKS[network].source
