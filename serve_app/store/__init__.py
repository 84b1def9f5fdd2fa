"""Persistence in PostgreSQL."""
