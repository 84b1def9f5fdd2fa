"""Capabilities: a Ray Serve deployment per module, over contracts, engines, providers and algorithms."""
