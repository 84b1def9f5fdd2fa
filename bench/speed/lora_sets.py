"""Sets of LoRAs that take turns: merged into the weights each time, and kept beside them.

`python -m bench.speed.lora_sets` makes a random UNet of .3 of SD 1.5's widths and two LoRAs of rank 32 for its
attention blocks, and times the change from one to the other on the processor.
"""

from __future__ import annotations

import argparse
import statistics
import time
from typing import Any

import torch
from diffusers import UNet2DConditionModel

from bench.report import Report
from deployments.engines.diffusion import merged_sets
from deployments.engines.diffusion.lycoris import Merger, Network

_WIDTHS = (96, 192, 384, 384)
_RANK, _ROUNDS = 32, 5


def main() -> None:
    argparse.ArgumentParser(
        prog="python -m bench.speed.lora_sets", description=(__doc__ or "").split("\n")[0]
    ).parse_args()
    torch.manual_seed(0)
    unet = UNet2DConditionModel(sample_size=32, block_out_channels=_WIDTHS, cross_attention_dim=768).requires_grad_(
        False
    )
    sets = [[(_network(f"style {number}", unet), 1.0, 0.8)] for number in range(2)]
    room = merged_sets.KEPT_BYTES
    report = Report("lora_sets")
    merged_sets.KEPT_BYTES = 0
    merging = _change_s(unet, sets)
    merged_sets.KEPT_BYTES = room
    copying = _change_s(unet, sets)
    report.add("a change of the set, merged", statistics.median(merging), "s")
    report.add("a change of the set, kept", statistics.median(copying), "s")
    ratios = [kept / merged for kept, merged in zip(copying, merging, strict=True)]
    report.add("kept / merged", statistics.median(ratios), "", target=1.0, at_most=True)
    report.finish()


def _change_s(unet: Any, sets: list[list[tuple[Network, float, float]]]) -> list[float]:
    """Time changes between two sets that have both been merged before, seconds."""
    merger, encoder = Merger(), torch.nn.Module()
    for one in (*sets, sets[0]):
        merger.merge(unet, encoder, one)
    taken = []
    for number in range(_ROUNDS):
        started = time.perf_counter()
        merger.merge(unet, encoder, sets[(number + 1) % 2])
        taken.append(time.perf_counter() - started)
    merger.take_out(unet)
    return taken


def _network(name: str, unet: Any) -> Network:
    layers = {}
    for path, layer in unet.named_modules():
        if path.endswith(("to_q", "to_k", "to_v", "to_out.0", "ff.net.0.proj", "ff.net.2")):
            rows, columns = layer.weight.shape
            layers[f"lora_unet_{path.replace('.', '_')}"] = {
                "lora_down.weight": torch.randn(_RANK, columns) / columns**0.5,
                "lora_up.weight": torch.randn(rows, _RANK) * 0.01,
                "alpha": torch.tensor(float(_RANK)),
            }
    return Network(name, layers)


if __name__ == "__main__":
    main()
