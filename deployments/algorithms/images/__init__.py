"""Image files to pixels, and pixels to pixels: decoding, headers, quality, views, affine maps."""
