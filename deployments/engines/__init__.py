"""Engines: models, and algorithms in their place, that run on this machine behind the contracts."""
