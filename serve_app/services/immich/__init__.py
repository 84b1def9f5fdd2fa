"""Use cases of Immich's server, for which this one does the machine learning (docs/immich.md)."""
