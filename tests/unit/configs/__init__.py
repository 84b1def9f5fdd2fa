"""Tests of settings, styles and Serve files."""
