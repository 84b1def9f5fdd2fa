"""Benchmark of the diffusion engine on a GPU: no Ray, no database, no model files, no network."""
