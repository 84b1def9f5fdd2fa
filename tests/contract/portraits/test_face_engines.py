"""Segmentation engines: the contract that each one keeps, the local one on a photograph, the vendors' through their own
SDKs against servers on this machine."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from configs.settings import Providers, Settings
from deployments.algorithms.images.decoding import decode
from deployments.contracts.arrays import Image
from deployments.contracts.portraits import OPTIONAL_LANDMARKS, REQUIRED_LANDMARKS, SegmentedFace
from deployments.engines.segmentation.local import LocalSegmenter
from deployments.errors import InvalidRequest, ProviderRejected, ProviderTimeout, ProviderUnavailable
from deployments.faces import make_locator
from deployments.providers import open_face_provider, policy
from deployments.segmentation import SegmentationDeployment
from tests.support.builders import a_photo, an_image
from tests.support.face_truth import FaceAsSeen, TrueFace, as_rekognition
from tests.support.face_vendors import A_FACE, GARBLES, AmazonRekognition, FaceVendor, GoogleVision, opened
from tests.support.vendor_server import VendorServer
from tests.support.vision_server import VisionServer

SIZE = (512, 512)
ASTRONAUT = TrueFace((224.0, 102.0), 75.0, roll=1.5)
VENDORS = ["vision", "rekognition"]
ENGINES = [pytest.param("local", marks=pytest.mark.weights), *VENDORS]
TURNS = [0, 30, 90, 180, -90, -30, 135]

FinderUnderTest = Callable[[Image, list[TrueFace]], Awaitable[list[SegmentedFace]]]


@pytest.fixture
def vision_server(no_credentials: None) -> Iterator[VisionServer]:
    with VisionServer().serving() as server:
        yield server


@pytest.fixture(params=VENDORS)
def engine(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> FaceVendor:
    return _vendor(str(request.param), request, monkeypatch)


@pytest.fixture
def rekognition(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> FaceVendor:
    return _vendor("rekognition", request, monkeypatch)


@pytest.fixture(params=ENGINES)
def find(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> FinderUnderTest:
    """Asks an engine for the faces of a picture; vendors are told which are there."""
    if request.param == "local":
        local: LocalSegmenter = request.getfixturevalue("local_segmenter")

        async def look(image: Image, faces: list[TrueFace]) -> list[SegmentedFace]:
            return list((await asyncio.to_thread(local.segment, image)).faces)

        return look
    engine = _vendor(request.param, request, monkeypatch)

    async def ask(image: Image, faces: list[TrueFace]) -> list[SegmentedFace]:
        engine.sees((image.shape[1], image.shape[0]), *(face.told() for face in faces))
        provider = opened(engine)
        try:
            return await provider.find_faces(image)
        finally:
            await provider.aclose()

    return ask


@pytest.fixture(scope="session")
def with_weights() -> Settings:
    """The home folder, read before a test hides it."""
    return Settings()


@pytest.fixture(scope="session")
def local_segmenter(with_weights: Settings) -> LocalSegmenter:
    return LocalSegmenter(with_weights.weights_dir, make_locator(with_weights))


def _vendor(name: str, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> FaceVendor:
    if name == "vision":
        return GoogleVision(request.getfixturevalue("vision_server"))
    server: VendorServer = request.getfixturevalue("vendor")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "test")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "test")
    return AmazonRekognition(server)


def turned(image: Image, face: TrueFace, clockwise: float) -> tuple[Image, TrueFace]:
    """Around the picture's middle, a little smaller so that nothing is cut off."""
    height, width = image.shape[:2]
    matrix = cv2.getRotationMatrix2D((width / 2, height / 2), -clockwise, 0.7)
    x, y = matrix @ [*face.eyes, 1]
    roll = (face.roll + clockwise + 180) % 360 - 180
    picture = cv2.warpAffine(image, matrix, (width, height), borderMode=cv2.BORDER_REPLICATE)
    return np.asarray(picture), TrueFace((float(x), float(y)), face.size * 0.7, roll, face.yaw, face.pitch)


def upright(face: SegmentedFace) -> dict[str, np.ndarray]:
    """Landmarks in a picture that is turned so that the face stands upright."""
    roll = np.radians(face.roll)
    axes = np.array([[np.cos(roll), np.sin(roll)], [-np.sin(roll), np.cos(roll)]])
    return {name: axes @ np.array(point) for name, point in face.landmarks.items()}


