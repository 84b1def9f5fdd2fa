"""Fakes, builders and servers for tests."""
