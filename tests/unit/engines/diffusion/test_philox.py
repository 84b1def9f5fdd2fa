"""Noise as an NVIDIA card draws it, against published values."""

from __future__ import annotations

import numpy as np
import pytest

from deployments.engines.diffusion.philox import Philox, philox


@pytest.mark.parametrize(
    ("counter", "seed", "words"),
    [
        ((0, 0, 0, 0), 0, (0x6627E8D5, 0xE169C58D, 0xBC57AC4C, 0x9B00DBD8)),
        ((0xFFFFFFFF,) * 4, 2**64 - 1, (0x408F276D, 0x41C83B0E, 0xA20BC7C6, 0x6D5451FD)),
        (
            (0x243F6A88, 0x85A308D3, 0x13198A2E, 0x03707344),
            0x299F31D0_A4093822,
            (0xD16CFE09, 0x94FDCCEB, 0x5001E420, 0x24126EA1),
        ),
    ],
)
def test_philox_gives_the_known_answers_of_its_authors(
    counter: tuple[int, ...], seed: int, words: tuple[int, ...]
) -> None:
    assert philox(np.array(counter, np.uint64)[:, None], seed)[:, 0].tolist() == list(words)


def test_the_noise_of_seed_0_is_that_of_a_card() -> None:
    pytest.importorskip("torch")
    expected = [
        [-0.92466259, -0.42534415, -2.6438457, 0.14518388],
        [-0.12086647, -0.57972564, -0.62285122, -0.32838709],
        [-1.07454231, -0.36314407, -1.67105067, 2.26550497],
    ]
    np.testing.assert_allclose(Philox(0).randn((3, 4)).numpy(), expected, atol=2e-6)


def test_each_draw_is_another_one_and_the_seed_decides_all() -> None:
    pytest.importorskip("torch")
    one, same, other = Philox(2**32 + 7), Philox(2**32 + 7), Philox(7)
    draws = [[generator.randn((4, 8, 8)).numpy() for _ in range(3)] for generator in (one, same, other)]
    np.testing.assert_array_equal(draws[0], draws[1])
    assert not any(np.array_equal(a, b) for a in draws[0] for b in (*draws[2], *draws[0]) if a is not b)
    assert abs(np.mean(draws)) < 0.1
    assert abs(np.std(draws) - 1) < 0.1
