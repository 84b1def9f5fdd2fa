"""Rendering techniques that style filters share: abstraction, edge flow, strokes, texture, palettes, skies."""
