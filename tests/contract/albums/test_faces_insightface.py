"""The insightface engine against insightface itself, with small random networks in place of `buffalo_l`."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from configs.settings import FaceOptions, Immich, Settings
from deployments.engines.faces.insightface import InsightFaceEngine
from deployments.errors import Unavailable, WeightsMissing
from deployments.faces import FacesDeployment
from serve_app.services.immich.service import ImmichService
from serve_app.telemetry import Metrics
from tests.support.builders import a_photo, encoded
from tests.support.fakes import FakeCapabilities
from tests.support.tiny_buffalo import write_models

app = pytest.importorskip("insightface.app")


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_models(tmp_path_factory.mktemp("insightface"))


@pytest.fixture(scope="module")
def engine(root: Path) -> InsightFaceEngine:
    return InsightFaceEngine(root)


@pytest.fixture(scope="module")
def reference(root: Path) -> Any:
    analysis = app.FaceAnalysis(name=str(root / "models" / "buffalo_l"))
    analysis.prepare(ctx_id=-1, det_thresh=0.5)
    return analysis


@pytest.mark.parametrize("name", ["astronaut", "coffee"])
def test_faces_equal_those_of_insightface_called_directly(engine: InsightFaceEngine, reference: Any, name: str) -> None:
    picture = a_photo(name, 300)
    found = engine.find(picture)
    expected = sorted(reference.get(picture[:, :, ::-1].copy()), key=lambda face: -face.det_score)
    assert len(found) == len(expected) > 1
    for face, wanted in zip(found, expected, strict=True):
        np.testing.assert_allclose(face.bbox, wanted.bbox, atol=1e-3)
        np.testing.assert_allclose(face.landmarks, wanted.kps, atol=1e-3)
        np.testing.assert_allclose(face.embedding, wanted.normed_embedding, atol=1e-5)
        assert face.score == pytest.approx(float(wanted.det_score))
        assert face.embedding.shape == (InsightFaceEngine.dim,)
        assert face.landmarks.shape == (5, 2)


@pytest.mark.parametrize("name", ["astronaut", "coffee"])
async def test_immich_is_given_the_boxes_scores_and_vectors_of_insightface(
    root: Path, reference: Any, name: str
) -> None:
    settings = Settings(faces=FaceOptions(engine="insightface", insightface_root=root), immich=Immich(enabled=True))
    capabilities = FakeCapabilities()
    capabilities.find_faces = FacesDeployment(settings).find_faces  # type: ignore[method-assign]
    service = ImmichService(capabilities, settings, Metrics("test"))
    kinds = {
        "detection": {"modelName": "buffalo_l", "options": {"minScore": 0.5}},
        "recognition": {"modelName": "buffalo_l"},
    }
    picture = a_photo(name, 300)
    answer = await service.predict(json.dumps({"facial-recognition": kinds}), encoded(picture, "PNG"), None)
    expected = sorted(reference.get(picture[:, :, ::-1].copy()), key=lambda face: -face.det_score)
    assert len(answer["facial-recognition"]) == len(expected) > 1
    for face, wanted in zip(answer["facial-recognition"], expected, strict=True):
        np.testing.assert_allclose(json.loads(face["embedding"]), wanted.normed_embedding, atol=1e-5)
        assert [face["boundingBox"][edge] for edge in ("x1", "y1", "x2", "y2")] == [
            round(x) for x in wanted.bbox.tolist()
        ]
        assert face["score"] == pytest.approx(float(wanted.det_score), abs=1e-5)


def test_red_and_blue_are_not_confused(engine: InsightFaceEngine, reference: Any) -> None:
    """The networks see the colours of the picture: with its channels swapped they see other faces."""
    picture = a_photo("astronaut", 300)
    swapped = sorted(reference.get(picture), key=lambda face: -face.det_score)
    assert [tuple(face.bbox) for face in swapped] != [face.bbox for face in engine.find(picture)]


def test_boxes_are_in_pixels_of_the_picture_given(engine: InsightFaceEngine) -> None:
    """The detector works on a fixed size; enlarged twice, the picture shows it the same and the boxes grow twice."""
    picture = a_photo("astronaut", 320)
    twice = picture.repeat(2, axis=0).repeat(2, axis=1)
    first, second = engine.find(picture)[0], engine.find(twice)[0]
    np.testing.assert_allclose(np.array(second.bbox) / 2, first.bbox, atol=12)


def test_when_nothing_is_found_upright_the_turned_picture_is_searched(engine: InsightFaceEngine) -> None:
    """`InsightFaceApp` stands for a detector that knows upright faces only: it answers to one turn of the picture."""
    upright = a_photo("rocket", 120)[:60, :100]

    class InsightFaceApp:
        def get(self, bgr: np.ndarray) -> list[Any]:
            if not np.array_equal(bgr[:, :, ::-1], upright):
                return []
            five = np.array([[30, 15], [50, 15], [40, 25], [33, 35], [47, 35]], np.float32)
            return [
                app.common.Face(
                    bbox=np.array([20, 5, 60, 45], np.float32), kps=five, det_score=0.9, embedding=np.ones(512)
                )
            ]

    lying = InsightFaceEngine.__new__(InsightFaceEngine)
    lying._analysis = InsightFaceApp()
    (face,) = lying.find(np.rot90(upright, -1))
    assert face.bbox == (14.0, 20.0, 54.0, 60.0)
    right_eye, left_eye = face.landmarks[:2]
    assert right_eye.tolist() == [44, 30]
    assert left_eye.tolist() == [44, 50]


@pytest.mark.parametrize("missing", InsightFaceEngine.files)
def test_a_missing_file_is_named_with_its_setting_and_not_fetched(tmp_path: Path, missing: str) -> None:
    root = write_models(tmp_path)
    (root / "models" / "buffalo_l" / missing).unlink()
    with pytest.raises(WeightsMissing, match=r"DARKROOM_FACES__INSIGHTFACE_ROOT") as caught:
        FacesDeployment(Settings(faces=FaceOptions(engine="insightface", insightface_root=root)))
    assert missing in caught.value.message
    assert str(tmp_path) not in caught.value.message
    assert not (root / "models" / "buffalo_l" / missing).exists()


def test_without_the_extra_the_message_names_it(monkeypatch: pytest.MonkeyPatch, root: Path) -> None:
    monkeypatch.setitem(sys.modules, "insightface.app", None)
    with pytest.raises(Unavailable, match=r"darkroom\[diffusion\]"):
        InsightFaceEngine(root)
