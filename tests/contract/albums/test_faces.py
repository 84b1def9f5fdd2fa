"""Face engines: the contract that each one keeps."""

from __future__ import annotations

import asyncio

import numpy as np
import pytest

from configs.settings import FaceOptions, Runtime, Settings
from deployments.contracts.albums import Face
from deployments.engines.faces.embedder import NETWORKS
from deployments.faces import FacesDeployment
from tests.support.builders import a_flat_image, a_photo, an_image
from tests.support.tiny_buffalo import write_models

SIZES = [(1, 1), (1, 900), (900, 1), (3, 2), (17, 400), (64, 64)]


@pytest.fixture(
    scope="module", params=[*(pytest.param(name, marks=pytest.mark.weights) for name in NETWORKS), "insightface"]
)
def faces(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> FacesDeployment:
    runtime = Runtime(threads=2)
    if request.param in NETWORKS:
        return FacesDeployment(Settings(runtime=runtime, faces=FaceOptions(network=request.param)))
    pytest.importorskip("insightface")
    root = write_models(tmp_path_factory.mktemp("insightface"))
    return FacesDeployment(Settings(runtime=runtime, faces=FaceOptions(engine="insightface", insightface_root=root)))


def same(left: list[Face], right: list[Face]) -> bool:
    return len(left) == len(right) and all(
        a.bbox == b.bbox
        and a.score == b.score
        and a.quality == b.quality
        and np.array_equal(a.landmarks, b.landmarks)
        and np.array_equal(a.embedding, b.embedding)
        for a, b in zip(left, right, strict=True)
    )


async def test_each_face_is_whole(faces: FacesDeployment) -> None:
    (found,) = await faces.find_faces([a_photo("astronaut", 320)])
    assert found
    for face in found:
        assert face.bbox[0] < face.bbox[2]
        assert face.bbox[1] < face.bbox[3]
        assert 0 < face.score <= 1
        assert 0 <= face.quality <= 1
        assert face.landmarks.shape in {(5, 2), (468, 2)}
        assert face.landmarks.dtype == face.embedding.dtype == np.float32
        assert np.linalg.norm(face.embedding) == pytest.approx(1, abs=1e-5)
    assert [face.score for face in found] == sorted((face.score for face in found), reverse=True)


async def test_all_vectors_of_an_engine_have_one_width(faces: FacesDeployment) -> None:
    found = await faces.find_faces([a_photo("astronaut", 320), a_photo("astronaut", 240)])
    assert len({len(face.embedding) for picture in found for face in picture}) == 1


async def test_no_pictures_have_no_faces(faces: FacesDeployment) -> None:
    assert await faces.find_faces([]) == []


async def test_a_picture_without_anything_has_no_face(faces: FacesDeployment) -> None:
    assert await faces.find_faces([a_flat_image((300, 200), (128, 128, 128))]) == [[]]


@pytest.mark.parametrize("size", SIZES)
async def test_pictures_of_any_shape_are_searched(faces: FacesDeployment, size: tuple[int, int]) -> None:
    (found,) = await faces.find_faces([an_image(size)])
    assert all(np.isfinite(face.embedding).all() for face in found)


async def test_faces_do_not_depend_on_the_company_of_their_picture(faces: FacesDeployment) -> None:
    picture = a_photo("astronaut", 320)
    (alone,) = await faces.find_faces([picture])
    among = await faces.find_faces([a_photo("coffee", 200), picture, a_photo("rocket", 200)])
    assert same(among[1], alone)


async def test_more_searches_than_threads_do_not_mix(faces: FacesDeployment) -> None:
    pictures = [a_photo("astronaut", size) for size in (200, 240, 280, 320)]
    expected = [(await faces.find_faces([picture]))[0] for picture in pictures]
    found = await asyncio.gather(*(faces.find_faces([picture]) for picture in pictures * 2))
    assert all(same(one, wanted) for (one,), wanted in zip(found, expected * 2, strict=True))


async def test_pictures_that_are_not_contiguous_are_read_right(faces: FacesDeployment) -> None:
    mirrored = a_photo("astronaut", 320)[:, ::-1]
    found = await faces.find_faces([mirrored, mirrored.copy()])
    assert same(found[0], found[1])


async def test_a_picture_is_left_as_it_was(faces: FacesDeployment) -> None:
    picture = a_photo("astronaut", 240)
    await faces.find_faces([picture])
    np.testing.assert_array_equal(picture, a_photo("astronaut", 240))


async def test_a_healthy_engine_says_so(faces: FacesDeployment) -> None:
    await faces.check_health()
