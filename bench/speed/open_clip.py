"""Time of a core for each picture and text by how many share a pass: `python -m bench.speed.open_clip [MODEL]`.

It is the processor's time that counts, which other work on the machine changes little; weights are random.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from functools import partial

import numpy as np

from bench.report import Report
from deployments.engines.embedding.open_clip import OpenClipEmbedder

_ROUNDS = 3
_TEXT = "a photo of two dogs on a beach"


def milliseconds(call: Callable[[], object]) -> float:
    """Measure a call's own time of the processor, the least of some."""
    took = []
    for _ in range(_ROUNDS):
        began = time.process_time()
        call()
        took.append(time.process_time() - began)
    return 1000 * min(took)


def main() -> None:
    import torch

    parser = argparse.ArgumentParser(prog="python -m bench.speed.open_clip", description=(__doc__ or "").split("\n")[0])
    parser.add_argument("model", nargs="?", default="ViT-B-32-quickgelu")
    engine, report = OpenClipEmbedder(parser.parse_args().model, ""), Report("open_clip")
    torch.set_num_threads(1)
    rng = np.random.default_rng(0)
    for together in (1, 2, 4, 8, 16):
        views = rng.integers(0, 255, (together, engine.input_px, engine.input_px, 3), np.uint8)
        report.add(f"a picture, {together} together", milliseconds(partial(engine.embed, views)) / together, "ms")
        texts = [_TEXT] * together
        report.add(f"a text, {together} together", milliseconds(partial(engine.embed_texts, texts)) / together, "ms")
    report.finish()


if __name__ == "__main__":
    main()
