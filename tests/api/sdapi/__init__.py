"""Tests of the Stable Diffusion web API."""
