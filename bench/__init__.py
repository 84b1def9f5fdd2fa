"""Benchmarks, quality measurements, galleries and writers of generated files."""