@pytest.mark.parametrize("clockwise", TURNS)
async def test_a_face_is_described_as_the_contract_says_however_it_is_turned(
    find: FinderUnderTest, clockwise: float
) -> None:
    picture, truth = turned(a_photo("astronaut"), ASTRONAUT, clockwise)
    (face,) = await find(picture, [truth])
    assert set(REQUIRED_LANDMARKS) <= face.landmarks.keys() <= set(REQUIRED_LANDMARKS) | set(OPTIONAL_LANDMARKS)
    points = np.array(list(face.landmarks.values()))
    assert (points >= 0).all()
    assert (points < SIZE).all()
    assert 0.5 < face.score <= 1
    np.testing.assert_allclose(
        np.mean([face.landmarks["left_eye"], face.landmarks["right_eye"]], axis=0), truth.eyes, atol=5
    )
    assert abs((face.roll - truth.roll + 180) % 360 - 180) < 5
    marks = upright(face)
    for name in marks:
        if name.startswith("left_"):
            assert marks[name][0] < marks[name.replace("left", "right")][0]
    assert marks["mouth_left"][0] < marks["mouth_right"][0]
    order = ("left_brow", "left_eye", "nose_tip", "upper_lip", "lower_lip", "chin")
    heights = [marks[name][1] for name in order]
    assert heights == sorted(heights)
    x1, y1, x2, y2 = face.bbox
    for name in ("left_eye", "right_eye", "nose_tip", "upper_lip"):
        x, y = face.landmarks[name]
        assert x1 < x < x2
        assert y1 < y < y2
        assert cv2.pointPolygonTest(face.outline, (x, y), measureDist=False) > 0
    assert face.outline.dtype == np.float32
    assert face.outline.shape[0] >= 12


async def test_a_picture_without_faces_is_no_error(find: FinderUnderTest) -> None:
    assert await find(a_photo("coffee"), []) == []


async def test_the_most_confident_face_comes_first(find: FinderUnderTest) -> None:
    picture = np.concatenate([cv2.GaussianBlur(a_photo("astronaut"), (0, 0), 3), a_photo("astronaut")], axis=1)
    right = TrueFace((ASTRONAUT.eyes[0] + 512, ASTRONAUT.eyes[1]), ASTRONAUT.size, score=0.99)
    left = TrueFace(ASTRONAUT.eyes, ASTRONAUT.size, score=0.7)
    faces = await find(np.asarray(picture), [left, right])
    assert len(faces) == 2
    assert faces[0].score >= faces[1].score


@pytest.mark.weights
async def test_a_vendors_landmarks_give_the_outline_that_the_local_engine_sees(
    engine: FaceVendor, local_segmenter: LocalSegmenter
) -> None:
    image = a_photo("astronaut")
    (local,) = local_segmenter.segment(image).faces
    engine.sees(SIZE, told_of(local))
    (theirs,) = await opened(engine).find_faces(image)
    outlines = [cv2.fillPoly(np.zeros(SIZE, np.uint8), [face.outline.astype(np.int32)], 1) for face in (local, theirs)]
    assert overlap(*outlines) > 0.93


@pytest.mark.weights
async def test_a_vendors_face_gives_the_masks_that_the_local_engine_gives(
    engine: FaceVendor, local_segmenter: LocalSegmenter, with_weights: Settings
) -> None:
    image = a_photo("astronaut")
    local = local_segmenter.segment(image)
    engine.sees(SIZE, told_of(local.faces[0]))
    deployment = SegmentationDeployment(with_weights.model_copy(update={"providers": Providers(**engine.settings())}))
    theirs = await deployment.segment_portrait(engine.engine, image)
    assert overlap(local.face_mask > 127, theirs.face_mask > 127) > 0.93
    assert overlap(local.person_mask > 127, theirs.person_mask > 127) > 0.97
    await deployment.aclose()


def overlap(left: np.ndarray, right: np.ndarray) -> float:
    """Compute the intersection over union."""
    return float((left & right).sum() / (left | right).sum())


