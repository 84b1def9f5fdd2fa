"""Face restoration networks from files as their authors made them, through spandrel."""

from __future__ import annotations

import os
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("diffusers")
pytest.importorskip("spandrel")

import torch

from deployments.contracts.arrays import Image
from deployments.engines.diffusion.engine import DiffusionEngine
from deployments.errors import InvalidRequest, NotSupported, WeightsMissing
from tests.support.builders import an_image
from tests.support.diffusing import an_engine, difference
from tests.support.hostile import Boom
from tests.support.restorers import a_codeformer, a_gfpgan, write_names_of_codeformer, write_restorer

needs_codeformer = pytest.mark.skipif(
    find_spec("spandrel_extra_arches") is None,
    reason="CodeFormer's network is in spandrel-extra-arches, which is not installed",
)

FACE = an_image((512, 512))


@pytest.fixture(scope="module")
def network() -> Any:
    return a_gfpgan()


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory, network: Any) -> Path:
    """A models folder with the folders of A1111."""
    folder = tmp_path_factory.mktemp("models")
    (folder / "GFPGAN").mkdir()
    (folder / "Codeformer").mkdir()
    write_restorer(folder / "GFPGAN" / "GFPGANv1.4.pth", network)
    write_names_of_codeformer(folder / "Codeformer" / "codeformer-v0.1.0.pth")
    return folder


@pytest.fixture(scope="module")
def engine(models: Path) -> DiffusionEngine:
    return an_engine(models)


@pytest.fixture(scope="module")
def restored(engine: DiffusionEngine) -> list[Image]:
    """`FACE` restored twice with the first weights: the network has its real size, and takes seconds for each."""
    return list(engine.restore_faces([FACE, FACE], "GFPGANv1.4"))


def test_a_face_is_restored_as_the_network_does_it_and_twice_the_same(restored: list[Image], network: Any) -> None:
    given = torch.from_numpy(FACE).permute(2, 0, 1)[None].float() / 127.5 - 1
    with torch.no_grad():
        made = network(given, return_rgb=False, randomize_noise=False)[0][0].clamp(-1, 1)
    expected = ((made + 1) * 127.5).round().to(torch.uint8).permute(1, 2, 0).numpy()
    assert expected.std() > 5  # it is no even grey
    assert [difference(one, expected) for one in restored] == [0, 0]


def test_a_face_of_another_size_is_refused(engine: DiffusionEngine) -> None:
    with pytest.raises(InvalidRequest, match="512"):
        engine.restore_faces([an_image((256, 256))], "GFPGANv1.4")


def test_restorers_are_listed_by_kind(engine: DiffusionEngine) -> None:
    named = {one.name: one.alias for one in engine.list_models().restorers}
    assert named == {"GFPGANv1.4": "GFPGAN", "codeformer-v0.1.0": "CodeFormer"}


def test_codeformer_is_refused_by_name_and_with_the_reason_where_its_package_lacks(
    engine: DiffusionEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "spandrel_extra_arches", None)
    with pytest.raises(NotSupported, match=r"codeformer-v0\.1\.0.*non-commercial.*spandrel-extra-arches"):
        engine.restore_faces([an_image((512, 512))], "codeformer-v0.1.0")
    needs = {one.alias: one.needs for one in engine.list_models().restorers}
    assert needs == {"GFPGAN": "", "CodeFormer": "spandrel-extra-arches"}


@needs_codeformer
def test_codeformer_restores_as_its_network_does_by_the_weight(tmp_path: Path) -> None:
    (tmp_path / "Codeformer").mkdir()
    network, face = a_codeformer(), an_image((512, 512))
    write_restorer(tmp_path / "Codeformer" / "codeformer-v0.1.0.pth", network)
    engine = an_engine(tmp_path)
    assert [one.needs for one in engine.list_models().restorers] == [""]
    given = torch.from_numpy(face).permute(2, 0, 1)[None].float() / 127.5 - 1
    with torch.no_grad():
        expected = ((network(given, weight=1.0)[0][0].clamp(-1, 1) + 1) * 127.5).round().to(torch.uint8)
    [followed] = engine.restore_faces([face], "codeformer-v0.1.0", 1.0)
    assert difference(followed, expected.permute(1, 2, 0).numpy()) == 0
    [restored] = engine.restore_faces([face], "codeformer-v0.1.0", 0.0)
    assert difference(restored, followed) > 0


@needs_codeformer
def test_what_is_no_codeformer_is_refused_by_name(models: Path, engine: DiffusionEngine, tmp_path: Path) -> None:
    folder, face, mark = models / "Codeformer", [an_image((512, 512))], tmp_path / "ran"
    with pytest.raises(NotSupported, match=r"codeformer-v0\.1\.0"):
        engine.restore_faces(face, "codeformer-v0.1.0")
    names = ("position_emb", "quantize.embedding.weight")
    torch.save(dict.fromkeys(names, Boom(os.system, f"touch {mark}")), folder / "codeformer-evil.pth")
    with pytest.raises(NotSupported, match="codeformer-evil"):
        engine.restore_faces(face, "codeformer-evil")
    assert not mark.exists()
    write_restorer(folder / "codeformer-other.pth", a_codeformer(cells=64))
    with pytest.raises(WeightsMissing, match=r"codeformer-other.*another size"):
        engine.restore_faces(face, "codeformer-other")
    tensors = a_codeformer().state_dict()
    torch.save(
        {name: tensor for name, tensor in tensors.items() if "generator" not in name}, folder / "codeformer-part.pth"
    )
    with pytest.raises(WeightsMissing, match="codeformer-part"):
        engine.restore_faces(face, "codeformer-part")


def test_what_is_no_restorer_is_refused_by_name(models: Path, engine: DiffusionEngine, tmp_path: Path) -> None:
    from spandrel.architectures.ESRGAN import ESRGAN

    folder, face, mark = models / "GFPGAN", [an_image((512, 512))], tmp_path / "ran"
    torch.save(ESRGAN(num_filters=8, num_blocks=1).state_dict(), folder / "GFPGAN-not.pth")
    with pytest.raises(NotSupported, match="no GFPGAN network but ESRGAN"):
        engine.restore_faces(face, "GFPGAN-not")
    torch.save({"params_ema": {"x": Boom(os.system, f"touch {mark}")}}, folder / "GFPGAN-evil.pth")
    with pytest.raises(NotSupported, match="GFPGAN-evil"):
        engine.restore_faces(face, "GFPGAN-evil")
    assert not mark.exists()
    short = folder / "GFPGAN-short.pth"
    torch.save({"params_ema": {name: torch.zeros(1) for name in ("toRGB.0.weight", "final_linear.bias")}}, short)
    short.write_bytes(short.read_bytes()[:-200])
    with pytest.raises(WeightsMissing, match="GFPGAN-short"):
        engine.restore_faces(face, "GFPGAN-short")
    with pytest.raises(WeightsMissing, match="GFPGANv9"):
        engine.restore_faces(face, "GFPGANv9")


def test_the_newest_weights_are_those_that_the_file_has_now(
    models: Path, engine: DiffusionEngine, restored: list[Image]
) -> None:
    write_restorer(models / "GFPGAN" / "GFPGANv1.4.pth", a_gfpgan(seed=1))
    after = engine.restore_faces([FACE], "GFPGANv1.4")[0]
    assert not np.array_equal(restored[0], after)
