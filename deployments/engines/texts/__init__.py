"""Models that find and read text."""