def told_of(face: SegmentedFace) -> FaceAsSeen:
    points = {name.replace("temple", "ear"): point for name, point in face.landmarks.items()}
    x, y, width, height = cv2.boundingRect(face.outline)
    skin = [(x, y), (x + width, y), (x + width, y + height), (x, y + height)]
    return FaceAsSeen(points, skin, face.roll, face.yaw, face.pitch, face.score)


@pytest.mark.parametrize(("yaw", "pitch"), [(30.0, 0.0), (-30.0, 0.0), (0.0, 20.0), (0.0, -20.0), (-55.0, 0.0)])
async def test_a_turned_head_looks_where_the_contract_says(engine: FaceVendor, yaw: float, pitch: float) -> None:
    truth = TrueFace((256.0, 200.0), 100.0, roll=20.0, yaw=yaw, pitch=pitch)
    engine.sees(SIZE, truth.told())
    (face,) = await opened(engine).find_faces(a_photo("astronaut"))
    assert face.yaw == pytest.approx(yaw, abs=0.01)
    assert face.pitch == pytest.approx(pitch, abs=0.01)
    assert face.roll == pytest.approx(20, abs=0.5)
    marks = upright(face)
    middle = (marks["left_temple"][0] + marks["right_temple"][0]) / 2
    assert np.sign(round(marks["nose_tip"][0] - middle)) == np.sign(yaw)


@pytest.mark.parametrize("yaw", [-75.0, -45.0, 45.0, 75.0])
async def test_the_landmarks_seen_of_a_turned_head_lie_inside_its_outline(engine: FaceVendor, yaw: float) -> None:
    engine.sees(SIZE, TrueFace((256.0, 200.0), 100.0, roll=-30.0, yaw=yaw).told())
    (face,) = await opened(engine).find_faces(a_photo("astronaut"))
    for name, point in face.landmarks.items():
        if not name.endswith(("temple", "jaw")):
            assert cv2.pointPolygonTest(face.outline, point, measureDist=True) > -2, name


async def test_a_profile_whose_eyes_fall_together_has_the_vendors_roll(engine: FaceVendor) -> None:
    engine.sees(SIZE, TrueFace((256.0, 200.0), 100.0, roll=-40.0, yaw=85.0).told())
    (face,) = await opened(engine).find_faces(a_photo("astronaut"))
    assert face.roll == pytest.approx(-40, abs=0.01)


async def test_sides_that_are_named_as_the_picture_hangs_are_told_apart(engine: FaceVendor) -> None:
    truth = TrueFace((256.0, 300.0), 100.0, roll=180.0).told()
    engine.sees(SIZE, replace(truth, points={_swapped(name): point for name, point in truth.points.items()}))
    (face,) = await opened(engine).find_faces(a_photo("astronaut"))
    assert abs(face.roll) == pytest.approx(180, abs=0.5)
    assert upright(face)["left_eye"][0] < upright(face)["right_eye"][0]
    assert upright(face)["left_eye"][1] < upright(face)["chin"][1]


def _swapped(name: str) -> str:
    return name.replace("left", "right") if "left" in name else name.replace("right", "left")


async def test_the_vendor_is_sent_the_picture(engine: FaceVendor) -> None:
    engine.sees((128, 96))
    await opened(engine).find_faces(an_image((128, 96)))
    [jpeg] = engine.calls()
    assert np.abs(decode(jpeg, 1000).astype(int) - an_image((128, 96))).mean() < 6


async def test_faces_lie_in_the_picture_that_was_given_also_where_a_smaller_one_is_sent(engine: FaceVendor) -> None:
    truth = TrueFace((2600.0, 1000.0), 400.0)
    sent = TrueFace((2600.0 * 4096 / 5200, 1000.0 * 4096 / 5200), 400.0 * 4096 / 5200)
    engine.sees((5200, 2600), (sent if engine.engine == "vision" else truth).told())
    (face,) = await opened(engine, timeout_s=30).find_faces(np.full((2600, 5200, 3), 90, np.uint8))
    np.testing.assert_allclose(face.landmarks["chin"], truth.told().points["chin"], atol=3)


async def test_no_picture_is_sent_larger_than_the_vendor_takes(engine: FaceVendor) -> None:
    noise = np.random.default_rng(1).integers(0, 256, (2400, 3000, 3), np.uint8)
    engine.sees((3000, 2400))
    await opened(engine, timeout_s=30).find_faces(noise)
    [jpeg] = engine.calls()
    assert len(jpeg) <= (7 if engine.engine == "vision" else 5) * 2**20


