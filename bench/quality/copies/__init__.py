"""Photographs, edits of them that stay copies, and traps that are none: the pictures of `bench.quality.copy_kinds`."""
