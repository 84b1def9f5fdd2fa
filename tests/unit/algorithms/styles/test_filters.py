"""Style filters of the local engine: what holds for all of them, on images of every kind."""

from __future__ import annotations

from functools import cache
from itertools import combinations

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from deployments.algorithms.styles import FILTERS, apply_style, options_of
from deployments.algorithms.styles.techniques.planes import bare_skin, to_plane
from deployments.contracts.arrays import Image
from tests.support.builders import a_flat_image, a_photo, an_image

_PHOTOS = ("astronaut", "chelsea", "coffee")
_STRUCTURE = 0.035
"""RMS, of the range 0 to 1, that the best colour map from one style to another must leave over."""
_SAME_EDGES = 0.92
"""Correlation of edge strength above which two images have the same lines."""

every_style = pytest.mark.parametrize("style", FILTERS)


@cache
def _drawn(style: str, photo: str) -> Image:
    return apply_style(a_photo(photo, 192), style, seed=3)


@every_style
@pytest.mark.parametrize("size", [(16, 16), (17, 31), (1, 1), (640, 16), (16, 640), (97, 64)])
def test_a_styled_image_keeps_its_size_and_type(style: str, size: tuple[int, int]) -> None:
    drawn = apply_style(an_image(size), style)
    assert drawn.shape == (size[1], size[0], 3)
    assert drawn.dtype == np.uint8


@every_style
@settings(max_examples=5, deadline=None)
@given(width=st.integers(1, 64), height=st.integers(1, 64), seed=st.integers(0, 2**32 - 1), strength=st.floats(0, 1))
def test_any_size_seed_and_strength_can_be_styled(
    style: str, width: int, height: int, seed: int, strength: float
) -> None:
    drawn = apply_style(an_image((width, height)), style, strength, seed)
    assert drawn.shape == (height, width, 3)


@every_style
@pytest.mark.parametrize("colour", [(0, 0, 0), (255, 255, 255), (128, 128, 128), (222, 170, 140), (10, 60, 200)])
def test_a_flat_image_stays_calm_in_every_style(style: str, colour: tuple[int, int, int]) -> None:
    drawn = apply_style(a_flat_image((80, 60), colour), style)
    # Paper, dots and brush marks there may be, but no false object: broad means lie close together.
    broad = cv2.blur(to_plane(drawn), (25, 25))[20:-20, 25:-25]
    assert broad.std(axis=(0, 1)).max() < 0.17


@every_style
def test_a_grey_image_can_be_styled_and_shows_its_subject(style: str) -> None:
    photo = a_photo("camera", 160)
    tones, drawn = (_blurred_luma(picture) for picture in (photo, apply_style(photo, style, seed=3)))
    assert np.corrcoef(tones.ravel(), drawn.ravel())[0, 1] > 0.6


@every_style
def test_equal_seeds_give_equal_styled_images(style: str) -> None:
    photo = a_photo("coffee", 80)
    assert np.array_equal(apply_style(photo, style, seed=3), apply_style(photo, style, seed=3))


@pytest.mark.parametrize(
    "style", sorted(FILTERS.keys() - {"cartoon", "pop_art", "engraving", "pixel_art", "stained_glass"})
)
def test_another_seed_gives_another_styled_image(style: str) -> None:
    photo = a_photo("coffee", 80)
    assert not np.array_equal(apply_style(photo, style, seed=3), apply_style(photo, style, seed=4))


@every_style
def test_styling_leaves_the_photograph_as_it_was(style: str) -> None:
    photo = a_photo("coffee", 64)
    before = photo.copy()
    apply_style(photo, style)
    apply_style(photo, style, strength=0)[:] = 0
    assert np.array_equal(photo, before)


@every_style
def test_style_strength_0_is_the_photograph(style: str) -> None:
    photo = a_photo("astronaut", 64)
    assert np.array_equal(apply_style(photo, style, strength=0), photo)


@every_style
def test_style_strength_leads_from_the_photograph_to_the_style(style: str) -> None:
    photo = a_photo("astronaut", 80)
    away = [
        float(np.abs(to_plane(apply_style(photo, style, strength, 3)) - to_plane(photo)).mean())
        for strength in (0.02, 0.3, 0.6, 1.0)
    ]
    assert away[0] < 0.02
    assert away == sorted(away)
    assert away[-1] > 0.05


@every_style
@pytest.mark.parametrize("photo", _PHOTOS)
def test_style_shows_the_same_subject(style: str, photo: str) -> None:
    tones, drawn = (_blurred_luma(picture) for picture in (a_photo(photo, 192), _drawn(style, photo)))
    assert np.corrcoef(tones.ravel(), drawn.ravel())[0, 1] > 0.7


@every_style
@pytest.mark.parametrize("photo", _PHOTOS)
def test_style_is_no_colour_filter_of_the_photograph(style: str, photo: str) -> None:
    assert _is_restyled(a_photo(photo, 192), _drawn(style, photo))


