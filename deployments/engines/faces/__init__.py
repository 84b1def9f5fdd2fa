"""Face detection, landmarks and recognition models."""
