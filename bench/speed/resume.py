"""Bytes that an upload sends which is interrupted again and again: `python -m bench.speed.resume [--pictures 2000]`.

A server of its own gets a folder as `darkroom album` sends it. The upload is stopped three times, each time after a
batch was stored and before its answer is noted, and begun again. By hand, a loop without a memory starts from the first
file each time. All files differ.
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image as PillowImage

from bench.report import Report
from bench.server import Server
from darkroom_client import Darkroom
from darkroom_client._sync.picture_routes import File
from darkroom_client.cli.albums import upload
from darkroom_client.files import pictures_in
from darkroom_client.models import Uploads

_INTERRUPTS = 3
_BATCH = 16
_LEAST = _BATCH * (_INTERRUPTS + 1)


class CountingClient(Darkroom):
    """A client that counts the bytes of the files that it sends, and is interrupted after some batches."""

    sent_bytes = 0
    batches_left = 0

    def upload_images(self, files: Sequence[File]) -> Uploads:
        self.sent_bytes += sum(len(data) for _, data in files)
        answer = super().upload_images(files)
        self.batches_left -= 1
        if self.batches_left == 0:
            raise KeyboardInterrupt
        return answer


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pictures", type=int, default=2000)
    pictures = parser.parse_args().pictures
    if pictures < _LEAST:
        parser.error(f"--pictures: at least {_LEAST}, for each attempt is interrupted after a batch or more")
    report = Report("resume")
    with tempfile.TemporaryDirectory(prefix="darkroom-") as name:
        root = Path(name)
        os.environ["XDG_STATE_HOME"] = str(root / "state")
        total = {kind: _make(root / kind, pictures, seed) for seed, kind in enumerate(("resumed", "by hand"))}
        server = Server(root / "data")
        server.start()
        try:
            with CountingClient(server.url) as client:
                seconds = _resumed(client, root / "resumed", pictures)
                report.add(f"{pictures} pictures, interrupted {_INTERRUPTS} times: upload", seconds, "s")
                sent = client.sent_bytes / total["resumed"]
                report.add("  bytes sent, of those of the files", sent, "", target=1, at_most=True)
                client.sent_bytes = 0
                seconds = _by_hand(client, root / "by hand", pictures)
                report.add("  a loop without a memory: upload", seconds, "s")
                report.add("  bytes sent, of those of the files", client.sent_bytes / total["by hand"], "")
        finally:
            server.stop()
    report.finish()


def _make(folder: Path, count: int, seed: int) -> int:
    """Write small photographs of noise. -> their bytes"""
    rng = np.random.default_rng(seed)
    folder.mkdir()
    for place in range(count):
        PillowImage.fromarray(rng.integers(0, 255, (48, 64, 3), np.uint8)).save(folder / f"{place:05}.jpg")
    return sum(path.stat().st_size for path in folder.iterdir())


def _resumed(client: CountingClient, folder: Path, pictures: int) -> float:
    started = time.perf_counter()
    for attempt in range(_INTERRUPTS + 1):
        client.batches_left = pictures // _BATCH // (_INTERRUPTS + 1) if attempt < _INTERRUPTS else 0
        try:
            stored, _ = upload(client, folder, pictures_in(folder), lambda _: None)
        except KeyboardInterrupt:
            continue
        if len(stored) != pictures:
            raise RuntimeError(f"{len(stored)} of {pictures} pictures are stored")
    return time.perf_counter() - started


def _by_hand(client: CountingClient, folder: Path, pictures: int) -> float:
    started = time.perf_counter()
    for attempt in range(_INTERRUPTS + 1):
        client.batches_left = (attempt + 1) * (pictures // _BATCH // (_INTERRUPTS + 1)) if attempt < _INTERRUPTS else 0
        try:
            client.upload(pictures_in(folder))
        except KeyboardInterrupt:
            continue
    return time.perf_counter() - started


if __name__ == "__main__":
    main()
