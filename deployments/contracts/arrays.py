"""Array types that cross a border: shapes and dtypes by name. Needs only numpy."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Image = NDArray[np.uint8]
"""Colour image, `uint8[H, W, 3]`, RGB, upright."""


Gray = NDArray[np.uint8]
"""Grey image or mask, `uint8[H, W]`."""


Vectors = NDArray[np.float32]
"""Vectors, one per row, `float32[N, D]`."""


StoredVectors = NDArray[np.float16] | NDArray[np.float32]
"""Raw view vectors of images, `[N, V, D]` in the order of `VIEWS`: as stored, in half precision, or `float32`."""


Packed = NDArray[np.uint8]
"""Bytes of something that only its maker reads, `uint8[B]`: as an array they cross processes without a copy."""


VIEWS = ("whole", "centre", "trimmed", "quarter", "half", "three_quarters", "crop")
"""Square views of an image that are embedded, in the order in which their vectors are stored.

whole: all of it, stretched to the square. centre: its middle 70 %, stretched. trimmed: without a flat border, stretched
(the same as whole where there is none). quarter, half, three_quarters: whole, turned counter-clockwise by 90, 180, 270
degrees. crop: the largest centred square at 224/256 of the short side, the classifier's own view.
"""


Floats = NDArray[np.float32]
"""Numbers of any shape, `float32`."""
Matrix = NDArray[np.float64]
"""Affine map of the plane, `float64[2, 3]`: a point goes to `matrix[:, :2] @ point + matrix[:, 2]`."""
