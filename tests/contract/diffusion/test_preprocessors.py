"""ControlNet preprocessors: sliders, weights that are missing, networks of the real shape with random weights.

MiDaS has 123 million weights and is too large to make here; it takes the same way as HED.
"""

from __future__ import annotations

import os
import warnings
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
from pathlib import Path
from threading import Event

import numpy as np
import pytest

from configs.settings import Settings
from deployments.contracts.albums import Face
from deployments.contracts.arrays import Image
from deployments.contracts.diffusion import HintOptions
from deployments.engines.diffusion.annotators import Annotators
from deployments.engines.diffusion.batched import face_search
from deployments.engines.diffusion.model_cache import Lease, ModelCache
from deployments.engines.diffusion.preprocessors import MODULES, Preprocessors
from deployments.errors import InvalidRequest, NotSupported, WeightsMissing
from tests.support.builders import a_photo, an_image
from tests.support.hostile import Boom

IMAGE = an_image((96, 80), 3)
FILTERS = (
    *("lineart_standard", "blur_gaussian", "tile_resample", "color", "shuffle", "recolor_luminance"),
    *("recolor_intensity", "inpaint", "inpaint_only", "openpose_faceonly", "tile_colorfix", "tile_colorfix+sharp"),
)


def a_circle(width: float, score: float, at: tuple[float, float]) -> Face:
    angles = np.linspace(0, 2 * np.pi, 468, endpoint=False)
    points = np.stack([np.cos(angles), np.sin(angles)], axis=1) * width / 2 + at
    return Face((0, 0, 1, 1), score, 1.0, points.astype(np.float32), np.zeros(4, np.float32))


def two_faces(image: Image) -> Sequence[Face]:
    """In the left and in the right half; the right one is doubtful."""
    height, width = image.shape[:2]
    return [a_circle(width / 3, 0.9, (width / 4, height / 2)), a_circle(width / 3, 0.4, (width * 3 / 4, height / 2))]


@pytest.fixture
def hints(tmp_path: Path) -> Preprocessors:
    return Preprocessors(tmp_path, lambda: two_faces)


@pytest.mark.parametrize("name", ["none", "canny", "threshold", "scribble_xdog", "invert", "mediapipe_face", *FILTERS])
def test_a_hint_has_the_size_of_its_picture(hints: Preprocessors, name: str) -> None:
    drawn = hints.make(name, IMAGE, HintOptions())
    assert (drawn.shape, drawn.dtype) == (IMAGE.shape, np.uint8)


def test_module_none_gives_the_picture_back_and_invert_its_negative(hints: Preprocessors) -> None:
    np.testing.assert_array_equal(hints.make("none", IMAGE, HintOptions()), IMAGE)
    np.testing.assert_array_equal(hints.make("invert", IMAGE, HintOptions()), 255 - IMAGE)


@pytest.mark.parametrize(("name", "label"), [(m.name, m.label) for m in MODULES if m.name != m.label and m.draw])
def test_name_and_label_are_the_same(hints: Preprocessors, name: str, label: str) -> None:
    try:
        np.testing.assert_array_equal(hints.make(name, IMAGE, HintOptions()), hints.make(label, IMAGE, HintOptions()))
    except WeightsMissing as missing:
        with pytest.raises(WeightsMissing, match=missing.extra["file"]):
            hints.make(label, IMAGE, HintOptions())


def test_an_unknown_module_is_refused(hints: Preprocessors) -> None:
    with pytest.raises(InvalidRequest, match="magic"):
        hints.make("magic", IMAGE, HintOptions())


def test_a_module_that_does_not_run_here_is_refused_by_name(hints: Preprocessors) -> None:
    with pytest.raises(NotSupported, match="clip_vision"):
        hints.make("t2ia_style_clipvision", IMAGE, HintOptions())
    available = {module.name: module.available for module in hints.modules()}
    assert not available["clip_vision"]


