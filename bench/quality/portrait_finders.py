"""Finders of faces and their mask: the local engine in this process, and a server over HTTP."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

import cv2
import httpx
import numpy as np
from numpy.typing import NDArray

from bench.quality.pasted_faces import MARKS
from deployments.contracts.arrays import Gray, Image

FaceBox = tuple[float, float, float, float]


@dataclass(frozen=True, slots=True)
class Found:
    """Faces and mask of one image."""

    boxes: list[FaceBox]
    marks: list[NDArray[np.float32]]
    """Marks of each face as `MARKS`, `float32[5, 2]`."""
    mask: Gray


Finder = Callable[[Image], Found]


def engine_finder() -> Finder:
    from configs.settings import Settings
    from deployments.engines.segmentation.local import LocalSegmenter
    from deployments.faces import make_locator

    settings = Settings()
    engine = LocalSegmenter(settings.weights_dir, make_locator(settings))

    def find(image: Image) -> Found:
        made = engine.segment(image)
        marks = [np.array([face.landmarks[name] for name in MARKS], np.float32) for face in made.faces]
        return Found([face.bbox for face in made.faces], marks, made.face_mask)

    return find


def http_finder(client: httpx.Client) -> Finder:
    """Make a finder that posts each image as a PNG and fetches its mask."""

    def find(image: Image) -> Found:
        _, file = cv2.imencode(".png", cv2.cvtColor(image, cv2.COLOR_RGB2BGR))
        form = {"file": ("portrait.png", file.tobytes(), "image/png")}
        response = client.post("/segmentations", files=form, data={"target": "face"})
        if response.status_code == 422 and response.json()["type"].endswith("no-face"):
            return Found([], [], np.zeros(image.shape[:2], np.uint8))
        answer = response.raise_for_status().json()
        while "mask_url" not in answer:
            if answer["status"] not in {"queued", "running", "succeeded"}:
                raise RuntimeError(f"segmentation: {answer['problem']}")
            time.sleep(0.1)
            answer = client.get(f"/jobs/{answer['id']}").raise_for_status().json()
            answer = answer["result"] or answer
        mask = np.frombuffer(client.get(answer["mask_url"]).raise_for_status().content, np.uint8)
        faces = answer["faces"]
        marks = [np.array([face["landmarks"][name] for name in MARKS], np.float32) for face in faces]
        boxes: list[FaceBox] = [tuple(face["bbox"]) for face in faces]
        return Found(boxes, marks, np.asarray(cv2.imdecode(mask, cv2.IMREAD_GRAYSCALE), np.uint8))

    return find
