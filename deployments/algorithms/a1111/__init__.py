"""Conventions of AUTOMATIC1111's web UI as pure functions: prompts, samplers, infotext, inpainting, resizing, maps."""