@pytest.mark.parametrize(("one", "other"), list(combinations(FILTERS, 2)))
def test_no_style_is_a_tint_of_another(one: str, other: str) -> None:
    restyled = [_is_restyled(_drawn(one, photo), _drawn(other, photo)) for photo in _PHOTOS]
    assert all(restyled), f"{one} and {other} differ only by colour on {_PHOTOS[restyled.index(False)]}"


@pytest.mark.parametrize("tint", ["sepia", "negative", "gamma", "channels swapped", "warmer"])
@pytest.mark.parametrize("style", ["oil", "cartoon", "pixel_art", "pencil"])
def test_the_measure_of_restyling_recognises_a_tint(style: str, tint: str) -> None:
    drawn = to_plane(_drawn(style, "astronaut"))
    tinted = {
        "sepia": drawn.mean(axis=2, keepdims=True) * np.array([1.0, 0.8, 0.6]),
        "negative": 1 - drawn,
        "gamma": drawn**0.6,
        "channels swapped": drawn[..., ::-1],
        "warmer": drawn * np.array([1.0, 0.92, 0.75]) + np.array([0.0, 0.03, 0.05]),
    }[tint]
    assert not _is_restyled(_drawn(style, "astronaut"), np.asarray(np.clip(tinted, 0, 1) * 255, np.uint8))


@every_style
def test_style_looks_alike_at_other_resolutions(style: str) -> None:
    photo = a_photo("astronaut")
    sizes = (256, 128)
    drawn = [_blurred(apply_style(_shrunk(photo, size), style, seed=3), size) for size in sizes]
    assert np.abs(drawn[0] - drawn[1]).mean() < 0.05


@every_style
def test_every_style_option_does_something_at_both_ends_of_its_range(style: str) -> None:
    photo = a_photo("astronaut", 112)
    for name, option in options_of(style).items():
        ends = _ends(option.annotation)
        low, high = (apply_style(photo, style, seed=3, options={name: end}) for end in ends)
        assert not np.array_equal(low, high), name


def test_unknown_style_and_unknown_option_are_refused() -> None:
    with pytest.raises(KeyError):
        apply_style(an_image(), "vaporwave")
    with pytest.raises(TypeError, match="sparkle"):
        apply_style(an_image(), "oil", options={"sparkle": 1})


def test_pixel_art_has_square_pixels_of_few_colours() -> None:
    drawn = _drawn("pixel_art", "chelsea")
    colours = np.unique(drawn.reshape(-1, 3), axis=0)
    assert len(colours) <= options_of("pixel_art")["colours"].default
    side = next(side for side in range(8, 1, -1) if _is_grid(drawn, side))
    assert side >= 2


def _is_grid(picture: Image, side: int) -> bool:
    small = picture[::side, ::side]
    again = np.repeat(np.repeat(small, side, 0), side, 1)[: picture.shape[0], : picture.shape[1]]
    return np.array_equal(again, picture)


def _ends(annotation: object) -> tuple[object, object]:
    metadata = getattr(annotation, "__metadata__", None)
    if metadata is None:
        choices = annotation.__args__  # type: ignore[attr-defined]
        return choices[0], choices[-1]
    low, high = metadata
    return low.ge, high.le


def _is_restyled(source: Image, target: Image) -> bool:
    """Whether no map of colours to colours turns `source` into `target`, in their colours nor in their lines."""
    mapped = _best_colour_map(source, target)
    rms = float(np.sqrt(((mapped - to_plane(target)) ** 2).mean()))
    alike = np.corrcoef(_edges(mapped).ravel(), _edges(to_plane(target)).ravel())[0, 1]
    return rms > _STRUCTURE and alike < _SAME_EDGES


def _best_colour_map(source: Image, target: Image) -> np.ndarray:
    """The source in colours that are the cubic of its channels (with all products) that fits the target best."""
    red, green, blue = to_plane(source).reshape(-1, 3).astype(np.float64).T
    powers = [(a, b, c) for a in range(4) for b in range(4) for c in range(4) if a + b + c <= 3]
    terms = np.stack([red**a * green**b * blue**c for a, b, c in powers], axis=1)
    wanted = to_plane(target).reshape(-1, 3)
    fit, *_ = np.linalg.lstsq(terms[::3], wanted[::3], rcond=None)
    return np.clip(terms @ fit, 0, 1).reshape(target.shape)


def _edges(picture: np.ndarray) -> np.ndarray:
    grey = cv2.cvtColor(picture.astype(np.float32), cv2.COLOR_RGB2GRAY)
    return np.hypot(cv2.Sobel(grey, cv2.CV_32F, 1, 0), cv2.Sobel(grey, cv2.CV_32F, 0, 1))


def _shrunk(picture: Image, size: int) -> Image:
    return np.asarray(cv2.resize(picture, (size, size), interpolation=cv2.INTER_AREA))


