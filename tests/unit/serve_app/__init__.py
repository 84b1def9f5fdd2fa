"""Tests of the application's border to Ray."""