@pytest.mark.parametrize(
    ("module", "file"), [("softedge_hed", "ControlNetHED.pth"), ("depth_midas", "dpt_hybrid-midas-501f0c75.pt")]
)
def test_missing_weights_name_file_and_setting(hints: Preprocessors, module: str, file: str, tmp_path: Path) -> None:
    with pytest.raises(WeightsMissing, match="DARKROOM_DIFFUSION__MODELS_DIR") as raised:
        hints.make(module, IMAGE, HintOptions())
    assert file in raised.value.message
    assert str(tmp_path) not in raised.value.message


def test_a_threshold_outside_its_slider_is_the_default(hints: Preprocessors) -> None:
    default = hints.make("canny", IMAGE, HintOptions(threshold_a=100, threshold_b=200))
    for outside in (-1.0, 0.0, 256.0, None):
        options = HintOptions(threshold_a=outside, threshold_b=outside)
        np.testing.assert_array_equal(hints.make("canny", IMAGE, options), default)
    assert (hints.make("canny", IMAGE, HintOptions(threshold_a=1, threshold_b=10)) != default).any()


def test_a_resolution_outside_its_slider_is_512(hints: Preprocessors) -> None:
    default = hints.make("canny", IMAGE, HintOptions(processor_res=512))
    for outside in (-1, 0, 63, 100_000):
        np.testing.assert_array_equal(hints.make("canny", IMAGE, HintOptions(processor_res=outside)), default)
    assert (hints.make("canny", IMAGE, HintOptions(processor_res=64)) != default).any()


def test_a_strip_is_not_blown_up(hints: Preprocessors) -> None:
    strip = np.zeros((2, 4000, 3), np.uint8)
    assert hints.make("canny", strip, HintOptions(processor_res=2048)).shape == strip.shape


def test_as_many_faces_are_drawn_as_asked_for_and_confident_enough(hints: Preprocessors) -> None:
    def halves(**options: float) -> tuple[bool, bool]:
        drawn = hints.make("mediapipe_face", an_image((256, 256)), HintOptions(**options))  # type: ignore[arg-type]
        return bool(drawn[:, :128].any()), bool(drawn[:, 128:].any())

    assert halves(threshold_a=1) == (True, False)
    assert halves(threshold_a=2) == (True, False)
    assert halves(threshold_a=2, threshold_b=0.3) == (True, True)
    assert halves(threshold_a=1, threshold_b=0.3) == (True, False)


def test_modules_say_whether_their_weights_are_here(tmp_path: Path) -> None:
    def nothing() -> None:
        raise WeightsMissing("no face engine")

    (tmp_path / "ControlNetHED.pth").write_bytes(b"")
    available = {module.name: module.available for module in Preprocessors(tmp_path, nothing).modules()}  # type: ignore[arg-type]
    assert (available["canny"], available["hed"], available["depth"]) == (True, True, False)
    assert not available["mediapipe_face"]


def test_sliders_are_those_of_a1111(hints: Preprocessors) -> None:
    sliders = {module.name: module.sliders for module in hints.modules()}
    assert sliders["canny"] == (
        {"name": "Resolution", "value": 512, "min": 64, "max": 2048, "step": 8},
        {"name": "Low Threshold", "value": 100, "min": 1, "max": 255, "step": 1},
        {"name": "High Threshold", "value": 200, "min": 1, "max": 255, "step": 1},
    )
    assert sliders["none"] == ()


def test_hed_draws_with_weights_from_the_folder(tmp_path: Path) -> None:
    torch = pytest.importorskip("torch")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of packages of detectors that are not used
        from controlnet_aux.hed import ControlNetHED_Apache2
    torch.manual_seed(0)
    torch.save(ControlNetHED_Apache2().state_dict(), tmp_path / "ControlNetHED.pth")
    hints = Preprocessors(tmp_path, lambda: two_faces)
    soft, safe, scribble = (
        hints.make(name, IMAGE, HintOptions(processor_res=64)) for name in ("softedge_hed", "hed_safe", "scribble_hed")
    )
    assert soft.shape == IMAGE.shape
    assert len(np.unique(soft)) > len(np.unique(safe))
    assert set(np.unique(scribble)) <= {0, 255}


