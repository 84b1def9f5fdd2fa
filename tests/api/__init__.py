"""Tests over HTTP with fakes of the capabilities."""
