"""Webhooks: events sent to addresses that users name."""