@pytest.mark.parametrize("how", ["quota", "down", "broken"])
async def test_quota_and_failures_are_unavailability_without_a_second_call(engine: FaceVendor, how: str) -> None:
    engine.fails(how)
    with pytest.raises(ProviderUnavailable) as raised:
        await opened(engine).find_faces(an_image())
    assert "secret" not in raised.value.message
    assert ("quota" in raised.value.message) == (how == "quota")
    assert len(engine.calls()) == 1


async def test_a_picture_that_is_refused_is_a_rejection(engine: FaceVendor) -> None:
    engine.fails("picture")
    with pytest.raises(ProviderRejected):
        await opened(engine).find_faces(an_image())


@pytest.mark.parametrize("how", GARBLES)
async def test_an_answer_that_makes_no_sense_is_unavailability(engine: FaceVendor, how: str) -> None:
    engine.garbles(how)
    with pytest.raises(ProviderUnavailable):
        await opened(engine).find_faces(an_image((128, 96)))


@pytest.mark.parametrize("status", [200, 400, 500])
@pytest.mark.parametrize(
    "answer", [None, 7, "no", [], {"FaceDetails": 7}, {"FaceDetails": [[]]}, {"__type": 7}], ids=str
)
async def test_an_answer_of_another_shape_is_unavailability(
    rekognition: FaceVendor, vendor: VendorServer, status: int, answer: object
) -> None:
    vendor.always(status, answer)
    with pytest.raises((ProviderUnavailable, ProviderRejected)) as raised:
        await opened(rekognition).find_faces(an_image())
    assert isinstance(raised.value, ProviderUnavailable) or status == 400


@pytest.mark.parametrize("value", ["x", [], {}, None])
@pytest.mark.parametrize("place", [("Pose", "Roll"), ("Landmarks", 0, "X"), ("BoundingBox", "Left")], ids=str)
async def test_a_number_that_is_none_is_unavailability(
    rekognition: FaceVendor, vendor: VendorServer, place: tuple[str | int, ...], value: object
) -> None:
    face: Any = as_rekognition(A_FACE, (128, 96))
    at = face
    for step in place[:-1]:
        at = at[step]
    at[place[-1]] = value
    vendor.always(json={"FaceDetails": [face]})
    with pytest.raises(ProviderUnavailable):
        await opened(rekognition).find_faces(an_image((128, 96)))


async def test_a_silent_vendor_takes_no_thread_that_others_need(rekognition: FaceVendor) -> None:
    rekognition.hangs()
    provider = opened(rekognition, timeout_s=20)
    calls = [asyncio.create_task(provider.find_faces(an_image())) for _ in range(40)]
    async with asyncio.timeout(10):
        while len(rekognition.calls()) < 8:
            await asyncio.wait(calls, timeout=0.01)
        await asyncio.to_thread(int)
    for call in calls:
        call.cancel()
    await asyncio.gather(*calls, return_exceptions=True)
    await provider.aclose()


async def test_a_picture_too_long_and_thin_for_rekognition_is_left_to_other_engines(rekognition: FaceVendor) -> None:
    with pytest.raises(ProviderUnavailable, match="long and thin"):
        await opened(rekognition).find_faces(an_image((1000, 20)))
    assert rekognition.calls() == []


@pytest.mark.parametrize(
    ("environment", "known", "said"),
    [
        ({"AWS_SECRET_ACCESS_KEY": None}, {}, "no credentials .see AWS_ACCESS_KEY_ID"),
        ({"AWS_PROFILE": "nobody"}, {}, "AWS_PROFILE"),
        ({}, {"rekognition_region": "no region!"}, "DARKROOM_PROVIDERS__REKOGNITION_REGION"),
        ({}, {"rekognition_endpoint_url": "nonsense"}, "settings of AWS make no sense"),
    ],
)
def test_settings_of_aws_that_make_no_sense_are_unavailability(
    rekognition: FaceVendor,
    monkeypatch: pytest.MonkeyPatch,
    environment: dict[str, str | None],
    known: dict[str, str],
    said: str,
) -> None:
    for name, value in environment.items():
        monkeypatch.setenv(name, value) if value else monkeypatch.delenv(name)
    with pytest.raises(ProviderUnavailable, match=rf"{said}.*`local` works without"):
        opened(rekognition, **known)


