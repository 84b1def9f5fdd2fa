"""Tests of the API that Immich's server asks its machine learning by."""