def write_weights(folder: Path) -> None:
    """Write random weights of the real shapes for the smaller networks, as their authors' files hold them."""
    import torch

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of packages of detectors that are not used
        from controlnet_aux.lineart import Generator
        from controlnet_aux.mlsd import MobileV2_MLSD_Large
        from controlnet_aux.pidi import pidinet
        from controlnet_aux.teed import TED
    torch.manual_seed(0)
    for name in ("sk_model.pth", "sk_model2.pth"):
        torch.save(Generator(3, 1, 3).state_dict(), folder / name)
    torch.save(
        {"state_dict": {f"module.{name}": value for name, value in pidinet().state_dict().items()}},
        folder / "table5_pidinet.pth",
    )
    torch.save(MobileV2_MLSD_Large().state_dict(), folder / "mlsd_large_512_fp32.pth")
    torch.save(TED().state_dict(), folder / "5_model.pth")


def test_networks_draw_with_weights_from_the_folder(tmp_path: Path) -> None:
    pytest.importorskip("torch")
    write_weights(tmp_path)
    hints = Preprocessors(tmp_path, lambda: two_faces)
    drawn = {
        name: hints.make(name, IMAGE, HintOptions(processor_res=64))
        for name in (
            *("lineart", "lineart_coarse", "pidinet", "pidinet_safe", "pidinet_scribble", "pidinet_sketch"),
            *("mlsd", "softedge_teed"),
        )
    }
    assert {hint.shape for hint in drawn.values()} == {IMAGE.shape}
    assert (drawn["lineart"] != drawn["lineart_coarse"]).any()
    assert (drawn["pidinet"] != drawn["pidinet_safe"]).any()
    assert set(np.unique(drawn["pidinet_scribble"])) <= {0, 255}
    assert set(np.unique(drawn["pidinet_sketch"])) <= {0, 255}


def test_weights_that_would_run_code_are_refused_by_name(tmp_path: Path) -> None:
    torch = pytest.importorskip("torch")
    write_weights(tmp_path)
    mark = tmp_path / "ran"
    torch.save({"x": Boom(os.system, f"touch {mark}")}, tmp_path / "sk_model2.pth")
    with pytest.raises(NotSupported, match=r"sk_model2\.pth"):
        Preprocessors(tmp_path, lambda: two_faces).make("lineart", IMAGE, HintOptions())
    assert not mark.exists()


def test_the_weights_of_another_network_are_refused_by_name(tmp_path: Path) -> None:
    pytest.importorskip("torch")
    write_weights(tmp_path)
    (tmp_path / "5_model.pth").rename(tmp_path / "mlsd_large_512_fp32.pth")
    with pytest.raises(WeightsMissing, match=r"mlsd_large_512_fp32\.pth"):
        Preprocessors(tmp_path, lambda: two_faces).make("mlsd", IMAGE, HintOptions())


def test_modules_name_their_weights_and_where_they_come_from(hints: Preprocessors) -> None:
    modules = {module.name: module for module in hints.modules()}
    assert modules["lineart"].weights == ("sk_model.pth", "sk_model2.pth")
    assert modules["lineart"].source == "lllyasviel/Annotators"
    assert (modules["canny"].weights, modules["canny"].source) == ((), "")


@pytest.mark.weights
def test_the_points_of_a_photographed_face_are_drawn_on_it() -> None:
    hints = Preprocessors(Path("nowhere"), face_search(Settings()))
    drawn = hints.make("openpose_faceonly", a_photo("astronaut"), HintOptions())
    assert set(np.unique(drawn)) == {0, 255}
    ys, xs = np.nonzero(drawn.any(axis=2))
    np.testing.assert_allclose([xs.min(), xs.max(), ys.max()], [175, 272, 178], atol=16)


