"""Reviewed data files that ship with the code."""
