"""One face: alignment, boxes, quality, its own coordinates, landmarks of its mesh."""
