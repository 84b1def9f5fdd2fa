"""Avatars: animals drawn over people, from parts painted once from the front, then posed, shaded and composited."""