def _blurred(picture: Image, size: int) -> np.ndarray:
    """On a common 64 px grid, finer marks averaged out."""
    broad = cv2.GaussianBlur(to_plane(picture), (0, 0), size / 40)
    return cv2.resize(broad, (64, 64), interpolation=cv2.INTER_AREA)


def _blurred_luma(picture: Image) -> np.ndarray:
    return cv2.GaussianBlur(cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY), (0, 0), 4).astype(np.float64)


_COMPLEXIONS = {"pale": (236, 196, 172), "tan": (198, 142, 104), "brown": (134, 86, 60), "dark": (84, 54, 40)}
every_complexion = pytest.mark.parametrize("complexion", _COMPLEXIONS)


def _a_portrait(complexion: str, side: int = 250) -> tuple[Image, np.ndarray]:
    """A drawn head on a plain ground, half in the shade, with eyes and a mouth; and where its face is."""
    ys, xs = np.mgrid[:side, :side] / side
    picture = np.full((side, side, 3), (222, 224, 226), np.float32)
    picture[((xs - 0.5) / 0.42) ** 2 + ((ys - 1.06) / 0.3) ** 2 < 1] = (38, 44, 60)
    picture[((xs - 0.5) / 0.24) ** 2 + ((ys - 0.4) / 0.32) ** 2 < 1] = (26, 22, 22)
    face = ((xs - 0.5) / 0.2) ** 2 + ((ys - 0.48) / 0.28) ** 2 < 1
    turned_away = 1 / (1 + np.exp(-(xs - 0.55 + 0.3 * (ys - 0.5)) / 0.02))
    shade = 1 - turned_away[..., None] * (0.55, 0.51, 0.46)  # what light comes there is cooler
    picture[face] = (_COMPLEXIONS[complexion] * shade)[face]
    for x, y, width, height in ((0.42, 0.42, 0.03, 0.014), (0.58, 0.42, 0.03, 0.014), (0.5, 0.62, 0.06, 0.014)):
        picture[((xs - x) / width) ** 2 + ((ys - y) / height) ** 2 < 1] *= 0.3
    picture += np.random.default_rng(5).normal(0, 2, picture.shape)
    inner = ((xs - 0.5) / 0.17) ** 2 + ((ys - 0.49) / 0.24) ** 2 < 1
    return np.asarray(np.clip(cv2.GaussianBlur(picture, (0, 0), 1), 0, 255), np.uint8), inner


@every_complexion
def test_skin_of_every_tone_is_found_whole_with_the_half_in_the_shade(complexion: str) -> None:
    portrait, face = _a_portrait(complexion)
    skin = bare_skin(to_plane(portrait), 250 / 1024)
    assert skin[face].mean() > 0.95
    assert skin[portrait.min(axis=2) > 215].mean() < 0.02


@every_complexion
def test_pop_art_prints_no_cold_ink_in_a_face(complexion: str) -> None:
    portrait, face = _a_portrait(complexion)
    inks = to_plane(apply_style(portrait, "pop_art", seed=3))[face]
    assert (inks[:, 2] > inks[:, 0] + 0.06).mean() < 0.01


@every_complexion
def test_clay_face_is_one_lump_without_cracks(complexion: str) -> None:
    portrait, face = _a_portrait(complexion)
    cheek = face & (np.indices(face.shape)[0] > 115) & (np.indices(face.shape)[0] < 145)
    drawn, tones = (
        to_plane(cv2.cvtColor(p, cv2.COLOR_RGB2GRAY)) for p in (apply_style(portrait, "clay", seed=3), portrait)
    )
    # A crack is a thin line darker than both of its sides, which the photograph has not.
    cracks = _dark_lines(drawn) > _dark_lines(tones) + 0.05
    assert cracks[cheek].mean() < 0.005


@every_complexion
def test_stained_glass_cuts_no_face(complexion: str) -> None:
    portrait, face = _a_portrait(complexion)
    drawn = to_plane(cv2.cvtColor(apply_style(portrait, "stained_glass", seed=3), cv2.COLOR_RGB2GRAY))
    assert (
        _dark_lines(drawn)[face & (_dark_lines(to_plane(cv2.cvtColor(portrait, cv2.COLOR_RGB2GRAY))) < 0.02)] > 0.12
    ).mean() < 0.02


def test_pixel_art_leaves_plain_grounds_plain() -> None:
    portrait, _ = _a_portrait("tan")
    drawn = apply_style(portrait, "pixel_art", seed=3)
    assert len(np.unique(drawn[:60, :40].reshape(-1, 3), axis=0)) == 1


def _dark_lines(tones: np.ndarray) -> np.ndarray:
    return np.asarray(cv2.morphologyEx(tones, cv2.MORPH_CLOSE, np.ones((9, 9), np.uint8)) - tones)
