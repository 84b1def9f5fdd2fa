"""Paths that the front door knows too, which imports no application."""

from __future__ import annotations

IMMICH_PATHS = frozenset({"/ping", "/predict"})
"""Paths of Immich's routes, which are open by address (`serve_app.api.immich`)."""
