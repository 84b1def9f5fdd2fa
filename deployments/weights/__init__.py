"""Model weights: the manifest, its download and the conversion of published files."""
