"""Example images for the documentation."""