@pytest.mark.weights
def test_a_photographed_face_is_drawn_where_it_is() -> None:
    hints = Preprocessors(Path("nowhere"), face_search(Settings()))
    drawn = hints.make("mediapipe_face", a_photo("astronaut"), HintOptions())
    ys, xs = np.nonzero(drawn.any(axis=2))
    np.testing.assert_allclose([xs.min(), ys.min(), xs.max(), ys.max()], [175, 67, 272, 178], atol=16)
    right, left = (
        np.argwhere((drawn == colour).all(axis=2)).mean(axis=0)[1] for colour in ((180, 200, 10), (10, 200, 180))
    )
    assert right < left  # the person's right is on the left of the picture


def test_preprocessors_are_listed_while_a_network_draws(hints: Preprocessors, monkeypatch: pytest.MonkeyPatch) -> None:
    begun, go = Event(), Event()

    def draw(image: Image, **_: object) -> Image:
        begun.set()
        assert go.wait(20)
        return image

    monkeypatch.setattr(Annotators, "_open", lambda *_: draw)
    with ThreadPoolExecutor(2) as pool:
        drawing = pool.submit(hints.make, "softedge_hed", IMAGE, HintOptions())
        try:
            assert begun.wait(20)
            assert len(pool.submit(hints.modules).result(5)) == len(MODULES)
        finally:
            go.set()
        assert drawing.result(20).shape == IMAGE.shape


def test_weights_are_found_in_the_folder_that_the_extension_gave_each_network(tmp_path: Path) -> None:
    pytest.importorskip("torch")
    for folder in ("lineart", "TEED"):
        (tmp_path / "downloads" / folder).mkdir(parents=True)
    write_weights(tmp_path)
    for file, folder in (("sk_model.pth", "lineart"), ("sk_model2.pth", "lineart"), ("5_model.pth", "TEED")):
        (tmp_path / file).rename(tmp_path / "downloads" / folder / file)
    hints = Preprocessors((tmp_path / "annotators", tmp_path / "downloads"), lambda: two_faces)
    assert {module.name: module.available for module in hints.modules()}["lineart"]
    for name in ("lineart", "softedge_teed"):
        assert hints.make(name, IMAGE, HintOptions(processor_res=64)).shape == IMAGE.shape
    with pytest.raises(WeightsMissing, match=r"table5_pidinet\.pth"):
        hints.make("pidinet", IMAGE, HintOptions())


def test_networks_lie_within_the_budget_of_the_engine(tmp_path: Path) -> None:
    pytest.importorskip("torch")
    write_weights(tmp_path)
    hints = Preprocessors(tmp_path, lambda: two_faces)
    cache = ModelCache(36 * 2**20)
    hints.lie_in(cache)
    for name in ("mlsd", "pidinet", "softedge_teed"):
        hints.make(name, IMAGE, HintOptions(processor_res=64))
    sizes = cache.used_bytes
    assert [key[1] for key in cache.keys()] == ["mlsd", "pidinet", "teed"]
    assert sizes > 2**20
    hints.make("lineart", IMAGE, HintOptions(processor_res=64))  # 17 MB each of two: the others leave
    assert cache.used_bytes <= 36 * 2**20
    assert [key[1] for key in cache.keys()] == ["pidinet", "teed", "lineart"]


class Noting(ModelCache):
    """Cache that notes how long its leases would wait."""

    def __init__(self, budget_bytes: int) -> None:
        super().__init__(budget_bytes)
        self.waits: list[float] = []

    def lease(self, timeout_s: float = 0) -> AbstractContextManager[Lease]:
        self.waits.append(timeout_s)
        return super().lease(timeout_s)


def test_a_network_makes_room_before_it_is_loaded_and_waits_for_no_batch(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("torch")
    write_weights(tmp_path)
    hints, cache = Preprocessors(tmp_path, lambda: two_faces), Noting(2 * 2**20)
    hints.lie_in(cache)
    with cache.lease() as lease:
        lease.get(("checkpoint",), lambda: None, lambda _: 2 * 2**20)
    beside: list[list[tuple[object, ...]]] = []
    real = Annotators._open
    monkeypatch.setattr(Annotators, "_open", lambda self, name: beside.append(cache.keys()) or real(self, name))
    hints.make("softedge_teed", IMAGE, HintOptions(processor_res=64))
    assert beside == [[]]
    assert cache.waits == [0, 0]
