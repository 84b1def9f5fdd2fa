"""Stable Diffusion over diffusers. PyTorch and its kin are imported when an engine is made, not before."""
