"""Segmentation of faces, heads and people: masks, crops and cut-outs from what models or vendors found."""
