"""Duplicate detection: candidate pairs, local features, registration, verdicts, groups."""