async def test_the_deadline_holds_when_the_vendor_is_silent(engine: FaceVendor) -> None:
    engine.hangs()
    with pytest.raises(ProviderTimeout):
        await opened(engine, timeout_s=0.3).find_faces(an_image())


async def test_a_vendor_that_is_not_there_is_unavailability(engine: FaceVendor) -> None:
    nowhere = {"vision_endpoint": "127.0.0.1:9", "rekognition_endpoint_url": "http://127.0.0.1:9"}
    with pytest.raises(ProviderUnavailable, match="cannot be reached"):
        await opened(engine, **nowhere).find_faces(an_image())


async def test_credentials_that_are_not_accepted_name_what_to_set_and_what_needs_none(engine: FaceVendor) -> None:
    engine.fails("credentials")
    with pytest.raises(ProviderUnavailable, match=rf"{engine.credential}.*`local` works without"):
        await opened(engine).find_faces(an_image())


async def test_no_call_that_costs_money_is_possible_in_a_test(engine: FaceVendor) -> None:
    provider = opened(engine, vision_endpoint=None, rekognition_endpoint_url=None, allow_paid_calls=True)
    with pytest.raises(ProviderUnavailable, match="switched off"):
        await provider.find_faces(an_image())
    assert engine.calls() == []
    await provider.aclose()


@pytest.mark.parametrize(("name", "package"), [("vision", "grpc.aio"), ("rekognition", "boto3")])
def test_a_missing_sdk_names_the_extra(name: str, package: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, package, None)  # as if it were not installed
    with pytest.raises(ProviderUnavailable, match=r"darkroom\[cloud\].*`local` works without"):
        open_face_provider(name, Settings())


@pytest.mark.usefixtures("no_credentials")
async def test_vision_without_credentials_names_what_to_set(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(policy, "paid_calls_possible", True)  # nothing is called: the SDK finds no credentials before
    settings = Settings.model_validate(
        {"providers": {"vision_endpoint": "vision.invalid:443", "allow_paid_calls": True}}
    )
    with pytest.raises(ProviderUnavailable, match=r"GOOGLE_APPLICATION_CREDENTIALS.*`local` works without"):
        await open_face_provider("vision", settings).find_faces(an_image())


@pytest.mark.usefixtures("no_credentials")
async def test_vision_with_credentials_speaks_tls_to_a_host_that_is_not_this_machine(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    key = tmp_path / "key.json"
    key.write_text('{"type": "authorized_user", "client_id": "a", "client_secret": "b", "refresh_token": "c"}')
    monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", str(key))
    monkeypatch.setattr(policy, "paid_calls_possible", True)  # the name is one that never resolves (RFC 6761)
    settings = Settings.model_validate(
        {"providers": {"vision_endpoint": "vision.invalid:443", "allow_paid_calls": True}}
    )
    provider = open_face_provider("vision", settings)
    with pytest.raises(ProviderUnavailable, match="cannot be reached"):
        await provider.find_faces(an_image())
    await provider.aclose()


@pytest.mark.usefixtures("no_credentials")
def test_rekognition_says_what_it_lacks() -> None:
    with pytest.raises(ProviderUnavailable, match=r"DARKROOM_PROVIDERS__REKOGNITION_REGION.*`local` works without"):
        open_face_provider("rekognition", Settings())
    settings = Settings.model_validate({"providers": {"rekognition_region": "eu-west-1"}})
    with pytest.raises(ProviderUnavailable, match=r"AWS_ACCESS_KEY_ID and AWS_SECRET.*`local` works without"):
        open_face_provider("rekognition", settings)


def test_an_unknown_name_is_an_invalid_request() -> None:
    with pytest.raises(InvalidRequest):
        open_face_provider("nobody", Settings())


async def test_a_face_of_a_vendor_has_no_more_than_its_word(engine: FaceVendor) -> None:
    engine.sees((128, 96), replace(A_FACE, score=1.0000001))
    (face,) = await opened(engine).find_faces(an_image((128, 96)))
    assert face.score <= 1
