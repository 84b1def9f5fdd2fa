"""Engines without weights: drawn avatars and NPR style filters."""
