"""Measure the diffusion engine on a GPU: `python -m bench.gpu`, or `--tiny` on a processor to try the benchmark itself.

Random weights of the real shapes are made on the spot; tables are printed and written to `out/gpu.md` as they are made.
Needs torch, transformers, accelerate, peft, safetensors, numpy, opencv, scipy and what `make gpu-wheels` collects.
"""

from __future__ import annotations

import argparse
import asyncio
import inspect
import os
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from bench.gpu import batches, large, memory, parts, pictures, refusals
from bench.gpu.card import Card
from bench.gpu.engine import write_models
from bench.gpu.tables import Page

_SHARED_MEMORY = Path("/dev/shm")
_SECTIONS: dict[str, Callable[..., Any]] = {
    "pictures": pictures.measure,
    "parts": parts.measure,
    "batches": batches.measure,
    "sdxl": large.measure,
    "memory": memory.measure,
    "refusals": refusals.measure,
}


def main() -> None:
    """Run the sections in turn; one that fails says so, and the next begins."""
    parser = argparse.ArgumentParser(prog="python -m bench.gpu", description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--tiny", action="store_true", help="small networks, on the processor")
    parser.add_argument("--only", nargs="*", choices=_SECTIONS, default=list(_SECTIONS), metavar="SECTION")
    parser.add_argument("--seconds", type=float, default=450, help="no section begins after so many")
    options = parser.parse_args()
    if not options.tiny and not torch.cuda.is_available():
        parser.error("there is no CUDA device here: try --tiny")
    card, page = Card("cpu" if options.tiny else "cuda", options.tiny), Page()
    page.heading("Machine", "what", "value")
    for row in card.describe():
        page.row(*row)
    place = _SHARED_MEMORY if os.access(_SHARED_MEMORY, os.W_OK) else None
    began = time.perf_counter()
    with tempfile.TemporaryDirectory(dir=place) as folder:
        with torch.no_grad():
            found = write_models(card, Path(folder))
        card.free()
        page.note(f"The models were written in {time.perf_counter() - began:.0f} s.")
        for name in options.only:
            if time.perf_counter() - began > options.seconds:
                page.note(f"Section {name} was left out: {options.seconds:.0f} s are over.")
                continue
            _run(card, page, name, found)
    page.note(f"{time.perf_counter() - began:.0f} s in all.")
    page.close()


def _run(card: Card, page: Page, name: str, found: Any) -> None:
    measure, started = _SECTIONS[name], time.perf_counter()
    given = (card, page, found)[: len(inspect.signature(measure).parameters)]
    try:
        made = measure(*given)
        if inspect.isawaitable(made):
            asyncio.run(_whole(made))
    except Exception as error:  # the tables before and after it are worth having
        page.note(f"Section {name} failed: {type(error).__name__}: {str(error)[:300]}")
    card.free()
    page.note(f"({name}: {time.perf_counter() - started:.0f} s)")


async def _whole(made: Any) -> None:
    await made


if __name__ == "__main__":
    main()
