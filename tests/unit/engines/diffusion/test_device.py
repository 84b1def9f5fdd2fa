"""How the memory is shared out between models and batches."""

from __future__ import annotations

import pytest

from configs.settings import Diffusion
from deployments.engines.diffusion.device import plan_memory

GB = 2**30


def test_a_processor_keeps_eight_gigabytes_and_makes_four_images_at_once_unless_told_otherwise() -> None:
    plan = plan_memory(Diffusion(), None)
    assert plan.models == 8 * GB
    assert [plan.most_images(side, side) for side in (512, 2048)] == [4, 4]
    assert plan_memory(Diffusion(memory_budget_mb=100), None).models == 100 * 2**20


@pytest.mark.parametrize(("card", "images"), [(8, (2, 1)), (24, (6, 1)), (80, (16, 5))])
def test_a_card_keeps_models_in_most_of_its_memory_and_batches_in_the_rest(card: int, images: tuple[int, int]) -> None:
    plan = plan_memory(Diffusion(), card * GB)
    assert plan.models == int(card * GB * 0.6)
    assert (plan.most_images(512, 512), plan.most_images(1024, 1024)) == images


def test_a_budget_for_models_leaves_the_rest_to_batches_and_at_least_one_image_is_made() -> None:
    assert plan_memory(Diffusion(memory_budget_mb=4096), 24 * GB).most_images(512, 512) == 13
    assert plan_memory(Diffusion(memory_budget_mb=99_999), 24 * GB).most_images(512, 512) == 1
