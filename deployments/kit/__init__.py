"""Mechanics without a subject: dynamic batching, bounded threads and the address guard."""
