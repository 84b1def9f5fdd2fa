"""Shapes of faces and people in pictures, from what models or vendors found. Pure functions."""
