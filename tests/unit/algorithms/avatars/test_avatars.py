"""Avatars drawn by the local engine."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

import cv2
import numpy as np
import pytest

from deployments.assets.animals import load_animals
from deployments.contracts.arrays import Image
from deployments.contracts.portraits import AvatarMode, AvatarPicture, AvatarTask, SegmentedFace
from deployments.engines.drawn.avatars import LocalAvatarArtist
from deployments.errors import InvalidRequest
from tests.support.builders import a_photo
from tests.support.heads import ASTRONAUT_EYES, ASTRONAUT_ROLL, ASTRONAUT_UNIT, a_face, a_segmentation

_MODES: tuple[AvatarMode, ...] = ("overlay", "character")


@pytest.fixture(scope="module")
def artist() -> LocalAvatarArtist:
    animals = load_animals()
    return LocalAvatarArtist({name: animals[name] for name in ("fox", "owl")})


def the_astronaut(**changed: float) -> SegmentedFace:
    return a_face(**({"eyes": ASTRONAUT_EYES, "unit_px": ASTRONAUT_UNIT, "roll": ASTRONAUT_ROLL} | changed))


def drawn(
    artist: LocalAvatarArtist,
    image: Image,
    faces: Sequence[SegmentedFace],
    mode: AvatarMode = "character",
    animal: str = "fox",
    strength: float = 1.0,
    seed: int = 0,
) -> AvatarPicture:
    segmentation = a_segmentation(image, faces)
    return artist.render(AvatarTask(image, animal, mode, segmentation, strength=strength, seed=seed))


def change(made: Image, photograph: Image) -> float:
    return float(np.abs(made.astype(float) - photograph).mean())


@pytest.mark.parametrize("mode", _MODES)
@pytest.mark.parametrize("animal", ["fox", "owl"])
def test_an_avatar_changes_the_head_and_nothing_else(artist: LocalAvatarArtist, mode: AvatarMode, animal: str) -> None:
    photograph, face = a_photo(), the_astronaut()

    made = drawn(artist, photograph, [face], mode, animal).image

    rows, columns = np.mgrid[0:512, 0:512]
    distance = np.hypot(columns - ASTRONAUT_EYES[0], rows - ASTRONAUT_EYES[1]) / ASTRONAUT_UNIT
    assert change(made[distance < 1.2], photograph[distance < 1.2]) > 20
    assert np.array_equal(made[distance > 4.6], photograph[distance > 4.6])
    assert np.array_equal(photograph, a_photo()), "the photograph itself was drawn on"


@pytest.mark.parametrize("mode", _MODES)
def test_equal_requests_give_equal_avatars(artist: LocalAvatarArtist, mode: AvatarMode) -> None:
    first, again, other = (drawn(artist, a_photo(), [the_astronaut()], mode, seed=seed).image for seed in (3, 3, 4))

    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)


def test_another_seed_gives_an_animal_another_coat(artist: LocalAvatarArtist) -> None:
    face = slice(120, 180)
    pictures = [drawn(artist, a_photo(), [the_astronaut()], seed=seed).image[face, 180:260] for seed in range(4)]

    for first, second in itertools.pairwise(pictures):
        assert 4 < change(first, second) < 60


@pytest.mark.parametrize("mode", _MODES)
def test_strength_is_the_opacity_of_an_avatar(artist: LocalAvatarArtist, mode: AvatarMode) -> None:
    photograph = a_photo()
    none, half, full = (drawn(artist, photograph, [the_astronaut()], mode, strength=s).image for s in (0, 0.5, 1))

    assert np.array_equal(none, photograph)
    assert np.abs(half - (photograph.astype(float) + full) / 2).max() <= 1


@pytest.mark.parametrize("mode", _MODES)
def test_a_turned_image_gives_the_turned_avatar(artist: LocalAvatarArtist, mode: AvatarMode) -> None:
    photograph = a_photo()
    x, y = ASTRONAUT_EYES
    turned_face = the_astronaut(eyes=(511 - y, x), roll=ASTRONAUT_ROLL + 90)  # type: ignore[arg-type]
    upright = drawn(artist, photograph, [the_astronaut()], mode).image

    turned = drawn(artist, np.ascontiguousarray(np.rot90(photograph, -1)), [turned_face], mode).image

    back = cv2.GaussianBlur(np.ascontiguousarray(np.rot90(turned, 1)), (0, 0), 1.5)
    assert change(back, cv2.GaussianBlur(upright, (0, 0), 1.5)) < 0.05 * change(upright, photograph)


def blue_eyed(face: SegmentedFace, lids_apart: float = 0.18) -> Image:
    """A grey person with blue irises between white ones; the lids of `face` are put there."""
    photograph = np.full_like(a_photo(), 110)
    for side in ("left", "right"):
        corners = [face.landmarks[f"{side}_eye_{end}"] for end in ("outer", "inner")]
        x, y = np.mean(corners, axis=0)
        half = lids_apart * ASTRONAUT_UNIT / 2
        for end, sign in (("top", -1), ("bottom", 1)):
            face.landmarks[f"{side}_eye_{end}"] = (float(x), float(y + sign * half))
        place = (round(float(x)), round(float(y)))
        axes = (round(abs(corners[1][0] - corners[0][0]) / 2), round(half))
        cv2.ellipse(photograph, place, axes, 0, 0, 360, (200, 200, 200), -1)
        cv2.ellipse(photograph, place, (min(4, axes[1]), min(4, axes[1])), 0, 0, 360, (10, 40, 130), -1)
    return photograph


def rows_of_blue(made: Image) -> int:
    blue = made[..., 2].astype(int) - made[..., 0] > 60
    return int(blue[:, : round(ASTRONAUT_EYES[0])].any(axis=1).sum())


def test_the_eyes_of_an_avatar_stay_the_persons(artist: LocalAvatarArtist) -> None:
    face = the_astronaut(roll=0.0)
    photograph = blue_eyed(face)

    made = drawn(artist, photograph, [face]).image.astype(int)

    for side in ("left_eye", "right_eye"):
        x, y = (round(value) for value in face.landmarks[side])
        eye = made[y - 4 : y + 5, x - 8 : x + 9]
        assert (eye[..., 2] - eye[..., 0]).max() > 80


def test_squinting_eyes_are_opened_in_an_avatar(artist: LocalAvatarArtist) -> None:
    narrow_face, wide_face = the_astronaut(roll=0.0), the_astronaut(roll=0.0)

    narrow = rows_of_blue(drawn(artist, blue_eyed(narrow_face, 0.11), [narrow_face]).image)
    wide = rows_of_blue(drawn(artist, blue_eyed(wide_face, 0.2), [wide_face]).image)

    assert wide >= narrow > 0.7 * wide


@pytest.mark.parametrize("closed", [(150, 110, 90), (70, 50, 40)])
def test_eyes_that_cannot_be_seen_are_drawn_in_an_avatar(
    artist: LocalAvatarArtist, closed: tuple[int, int, int]
) -> None:
    photograph, face = a_photo(), the_astronaut()
    photograph[:] = closed

    made = drawn(artist, photograph, [face]).image.astype(float).mean(axis=2)

    for side in ("left_eye", "right_eye"):
        x, y = (round(value) for value in face.landmarks[side])
        eye = made[y - 4 : y + 5, x - 16 : x + 17]
        assert eye.max() > 2.5 * eye.min(), "an iris and a catch-light"


@pytest.mark.parametrize("mode", _MODES)
def test_a_grey_photograph_gets_a_grey_animal(artist: LocalAvatarArtist, mode: AvatarMode) -> None:
    grey = np.repeat(cv2.cvtColor(a_photo(), cv2.COLOR_RGB2GRAY)[..., None], 3, axis=2)

    made = drawn(artist, grey, [the_astronaut()], mode).image.astype(int)

    face = made[40:180, 150:300]
    assert np.percentile(face.max(axis=2) - face.min(axis=2), 99) <= 25
    assert (face.max(axis=2) - face.min(axis=2)).mean() < 4


def test_an_animal_in_the_dark_is_dark(artist: LocalAvatarArtist) -> None:
    photograph = a_photo()
    dark = (photograph * 0.3).astype(np.uint8)

    bright_head, dark_head = (drawn(artist, image, [the_astronaut()]).image[40:180] for image in (photograph, dark))

    assert dark_head.mean() < 0.6 * bright_head.mean()


def test_light_from_one_side_falls_on_the_animal(artist: LocalAvatarArtist) -> None:
    ramp = np.linspace(1.6, 0.3, 512)[None, :, None]
    photograph = np.clip(a_photo() * np.clip(ramp * 1.2, 0, 1.4), 0, 255).astype(np.uint8)
    x, y = (round(value) for value in ASTRONAUT_EYES)
    photograph[y - 60 : y + 90, x - 50 : x] = 200
    photograph[y - 60 : y + 90, x : x + 50] = 70

    made = drawn(artist, photograph, [the_astronaut()]).image.astype(float)

    cheeks = slice(y + 10, y + 30)
    assert made[cheeks, x - 60 : x - 30].mean() > 1.15 * made[cheeks, x + 30 : x + 60].mean()


@pytest.mark.parametrize("mode", _MODES)
@pytest.mark.parametrize(
    "face",
    [
        a_face((0, 100), 43),
        a_face((500, 505), 60, roll=-40),
        a_face((256, -60), 43),
        a_face((256, 256), 500),
        a_face((256, 256), 7),
        a_face((256, 256), 1.5),
        a_face((256, 256), 43, yaw=88),
        a_face((256, 256), 43, roll=180, yaw=-65),
        a_face((256, 256), 43, lids=False),
    ],
    ids=["left", "corner", "above", "huge", "20 px", "a dot", "profile", "upside down", "no lids"],
)
def test_any_face_gets_an_avatar(artist: LocalAvatarArtist, mode: AvatarMode, face: SegmentedFace) -> None:
    photograph = a_photo()

    made = drawn(artist, photograph, [face], mode)

    assert made.image.shape == photograph.shape
    assert made.changed == (0,)
    assert not np.array_equal(made.image, photograph)


def test_a_head_outside_of_the_image_is_not_listed(artist: LocalAvatarArtist) -> None:
    made = drawn(artist, a_photo(), [the_astronaut(), a_face((2000, 2000), 40)])

    assert made.changed == (0,)


def test_every_face_gets_an_avatar_and_the_nearest_last(artist: LocalAvatarArtist) -> None:
    photograph, near, far = a_photo(), a_face((260, 200), 60), a_face((330, 190), 30)

    both = drawn(artist, photograph, [near, far])

    alone = drawn(artist, photograph, [near]).image
    assert both.changed == (0, 1)
    assert change(both.image[170:260, 220:300], alone[170:260, 220:300]) < 3
    assert change(both.image, alone) > 0.5


def test_an_image_of_one_pixel_gets_an_avatar(artist: LocalAvatarArtist) -> None:
    pixel = np.full((1, 1, 3), 99, np.uint8)

    assert drawn(artist, pixel, [a_face((0, 0), 3)]).image.shape == (1, 1, 3)


def test_an_unknown_animal_is_refused(artist: LocalAvatarArtist) -> None:
    with pytest.raises(InvalidRequest, match="dodo"):
        drawn(artist, a_photo(), [the_astronaut()], animal="dodo")


def test_threads_draw_the_avatars_that_one_alone_draws() -> None:
    artist = LocalAvatarArtist({"fox": load_animals()["fox"]}, cache_bytes=1)
    alone = drawn(artist, a_photo(), [the_astronaut()]).image

    with ThreadPoolExecutor(2) as pool:
        made = list(pool.map(lambda _: drawn(artist, a_photo(), [the_astronaut()]).image, range(2)))

    assert all(np.array_equal(picture, alone) for picture in made)
