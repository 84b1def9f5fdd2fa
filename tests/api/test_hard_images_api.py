"""Whatever passes upload passes every analysis: odd files of our own, and a labelled folder of them where there is one,
with the real engines."""

from __future__ import annotations

import csv
import os
from pathlib import Path

import httpx
import numpy as np
import pytest
from PIL import Image as PillowImage

from configs.settings import Limits, Settings
from deployments.bundle import Bundle
from tests.support.builders import a_photo, an_image, encoded, encoded_turned

pytestmark = pytest.mark.weights

HARD = Path(os.environ.get("DATA", "../shared/data")) / "hard"
"""As `make eval` has it."""
ANALYSES = (
    ("tags", {}),
    ("quality", {}),
    ("clusters", {}),
    *(("duplicates", {"level": level}) for level in ("exact", "copy", "similar")),
)


@pytest.fixture
def capabilities(engines: Bundle) -> Bundle:
    return engines


@pytest.fixture
def settings(settings: Settings) -> Settings:
    """With the limits that a server has by default, and patience."""
    patient = settings.jobs.model_copy(update={"sync_wait_s": 300.0})
    return settings.model_copy(update={"limits": Limits(), "jobs": patient})


def thin_files() -> dict[str, bytes]:
    sizes = [(900, 1), (1, 900), (2, 2000), (10_000, 16), (1, 1), (2, 1), (3, 1300), (65_000, 1), (7000, 2)]
    return {f"{width}x{height}": encoded(an_image((width, height)), "PNG") for width, height in sizes}


def odd_files() -> dict[str, bytes]:
    photo = PillowImage.fromarray(a_photo("astronaut", 120))
    clear = photo.convert("RGBA")
    clear.putalpha(photo.convert("L"))
    nothing = PillowImage.new("RGBA", (60, 40), (0, 0, 0, 0))
    frames = [PillowImage.fromarray(an_image((40, 30), seed)) for seed in range(4)]
    modes = {mode: encoded(photo.convert(mode), "PNG") for mode in ("1", "L", "LA", "P", "RGBA")}
    animations = {
        form: encoded(frames[0], form, save_all=True, append_images=frames[1:])
        for form in ("GIF", "PNG", "WEBP", "TIFF")
    }
    return {
        **modes,
        **{f"animated {form}": data for form, data in animations.items()},
        "clear": encoded(clear, "WEBP"),
        "nothing to see": encoded(nothing, "PNG"),
        "white": encoded(np.full((50, 70, 3), 255, np.uint8), "PNG"),
        "black": encoded(np.zeros((50, 70, 3), np.uint8)),
        "16 bits": encoded(np.arange(6000, dtype=np.uint16).reshape(60, 100) * 10, "PNG"),
        "float": encoded(PillowImage.fromarray(np.linspace(0, 1, 6000, dtype=np.float32).reshape(60, 100)), "TIFF"),
        "cmyk": encoded(photo.convert("CMYK"), "JPEG"),
        "turned": encoded_turned(a_photo("astronaut", 120), 6),
        "framed speck": encoded(np.pad(an_image((4, 4)), ((90, 90), (200, 200), (0, 0)), constant_values=255), "PNG"),
    }


def labelled_files() -> dict[str, bytes]:
    if not HARD.is_dir():
        pytest.skip(f"no labelled pictures in {HARD}")
    with (HARD / "labels.csv").open(newline="", encoding="utf-8") as file:
        return {row["path"]: (HARD / row["path"]).read_bytes() for row in csv.DictReader(file)}


@pytest.mark.parametrize("files", [thin_files, odd_files, labelled_files])
async def test_whatever_passes_upload_passes_every_analysis(client: httpx.AsyncClient, files: object) -> None:
    refs = {}
    for name, data in files().items():  # type: ignore[operator]
        response = await client.post("/api/v1/images", files=[("file", ("a", data))])
        assert response.status_code in {201, 400, 413, 415}, name
        if response.status_code == 201:
            refs[response.json()["images"][0]["url"]] = name
    assert len(refs) >= 9
    body = {"images": list(refs), "album_id": "hard"}
    response = await client.post("/api/v1/albums/embeddings", json=body)
    assert response.status_code == 201, response.text
    assert [(refs[failure["image"]], failure["code"]) for failure in response.json()["failed"]] == []
    for analysis, parameters in ANALYSES:
        response = await client.post(f"/api/v1/albums/{analysis}?detail=true", json={"album_id": "hard", **parameters})
        assert response.status_code == 200, (analysis, response.text)
        assert [(refs[failure["image"]], failure["code"]) for failure in response.json()["failed"]] == []
