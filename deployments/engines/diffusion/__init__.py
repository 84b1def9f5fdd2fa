"""Stable Diffusion over diffusers. PyTorch and its kin are imported by whoever makes an engine, not before."""
