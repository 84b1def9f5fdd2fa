"""Contracts of the capabilities: protocols, data classes and array types, free of models and frameworks."""
