"""Durable job queue in PostgreSQL."""
