"""Colours by which segmentations are drawn, as networks that are guided by them learned them."""

from __future__ import annotations

import warnings
from functools import cache
from importlib.resources import files

import numpy as np
from numpy.typing import NDArray

ADE20K_CLASSES, COCO_CLASSES = 150, 133
Palette = NDArray[np.uint8]
"""A colour for each class, `uint8[classes, 3]`."""


@cache
def coco_panoptic() -> Palette:
    """Colours of the 133 classes of COCO's panoptic segmentation."""
    lines = files(__name__).joinpath("coco_panoptic.tsv").read_text("utf-8").splitlines()
    return np.array([line.split("\t")[1:] for line in lines if not line.startswith("#")], np.uint8)


def ade20k() -> Palette:
    """Colours of the 150 classes of ADE20K, as controlnet_aux has them."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it misses packages of detectors that are not used here, and more
        from controlnet_aux.util import ade_palette

    return np.array(ade_palette(), np.uint8)
